// The model tab: what it was trained on, how training went, what was measured, how far it reaches.

import { latest, read } from "./api.js";
import { chart, lines } from "./charts.js";
import { evaluationPart } from "./evaluation.js";
import { failure, h, tell } from "./dom.js";
import { follow, state } from "./state.js";
import { count, many, percent, viewLabel, viewPlural } from "./words.js";

const POLL = 2000; // milliseconds until the reach is asked for again

export function model(overview) {
  const training = h("section", { class: "card wide", "aria-labelledby": "training-title" });
  const evaluation = h("section", { class: "card wide", "aria-labelledby": "evaluation-title" });
  const tail = h("section", { class: "card", "aria-labelledby": "tail-title" });
  const reach = h("section", { class: "card", "aria-labelledby": "reach-title" });
  const element = h("div", { class: "sheet" }, facts(overview), evaluation, training, tail, reach);
  const failed = (error) => failure(error.message);
  const askTraining = latest((curves) => fill(training, trainingPart(curves, overview)), failed);
  const askEvaluation = latest((document) => fill(evaluation, evaluationPart(document, overview)), failed);
  const askSpread = latest(showSpread, failed);
  let begun = false;
  let tailShown = false;

  function refresh() {
    if (state.tab !== "model" || begun) return;
    begun = true;
    askEvaluation((signal) => read("evaluation", {}, signal));
    askTraining((signal) => read("training", {}, signal));
    loadSpread();
  }
  const loadSpread = () => askSpread((signal) => read("spread", {}, signal));

  function showSpread(found) {
    if (!tailShown) fill(tail, tailPart(found.clicks));
    tailShown = true;
    fill(reach, reachPart(found));
    if (found.status === "working") setTimeout(loadSpread, POLL);
    else if (found.reach) tell("How far recommendations reach is known now.");
  }

  follow(refresh);
  return { element, enter: refresh };
}

/** Put parts in place and draw their charts, which want to be in the page when they are drawn. */
function fill(section, parts) {
  section.replaceChildren(...parts.map((part) => part?.element ?? part).filter(Boolean));
  for (const part of parts) part?.draw?.().catch((error) => failure(error.message));
}

function facts(overview) {
  const views = overview.views.map((view) =>
    h("li", {}, h("strong", {}, viewLabel(view.name)), view.name === "item" ? "" : ` — ${count(view.n_nodes)} ${viewPlural(view.name)}${view.column ? ` (column ${view.column})` : ""}, known for ${percent(view.items_covered)} of the items`,
      !view.dim ? ", without vectors: for filters and quotas" : `, ${view.dim} numbers each${view.weighable ? `, weight ${view.weight}` : ""}`));
  const query = overview.query;
  const facts = [
    ["Items", count(overview.n_items)], ["Clicks", count(overview.n_clicks)], ["Clicks per item", (overview.n_clicks / Math.max(1, overview.n_items)).toFixed(1)],
    ["Trained", overview.created.slice(0, 16).replace("T", " ")],
    ...(overview.encoder ? [["Model", overview.encoder]] : [["History", `latest ${query.history_length}`], ["Recency decay", query.recency_decay]]),
    ["Popularity", query.popularity_weight],
  ];
  const how = overview.encoder ? "The model makes one vector of a whole history, and scores items by their product with it."
    : "Each item has one vector per view; a list scores items by all of them, weighted. These are the model's own settings.";
  return h("section", { class: "card wide", "aria-labelledby": "facts-title" }, h("h2", { id: "facts-title" }, "The model"),
    h("p", { class: "hint" }, how),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("ul", { class: "plain" }, views));
}

function trainingPart(curves, overview) {
  const heading = h("h2", { id: "training-title" }, "Training");
  if (!curves.n_epochs) return [heading, h("p", { class: "hint" }, "This bundle carries no training log.")];
  const names = overview.views.map((view) => view.name);
  const place = (view) => `--view-${names.indexOf(view) % 6}`;
  const style = (task) => {
    const side = names.find((view) => task === `item-${view}`);
    if (side) return { label: `Item ↔ ${viewLabel(side)}`, colour: place(side), dash: "dot" };
    return names.includes(task) ? { label: viewLabel(task), colour: place(task) } : {};
  };
  const kept = curves.kept_epoch ? `; the vectors are those of epoch ${curves.kept_epoch}` : "";
  const x = { title: { text: "epoch" } };
  const loss = chart({ label: "Loss per task over the epochs", traces: lines(curves.losses, style), layout: () => ({ xaxis: x, yaxis: { title: { text: "loss per example" } }, hovermode: "x unified" }) });
  const weights = chart({ label: "Learned weight of each task over the epochs", traces: lines(curves.weights, style), layout: () => ({ xaxis: x, yaxis: { title: { text: "task weight" } }, hovermode: "x unified" }) });
  const validation = curves.validation.length
    ? chart({ label: "Validation metric over the epochs", height: 220, traces: lines({ validation: curves.validation }, () => ({})), layout: () => ({ xaxis: x, yaxis: { title: { text: "validation" } } }) })
    : null;
  const charts = h("div", { class: "charts" },
    h("figure", {}, h("figcaption", {}, "Loss: falling curves mean that neighbours are told from chance better."), loss.element),
    h("figure", {}, h("figcaption", {}, "Learned task weights: noisy tasks are trusted less."), weights.element),
    validation && h("figure", {}, h("figcaption", {}, "Validation: higher is better."), validation.element));
  return [
    heading,
    h("p", { class: "hint" }, `${many(curves.n_epochs, "epoch")}, ${Math.round(curves.seconds)} s${kept}. One task per view (what is clicked together), and one per side view that aligns it with the items (dotted).`),
    { element: charts, draw: () => Promise.all([loss, weights, validation].filter(Boolean).map((each) => each.draw())) },
  ];
}

function tailPart(clicks) {
  const named = ({ low, high }) => (high === null ? `${count(low)} +` : low === high ? count(low) : `${count(low)}–${count(high)}`);
  const bars = chart({
    label: "Items by number of clicks",
    traces: (tone) => [{ type: "bar", x: clicks.groups.map(named), y: clicks.groups.map((group) => group.n_items), marker: { color: tone("--map-0") }, hovertemplate: "%{y:,} items with %{x} clicks<extra></extra>" }],
    layout: () => ({ bargap: 0.15, xaxis: { title: { text: "clicks of an item" }, type: "category" }, yaxis: { title: { text: "items" } } }),
  });
  return [
    h("h2", { id: "tail-title" }, "The long tail"),
    h("p", { class: "hint" }, `The top 1 % of the items have ${percent(clicks.head_share)} of the clicks, and half of all clicks go to ${percent(clicks.half, 1)} of the items. Items with few clicks lean on their side information.`),
    bars,
  ];
}

function reachPart({ status, reason, clicks, reach }) {
  const heading = h("h2", { id: "reach-title" }, "Reach of the recommendations");
  if (status === "failed") return [heading, h("p", { class: "hint" }, `Could not be worked out: ${reason}`)];
  if (!reach) return [heading, h("p", { class: "hint waiting" }, "Being worked out at low priority, so that the service stays quick …")];
  const shares = { "shown in lists": reach.concentration, "clicked in training": clicks.concentration };
  const spread = chart({
    label: "Share of the clicks, and of the places in lists, that go to the top share of the items",
    traces: lines(shares, () => ({}), { hovertemplate: "top %{x:.1%} of the items: %{y:.0%}<extra>%{fullData.name}</extra>" }),
    layout: () => ({
      xaxis: { title: { text: "items, most shown or clicked first" }, type: "log", tickvals: [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1], tickformat: "~p", range: [Math.log10(1 / Math.max(2, clicks.n_items)), 0] },
      yaxis: { tickformat: ".0%", title: { text: "their share" }, range: [0, 1.03] },
    }),
  });
  return [
    heading,
    h("p", { class: "hint" }, `${count(reach.n_visitors)} visitors drawn by chance, each with one clicked item: their top-${reach.list_length} lists show ${count(reach.n_shown)} items, ${percent(reach.share, 1)} of the catalogue. `
      + "The steeper the curve, the fewer items take all the places. More diversity and less popularity reach further."),
    spread,
  ];
}
