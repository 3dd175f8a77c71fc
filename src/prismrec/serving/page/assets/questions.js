// The state as questions to the public API.

const INTEGER_MARK = "\u0001";

/** A node as the service compares it: an integer where the view has integers, whatever its size. */
const node = (view, value) => (view.integer_nodes && /^-?\d+$/.test(value) ? `${INTEGER_MARK}${value}${INTEGER_MARK}` : value);

/** JSON text in which marked integers stand with all their digits, which a JavaScript number would lose. */
export const asJson = (body) => JSON.stringify(body).replaceAll(/"\\u0001(-?\d+)\\u0001"/g, "$1");

/** The filters of the state as conditions by view. */
export function where(filters, overview) {
  const conditions = {};
  for (const view of overview.views) {
    const own = filters.filter((filter) => filter.view === view.name);
    const values = (only) => own.filter((filter) => filter.only === only).map((filter) => node(view, filter.value));
    if (!own.length) continue;
    conditions[view.name] = { none_of: values(false), ...(values(true).length ? { any_of: values(true) } : {}) };
  }
  return { where: conditions };
}

/** Whether popularity plays a part among neighbours: only in the nearness that the bundle recommends by. */
export const knowsPopularity = (state, overview) => state.similarity === overview.query.similarity;

/** View weights where the model has any: one that encodes histories reads them whole, and refuses weights. */
const weighted = (weights, overview) => (overview.encoder ? {} : { weights });

/** The neighbours of an item by all views as weighted: [address, body]. A session of this one item asks the same. */
export function blended(state, overview, weights = state.weights, diversity = state.diversity) {
  const shared = { k: state.length, ...weighted(weights, overview), diversity, filters: where(state.filters, overview), text_ids: true };
  if (!knowsPopularity(state, overview)) return ["similar", { ...shared, item_id: state.item, similarity: state.similarity }];
  return ["recommend", { ...shared, history: [state.item], popularity_weight: state.neighbourPopularity }];
}

/** The same for each view that can be weighed alone, by score alone: one batch; null where there is none. */
export function perView(state, overview) {
  const questions = overview.views.filter((view) => view.weighable).map((view) => blended(state, overview, { [view.name]: 1 }, 0));
  return questions.length === 0 ? null : [questions[0][0], { requests: questions.map(([, body]) => body) }];
}

/** What comes next in the session: [address, body]. */
export function following(state, overview) {
  return ["recommend", {
    history: state.session, k: state.length, ...weighted(state.weights, overview), popularity_weight: state.sessionPopularity, diversity: state.diversity,
    filters: where(state.filters, overview), exclude_seen: state.leaveOutSeen, text_ids: true,
  }];
}
