// The neighbours of one item, blended and view by view.

import { ask, latest, read } from "./api.js";
import { controls } from "./controls.js";
import { debounced, failure, h, tell } from "./dom.js";
import { cardDetails, itemList, rowOf } from "./lists.js";
import { blended, perView } from "./questions.js";
import { change, follow, novelty, state } from "./state.js";
import { viewLabel, viewPlural } from "./words.js";

const QUIET = 60; // milliseconds without a further change before the service is asked

export function neighbours(overview, colours, { addToSession }) {
  const panel = controls(overview, colours, { tab: "neighbours", popularity: "neighbourPopularity", similarity: true });
  const card = h("section", { class: "card seed", "aria-label": "The item" });
  const pick = (row) => change({ item: row.id }, { step: true });
  const shared = { pick, pickLabel: "Show its neighbours", add: addToSession };
  const [title, how] = overview.encoder ? ["Neighbours", "as the model sees them"] : ["Blended", "all views, weighted as on the sliders"];
  const blend = column(title, how, "blend", itemList({ ...shared, label: "Neighbours by all views", colours, explain }));
  const columns = overview.views.filter((view) => view.weighable).map((view) =>
    column(viewLabel(view.name), hintOf(view.name), view.name, itemList({ ...shared, label: `Neighbours by the view ${viewLabel(view.name)}` }), colours[view.name]));
  const all = [blend, ...columns];
  const grid = h("div", { class: "columns", vars: { "--columns": columns.length } }, all.map((each) => each.element));
  const element = h("div", { class: "with-panel" }, panel.element, h("div", { class: "content" }, card, columns.length ? chooser(all) : null, grid));

  const failed = (error) => failure(error.message);
  const askCard = latest(showCard, failed);
  const askBlend = latest(showBlend, failed);
  const askColumns = latest(({ answers }) => answers.forEach((answer, place) => (answer.error ? failure(answer.error.message) : columns[place].show(answer, overview))), failed);
  const refreshBlend = debounced((name, body) => askBlend((signal) => ask(name, body, signal)), QUIET);
  const refreshColumns = debounced((name, body) => askColumns((signal) => ask(name, body, signal)), QUIET);
  const isNew = novelty();

  function refresh() {
    if (state.tab !== "neighbours" || !state.item) return;
    const question = blended(state, overview);
    const questions = perView(state, overview);
    if (isNew("card", state.item)) askCard((signal) => read("cards", { id: state.item }, signal));
    if (isNew("blend", question)) refreshBlend(...question);
    if (questions && isNew("columns", questions)) refreshColumns(...questions);
  }

  function showBlend(answer) {
    failure();
    blend.show(answer, overview);
    panel.showReport(answer);
    const [first] = answer.items;
    tell(first ? `${answer.items.length} blended neighbours, first ${rowOf(first, overview).name}` : "No neighbour meets the filters.");
  }

  async function explain(id) {
    const [name, body] = blended(state, overview);
    const { items } = await ask(name, { ...body, explain: true });
    const found = items.find((item) => String(item.item_id) === id);
    return found && { ...found.explanation, history: [] }; // the history is this one item
  }

  function showCard({ items: [item] }) {
    card.replaceChildren(
      h("div", {},
        h("p", { class: "over" }, "Neighbours of"),
        h("h1", {}, item.name),
        h("p", { class: "detail" }, [`id ${item.id}`, ...(item.unknown ? ["not in this bundle"] : cardDetails(item))].join(" · ")),
        item.added ? h("p", { class: "hint" }, "Added or changed since training: placed by its side information.") : null),
      h("div", { class: "card-buttons" },
        h("button", { type: "button", class: "secondary", on: { click: () => addToSession(item) } }, "Add to session"),
        h("button", { type: "button", class: "secondary", on: { click: () => change({ tab: "map" }, { step: true }) } }, "Show on map")),
    );
  }

  follow(refresh);
  return { element, enter: refresh };
}

const hintOf = (view) => (view === "item" ? "by clicks on items alone" : `by their ${viewPlural(view)} alone`);

function column(title, hint, name, list, colour = "") {
  const nothing = h("p", { class: "hint", hidden: true }, "No item meets the filters.");
  const element = h("section", { class: `card column${name === "blend" ? " blend shown" : ""}`, "data-column": name, vars: colour ? { "--tone": colour } : {} },
    h("h2", {}, title), h("p", { class: "hint" }, hint), list.element, nothing);
  return {
    element, title, name,
    show(answer, overview) {
      list.update(answer.items.map((item) => rowOf(item, overview)));
      nothing.hidden = answer.items.length > 0;
    },
  };
}

/** On a narrow screen one column at a time. */
function chooser(columns) {
  const choose = (name, buttons) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.for === name));
    for (const { element } of columns) element.classList.toggle("shown", element.dataset.column === name);
  };
  return h("div", { class: "chooser", role: "group", "aria-label": "Which list to show" }, columns.map(({ title, name }) =>
    h("button", {
      type: "button", "data-for": name, "aria-pressed": String(name === "blend"),
      on: { click: (event) => choose(name, event.currentTarget.parentElement.children) },
    }, title)));
}
