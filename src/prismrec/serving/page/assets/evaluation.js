// The comparison with other models: a table with intervals, and one metric drawn.

import { chart } from "./charts.js";
import { h } from "./dom.js";
import { count, percent, signed } from "./words.js";

const COLUMNS = ["HR@10", "HR@50", "NDCG@10", "AUC"];

/** The parts of the section; without a document, how to get one. */
export function evaluationPart(document, overview) {
  const heading = h("h2", { id: "evaluation-title" }, "Comparison with other models");
  if (!document) return [heading, ...howTo(overview)];
  let part = document.parts[0];
  let metric = COLUMNS.find((name) => document.metrics.includes(name)) ?? document.metrics[0];
  const models = Object.keys(document.figures);
  const table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Comparison, as a table" });
  const title = h("figcaption", {});
  const dots = chart({
    label: "One metric of all models, with intervals", height: 90 + 30 * models.length,
    traces: (tone) => [dotTrace(document, part, metric, models, tone)],
    layout: () => ({ xaxis: { title: { text: metric }, zeroline: false }, yaxis: { autorange: "reversed", ticksuffix: "  " }, margin: { l: 10, r: 16, t: 8, b: 40 } }),
  });
  const choice = (label, values, current, set) => h("label", { class: "inline" }, label,
    h("select", { on: { change: (event) => { set(event.target.value); show(); } } }, values.map((value) => h("option", { value, selected: value === current }, partName(value)))));
  const show = () => {
    table.replaceChildren(drawTable(document, part, models));
    title.textContent = `${metric} with ${percent(document.confidence)} intervals`;
    return dots.draw();
  };
  const body = h("div", {},
    h("p", { class: "hint" }, protocol(document)),
    h("div", { class: "choices" }, document.parts.length > 1 ? choice("Targets", document.parts, part, (value) => { part = value; }) : null,
      choice("Drawn", document.metrics, metric, (value) => { metric = value; })),
    h("div", { class: "evaluation" }, table, h("figure", {}, title, dots.element)));
  return [heading, { element: body, draw: show }];
}

const partName = (part) => ({ all: "all", rare: "rare items" })[part] ?? part;

function drawTable(document, part, models) {
  const metrics = COLUMNS.filter((name) => document.metrics.includes(name));
  const shown = metrics.length ? metrics : document.metrics.slice(0, 4);
  const figures = (model, metric) => document.figures[model][part][metric];
  const covered = coverageName(document);
  const best = Object.fromEntries(shown.map((metric) => [metric, Math.max(...models.map((model) => figures(model, metric).estimate.mean))]));
  return h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Model"), shown.map((metric) => h("th", { scope: "col", class: "number" }, metric)), covered && h("th", { scope: "col", class: "number" }, "Coverage"))),
    h("tbody", {}, models.map((model) => h("tr", {}, h("th", { scope: "row" }, model), shown.map((metric) => cell(figures(model, metric), best[metric])),
      covered && h("td", { class: "number", title: `share of the catalogue in the lists of all queries, ${covered}` }, percent(document.totals[model][covered], 1))))));
}

/** Coverage at the longest lists that were measured. */
function coverageName(document) {
  const names = Object.keys(Object.values(document.totals)[0] ?? {}).filter((name) => name.startsWith("coverage@"));
  return names.sort((a, b) => Number(b.split("@")[1]) - Number(a.split("@")[1]))[0] ?? null;
}

function cell({ estimate, reference, difference }, best) {
  const p = difference && (difference.p_value < 0.001 ? "p < 0.001" : `p = ${difference.p_value.toFixed(3)}`);
  return h("td", { class: `number${estimate.mean === best ? " best" : ""}` },
    h("span", {}, estimate.mean.toFixed(3)),
    h("span", { class: "interval" }, `${estimate.low.toFixed(3)} – ${estimate.high.toFixed(3)}`),
    difference ? h("span", { class: "interval", title: `against ${reference}` }, `${signed(difference.mean, 3)}, ${p}`) : null);
}

function dotTrace(document, part, metric, models, tone) {
  const estimates = models.map((model) => document.figures[model][part][metric].estimate);
  return {
    type: "scatter", mode: "markers", y: models, x: estimates.map((one) => one.mean),
    marker: { color: models.map((model) => tone(model.startsWith("m2grl") ? "--accent" : "--grey")), size: 10 },
    error_x: {
      type: "data", symmetric: false, thickness: 1.5, color: tone("--muted"),
      array: estimates.map((one) => one.high - one.mean), arrayminus: estimates.map((one) => one.mean - one.low),
    },
    hovertemplate: "%{y}: %{x:.3f}<extra></extra>",
  };
}

function protocol(document) {
  const seen = document.exclude_seen ? "without those of the history" : "those of the history among them";
  return `${document.data}, protocol ${document.protocol}: ${count(document.n_queries.all ?? Object.values(document.n_queries)[0])} queries, each ranks ${count(document.n_items)} items, ${seen}. `
    + `Intervals and p-values by paired bootstrap over users (${count(document.n_resamples)} resamples), against the best simple baseline. The best figure of a column is bold.`;
}

function howTo(overview) {
  const measured = Object.entries(overview.metrics);
  return [
    h("p", { class: "hint" }, "This bundle carries no comparison. To compare the model with popularity, ItemKNN, co-occurrence and EASE on held-out clicks of your data, run"),
    h("pre", {}, h("code", {}, "prismrec evaluate shop.toml -o results.json")),
    h("p", { class: "hint" }, "with the settings file the bundle was trained with, and put the result into the bundle (docs/serving.md says how). Figures with intervals then stand here."),
    measured.length ? h("dl", { class: "facts" }, measured.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value.toFixed(3))))) : null,
  ];
}
