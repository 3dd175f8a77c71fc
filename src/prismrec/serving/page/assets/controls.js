// What a list is made of: view weights, popularity, diversity, filters. One set for neighbours, one for the session.

import { combobox } from "./combobox.js";
import { read } from "./api.js";
import { failure, h } from "./dom.js";
import { knowsPopularity } from "./questions.js";
import { change, follow, initial, state } from "./state.js";
import { count, fixed, percent, viewLabel, viewPlural } from "./words.js";

const LENGTHS = [12, 20, 50];

/** The panel of a tab; `popularity` is the state's key of its popularity. */
export function controls(overview, colours, { tab, popularity, similarity = false, seen = false }) {
  const most = Math.max(2, Math.ceil(1.5 * Math.max(...overview.views.map((view) => Math.abs(view.weight))))); // one scale for all
  const sliders = overview.views.filter((view) => view.weighable).map((view) => weightSlider(view, colours[view.name], tab, most));
  const popular = slider({
    id: `${tab}-popularity`, name: "Popularity", colour: "var(--grey)", min: 0, max: Math.max(2, 2 * initial()[popularity]), step: 0.05,
    value: () => state[popularity], set: (value) => change({ [popularity]: value }),
  });
  const diverse = slider({
    id: `${tab}-diversity`, name: "Diversity", colour: "var(--accent)", min: 0, max: 1, step: 0.05,
    value: () => state.diversity, set: (value) => change({ diversity: value }),
  });
  const report = h("div", { class: "report", id: `${tab}-report` });
  const filters = filterPart(overview, tab);
  const near = similarity ? nearness(tab) : null;
  const length = h("select", { id: `${tab}-length`, on: { change: (event) => change({ length: Number(event.target.value) }) } },
    LENGTHS.map((n) => h("option", { value: n }, n)));
  const leaveOut = h("input", { type: "checkbox", id: `${tab}-seen`, on: { change: (event) => change({ leaveOutSeen: event.target.checked }) } });
  const popularHint = h("p", { class: "hint" });
  const wide = window.matchMedia("(min-width: 900px)").matches;

  const element = h("details", { class: "panel controls", open: wide },
    h("summary", {}, "Tune the list"),
    overview.encoder ? h("p", { class: "hint" }, `The model (${overview.encoder}) reads a history as a whole: there are no views to weigh.`)
      : h("fieldset", {}, h("legend", {}, "Views"),
        h("p", { class: "hint" }, "How much each view counts. Below zero pushes away from it."),
        sliders.map((each) => each.element)),
    h("div", { class: "knob" }, popular.element, popularHint),
    h("div", { class: "knob" }, diverse.element, h("p", { class: "hint" }, "Zero: by score alone. Higher: each item unlike those above it."), report),
    near?.element,
    h("fieldset", {}, h("legend", {}, "Filters"), filters.element),
    h("fieldset", { class: "inline" }, h("legend", { class: "unseen" }, "List"),
      h("label", { for: `${tab}-length` }, "Items per list"), length,
      seen ? h("label", { class: "check" }, leaveOut, "Leave out items of the session") : null),
    h("button", { type: "button", class: "secondary", on: { click: reset } }, "Back to the model's own settings"),
  );

  function reset() {
    const { weights, neighbourPopularity, sessionPopularity, diversity, filters: none, similarity: near } = initial();
    change({ weights, neighbourPopularity, sessionPopularity, diversity, filters: none, similarity: near, leaveOutSeen: true });
  }

  function sync() {
    for (const each of [...sliders, popular, diverse]) each.sync();
    const off = similarity && !knowsPopularity(state, overview);
    popular.disable(off);
    popularHint.textContent = off ? "Plays no part in this nearness." : "Zero: nearness alone. Higher: what is clicked anyway comes first.";
    near?.sync();
    filters.sync();
    if (!LENGTHS.includes(state.length)) length.append(h("option", { value: state.length }, state.length));
    length.value = String(state.length);
    leaveOut.checked = state.leaveOutSeen;
  }
  follow(sync);
  sync();

  return { element, showReport: (answer) => report.replaceChildren(...reported(answer)) };
}

function reported(answer) {
  const { report } = answer;
  if (!report) return [h("p", { class: "hint" }, "By score alone: nothing given up.")];
  const gained = Object.entries(report.distinct);
  return [
    h("p", { class: "kept" }, h("strong", {}, percent(report.relevance_kept, 1)), " of the relevance kept"),
    h("dl", { class: "gains" }, gained.map(([view, [before, after]]) => [
      h("dt", {}, `${viewPlural(view)} in the list`),
      h("dd", {}, `${count(before)} → `, h("strong", {}, count(after))),
    ])),
  ];
}

function weightSlider(view, colour, tab, most) {
  return slider({
    id: `${tab}-weight-${view.name}`, name: viewLabel(view.name), colour, min: -most, max: most, step: 0.05,
    value: () => state.weights[view.name],
    set: (value) => change({ weights: { ...state.weights, [view.name]: value } }),
  });
}

function slider({ id, name, colour, min, max, step, value, set }) {
  const input = h("input", { type: "range", id, min, max, step, on: { input: () => set(Number(input.value)) } });
  const shown = h("output", { for: id });
  const element = h("div", { class: "slider", vars: { "--tone": colour } }, h("label", { for: id }, name), shown, input);
  function sync() {
    const now = value();
    if (Number(input.value) !== now) input.value = String(now);
    shown.textContent = fixed(now);
    const place = (at) => `${(100 * (at - min)) / (max - min)}%`;
    element.style.setProperty("--from", place(Math.min(now, Math.max(0, min))));
    element.style.setProperty("--to", place(Math.max(now, Math.max(0, min))));
    element.style.setProperty("--zero", place(Math.max(0, min)));
  }
  return { element, sync, disable: (off) => { input.disabled = off; element.classList.toggle("off", off); } };
}

function nearness(tab) {
  const choices = [["source_target", "Goes with it", "bought or viewed together with it, or after it"], ["cosine", "Is used like it", "could stand in its place"]];
  const inputs = choices.map(([value]) => h("input", { type: "radio", name: `${tab}-near`, value, on: { change: () => change({ similarity: value }) } }));
  const element = h("fieldset", {}, h("legend", {}, "Near means"),
    choices.map(([, label, hint], place) => h("label", { class: "check" }, inputs[place], h("span", {}, label, h("span", { class: "hint" }, hint)))));
  return { element, sync: () => { for (const input of inputs) input.checked = input.value === state.similarity; } };
}

function filterPart(overview, tab) {
  const sides = overview.views.filter((view) => view.name !== "item");
  const chips = h("ul", { class: "chips", "aria-label": "Filters in use" });
  const box = combobox({
    id: `${tab}-filter`, label: `Filter by ${sides.map((view) => viewLabel(view.name).toLowerCase()).join(" or ")}`,
    placeholder: "Only, or not …", fail: (error) => failure(error.message), empty: "No view has such a value.",
    find: async (text, signal) => (await read("values", { q: text }, signal)).values,
    draw: (option) => [h("span", { class: "option-name" }, option.value), h("span", { class: "option-detail" }, `${viewLabel(option.view)} · ${count(option.n_items)} items`)],
    pick: ({ view, value }) => {
      const rest = state.filters.filter((each) => each.view !== view || each.value !== value);
      change({ filters: [...rest, { view, value, only: true }] });
    },
  });

  function sync() {
    chips.replaceChildren(...state.filters.map((filter) => h("li", { class: `chip ${filter.only ? "" : "not"}` },
      h("button", {
        type: "button", class: "mode", title: "Switch between only and not",
        on: { click: () => change({ filters: state.filters.map((each) => (each === filter ? { ...each, only: !each.only } : each)) }) },
      }, filter.only ? "only" : "not"),
      h("span", {}, `${viewLabel(filter.view)}: ${filter.value}`),
      h("button", {
        type: "button", class: "remove", "aria-label": `Remove the filter ${filter.value}`,
        on: { click: () => change({ filters: state.filters.filter((each) => each !== filter) }) },
      }, "×"))));
  }
  const element = sides.length ? h("div", {}, chips, box.element) : h("p", { class: "hint" }, "This bundle has no side views to filter by.");
  return { element, sync };
}
