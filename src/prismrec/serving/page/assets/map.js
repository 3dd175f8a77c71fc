// The map tab: the canvas, what its colours mean, and the item that is selected.

import { ask, latest, read } from "./api.js";
import { failure, h, tell } from "./dom.js";
import { itemList, nodeText, rowOf } from "./lists.js";
import { itemMap } from "./map_canvas.js";
import { N_COLOURS } from "./palette.js";
import { blended } from "./questions.js";
import { change, follow, novelty, state } from "./state.js";
import { count, viewLabel } from "./words.js";

const POLL = 2000; // milliseconds until the better map is asked for again

export function map(overview, colours, { addToSession }) {
  const sides = overview.views.filter((view) => view.name !== "item");
  const canvas = itemMap({ pick: (id) => change({ item: id }, { step: true }), enter: () => change({ tab: "neighbours" }, { step: true }) });
  const status = h("p", { class: "hint", role: "status" }, "Drawing the map …");
  const legend = h("ul", { class: "legend", "aria-label": "What the colours mean" });
  const colour = h("select", { id: "map-colour", on: { change: (event) => change({ colour: event.target.value }) } },
    sides.map((view) => h("option", { value: view.name }, viewLabel(view.name))), h("option", { value: "" }, "Clicks"));
  const title = h("h2", {});
  const hint = h("p", { class: "hint" });
  const open = h("button", { type: "button", class: "secondary", on: { click: () => change({ tab: "neighbours" }, { step: true }) } }, "See all its neighbours");
  const list = itemList({ label: "Neighbours of the selected item", pick: (row) => change({ item: row.id }, { step: true }), pickLabel: "Select", add: addToSession });
  const element = h("div", { class: "map-tab" },
    h("section", { class: "card map-card", "aria-label": "Map of the items" },
      h("div", { class: "map-head" },
        h("div", {}, h("h1", {}, "Map of the items"), status),
        h("label", { for: "map-colour", class: "inline" }, "Colour by", colour)),
      canvas.element, legend),
    h("section", { class: "card column blend shown", "aria-label": "Selected item" }, h("p", { class: "over" }, "Selected"), title, hint, open, list.element));

  let points = null;
  let neighbourIds = [];
  let timer = 0;
  const isNew = novelty();
  const askMap = latest(showMap, (error) => failure(error.message));
  const askCard = latest(({ items: [item] }) => { title.textContent = item.name; }, (error) => failure(error.message));
  const askNeighbours = latest(showNeighbours, (error) => failure(error.message));
  const load = () => askMap((signal) => read("map", {}, signal));

  function refresh() {
    if (state.tab !== "map") return clearTimeout(timer);
    if (!points && isNew("map", "")) load();
    if (points) paint();
    if (!state.item || !isNew("item", state.item)) return;
    neighbourIds = [];
    canvas.select(state.item, neighbourIds);
    askCard((signal) => read("cards", { id: state.item }, signal));
    const [name, body] = blended({ ...state, length: 10 }, overview);
    askNeighbours((signal) => ask(name, body, signal));
  }

  function showMap(found) {
    const better = points && found.method !== points.method;
    if (!points || better) canvas.draw(found, { glide: Boolean(better) });
    points = found;
    status.textContent = statusText(found);
    if (better) tell("The better map is ready.");
    tellSelection();
    if (found.status === "working") timer = setTimeout(load, POLL);
    isNew("colour", null);
    paint();
  }

  function paint() {
    colour.value = state.colour;
    if (!isNew("colour", state.colour)) return;
    canvas.colourBy(points.colours[state.colour] ?? null);
    drawLegend(points.colours[state.colour]);
  }

  function drawLegend(colouring) {
    if (!colouring) {
      legend.replaceChildren(h("li", { class: "hint" }, "Darker and larger: more clicks."));
      return;
    }
    const n = new Map();
    for (const code of colouring.codes) n.set(code, (n.get(code) ?? 0) + 1);
    const shown = colouring.labels.slice(0, N_COLOURS);
    const rest = colouring.codes.length - shown.reduce((sum, _, code) => sum + (n.get(code) ?? 0), 0);
    legend.replaceChildren(...shown.map((label, code) => h("li", {}, h("button", {
      type: "button", "aria-pressed": "false", vars: { "--tone": `var(--map-${code})` },
      on: { click: (event) => isolate(event.currentTarget, code) },
    }, h("span", { class: "dot" }), nodeText(state.colour, label), h("span", { class: "number" }, count(n.get(code) ?? 0))))),
    rest > 0 ? h("li", { class: "hint" }, `${count(rest)} items of others, paler`) : "");
  }

  function isolate(button, code) {
    const on = button.getAttribute("aria-pressed") !== "true";
    for (const each of legend.querySelectorAll("button")) each.setAttribute("aria-pressed", String(on && each === button));
    canvas.isolate(on ? code : null);
  }

  function showNeighbours(answer) {
    const rows = answer.items.map((item) => rowOf(item, overview));
    list.update(rows);
    neighbourIds = rows.map((row) => row.id);
    tellSelection();
  }

  function tellSelection() {
    if (!points) return;
    const on = canvas.select(state.item, neighbourIds);
    const all = neighbourIds.length;
    if (!all) hint.textContent = "";
    else if (on.self) hint.textContent = `${on.neighbours} of its ${all} nearest items are on the map.`;
    else hint.textContent = `Not on the map itself, which shows the most clicked items; ${on.neighbours} of its ${all} nearest are.`;
  }

  follow(refresh);
  return { element, enter: refresh };
}

function statusText({ ids, method, status, reason }) {
  const what = `The ${count(ids.length)} items with most clicks. Near means alike; directions and far distances mean nothing.`;
  if (status === "working") return `${what} A first sketch (principal components): the better map (t-SNE) is on its way.`;
  if (status === "failed") return `${what} A sketch (principal components); the better map failed: ${reason}`;
  return `${what} (${method})`;
}
