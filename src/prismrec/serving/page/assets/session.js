// The playground: click items into a session and watch what comes next.

import { ask, latest, read } from "./api.js";
import { controls } from "./controls.js";
import { debounced, failure, h, tell } from "./dom.js";
import { cardDetails, itemList, rowOf } from "./lists.js";
import { following } from "./questions.js";
import { change, follow, novelty, state } from "./state.js";

export function session(overview, colours, { nameOf, remember }) {
  const panel = controls(overview, colours, { tab: "session", popularity: "sessionPopularity", seen: true });
  const steps = h("ol", { class: "items steps", "aria-label": "The session, oldest first" });
  const empty = h("p", { class: "hint" }, "Nothing yet. Search above, or start from what is clicked most:");
  const starters = h("div", { class: "starters" });
  const clear = h("button", { type: "button", class: "secondary", on: { click: () => change({ session: [] }, { step: true }) } }, "Start over");
  const list = itemList({ label: "Recommended next", pick: (row) => append(row), pickLabel: "Add to the session", colours, explain });
  const basis = h("p", { class: "hint" });
  const element = h("div", { class: "with-panel" }, panel.element, h("div", { class: "content two" },
    h("section", { class: "card", "aria-labelledby": "session-title" },
      h("h2", { id: "session-title" }, "Session"), h("p", { class: "hint" }, orderHint(overview)),
      steps, empty, starters, clear),
    h("section", { class: "card column blend shown", "aria-labelledby": "next-title" },
      h("h2", { id: "next-title" }, "Recommended next"), basis, list.element)));

  const askNext = latest(show, (error) => failure(error.message));
  const refreshNext = debounced((name, body) => askNext((signal) => ask(name, body, signal)), 60);
  const askNames = latest(({ items }) => { items.forEach(remember); drawSteps(); }, (error) => failure(error.message));
  const askStarters = latest(drawStarters, (error) => failure(error.message));
  const isNew = novelty();

  function refresh() {
    if (state.tab !== "session") return;
    const question = following(state, overview);
    if (isNew("steps", state.session)) drawSteps();
    if (isNew("next", question)) refreshNext(...question);
    if (isNew("starters", "")) askStarters((signal) => read("search", { q: "", limit: 8 }, signal));
  }

  function show(answer) {
    failure();
    list.update(answer.items.map((item) => rowOf(item, overview)));
    panel.showReport(answer);
    basis.textContent = basisText(answer);
    const [first] = answer.items;
    tell(first ? `${answer.items.length} recommendations, first ${rowOf(first, overview).name}` : "No item meets the filters.");
  }

  function append(row) {
    remember(row);
    change({ session: [...state.session, row.id] }, { step: true });
    tell(`${row.name} added to the session`);
  }

  async function explain(id) {
    const [name, body] = following(state, overview);
    const { items } = await ask(name, { ...body, explain: true });
    const explanation = items.find((item) => String(item.item_id) === id)?.explanation;
    return explanation && { ...explanation, history: explanation.history.map(([id, share]) => ({ name: nameOf(String(id))?.name ?? id, share })) };
  }

  function drawSteps() {
    const missing = [...new Set(state.session.filter((id) => !nameOf(id)?.views))];
    if (missing.length) askNames((signal) => read("cards", { id: missing }, signal));
    const key = steps.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    steps.replaceChildren(...state.session.map(step));
    const again = key && [...steps.querySelectorAll("button")].find((button) => button.dataset.key === key && !button.disabled);
    (again ?? (key ? steps.querySelector("button:not(:disabled)") ?? clear : null))?.focus();
    for (const part of [empty, starters]) part.hidden = state.session.length > 0;
    clear.hidden = !state.session.length;
  }

  function step(id, place) {
    const item = nameOf(id) ?? { name: id };
    const to = (target) => () => {
      const moved = state.session.toSpliced(place, 1);
      change({ session: target === null ? moved : moved.toSpliced(target, 0, id) }, { step: target === null });
      tell(target === null ? `${item.name} removed` : `${item.name} is now number ${target + 1}`);
      if (target !== null) [...steps.querySelectorAll("button")].find((button) => button.dataset.key === `${target < place ? "earlier" : "later"} ${target}`)?.focus();
    };
    const button = (text, label, target, key, off = false) =>
      h("button", { type: "button", class: "small", "aria-label": `${label} ${item.name}`, title: label, "data-key": `${key} ${place}`, disabled: off, on: { click: to(target) } }, text);
    return h("li", { class: "row" },
      h("span", { class: "rank", "aria-hidden": "true" }, place + 1),
      h("div", { class: "row-main" },
        h("button", { type: "button", class: "name", title: "Show its neighbours", on: { click: () => change({ tab: "neighbours", item: id }, { step: true }) } }, item.name),
        h("span", { class: "detail" }, item.unknown ? "not in this bundle" : item.views ? cardDetails(item).join(" · ") : "")),
      h("span", { class: "row-buttons" },
        button("↑", "Earlier:", place - 1, "earlier", place === 0),
        button("↓", "Later:", place + 1, "later", place === state.session.length - 1),
        button("×", "Remove", null, "remove")));
  }

  function drawStarters({ items }) {
    starters.replaceChildren(...items.map((item) => h("button", { type: "button", class: "secondary", on: { click: () => append(item) } }, item.name)));
  }

  follow(refresh);
  return { element, enter: refresh, append };
}

function orderHint({ encoder, query }) {
  if (encoder) return `What a visitor clicked, oldest first: the whole of it is what the model (${encoder}) reads.`;
  return query.recency_decay < 1 ? "What a visitor clicked, oldest first: the latest counts most. Reorder it and see." : "What a visitor clicked, oldest first. To this model all of it counts alike.";
}

function basisText(answer) {
  const unknown = answer.unknown_ids.length ? ` Not known here: ${answer.unknown_ids.join(", ")}.` : "";
  if (answer.basis === "popularity") return `Nothing is known of this visitor, so the most popular items lead.${unknown}`;
  return `Click one to add it to the session.${unknown}`;
}
