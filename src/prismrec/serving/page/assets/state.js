// What is being looked at, kept in the address: a link shows somebody else the same page.

import { debounced } from "./dom.js";

export const TABS = ["neighbours", "session", "map", "model"];
const listeners = new Set();
let defaults = {};
let views = new Set();

/** The state; changed by `change` alone. */
export const state = {};

/** Begin with what the bundle says, and then with what the address says. */
export function begin(overview) {
  const weights = Object.fromEntries(overview.views.filter((view) => view.weighable).map((view) => [view.name, view.weight]));
  views = new Set(overview.views.map((view) => view.name));
  defaults = {
    tab: "neighbours",
    item: "",
    session: [],
    weights,
    neighbourPopularity: Math.round((overview.query.popularity_weight / 3) * 20) / 20, // alone, one click says little
    sessionPopularity: overview.query.popularity_weight,
    diversity: 0,
    similarity: overview.query.similarity,
    filters: [],
    length: 12,
    leaveOutSeen: true,
    colour: overview.views.find((view) => view.name !== "item")?.name ?? "",
  };
  Object.assign(state, defaults, fromAddress());
  window.addEventListener("popstate", () => {
    Object.assign(state, defaults, fromAddress());
    announce();
  });
}

/** Change some of the state; `step` makes it a step that the browser's back button undoes. */
export function change(values, { step = false } = {}) {
  if (step) window.history.replaceState(null, "", address());
  Object.assign(state, values);
  if (step) window.history.pushState(null, "", address());
  else writeLater();
  announce();
}

/** Call `listener` after each change. */
export function follow(listener) {
  listeners.add(listener);
}

/** A function that tells whether a question differs from the last one of that name: what was asked is not asked again. */
export function novelty() {
  const asked = new Map();
  return (name, question) => {
    const text = JSON.stringify(question);
    const isNew = asked.get(name) !== text;
    asked.set(name, text);
    return isNew;
  };
}

export const initial = () => ({ ...defaults });

function announce() {
  for (const listener of listeners) listener();
}

const writeLater = debounced(() => window.history.replaceState(null, "", address()), 150);

const NUMBERS = { neighbourPopularity: "np", sessionPopularity: "sp", diversity: "d", length: "k" };

function address() {
  const query = new URLSearchParams();
  if (state.item) query.set("item", state.item);
  for (const id of state.session) query.append("s", id);
  for (const [view, weight] of Object.entries(state.weights)) {
    if (weight !== defaults.weights[view]) query.append("w", `${view}:${weight}`);
  }
  for (const [key, short] of Object.entries(NUMBERS)) if (state[key] !== defaults[key]) query.set(short, state[key]);
  for (const { view, value, only } of state.filters) query.append(only ? "only" : "not", `${view}:${value}`);
  if (state.similarity !== defaults.similarity) query.set("near", state.similarity);
  if (!state.leaveOutSeen) query.set("seen", "1");
  if (state.colour !== defaults.colour) query.set("colour", state.colour);
  const text = query.toString();
  return `#/${state.tab}${text ? `?${text}` : ""}`;
}

/** What of an address can be understood; the rest is left out. */
function fromAddress() {
  const [path, text = ""] = window.location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const query = new URLSearchParams(text);
  const found = {};
  if (TABS.includes(path)) found.tab = path;
  if (query.get("item")) found.item = query.get("item");
  if (query.has("s")) found.session = query.getAll("s").slice(0, 100);
  const weights = { ...defaults.weights };
  for (const [view, weight] of query.getAll("w").map(parted)) if (view in weights && isNumber(weight)) weights[view] = Number(weight);
  found.weights = weights;
  for (const [key, short] of Object.entries(NUMBERS)) if (isNumber(query.get(short))) found[key] = Number(query.get(short));
  found.filters = ["only", "not"].flatMap((name) =>
    query.getAll(name).map(parted).filter(([view]) => views.has(view)).map(([view, value]) => ({ view, value, only: name === "only" })),
  );
  if (["source_target", "cosine"].includes(query.get("near"))) found.similarity = query.get("near");
  if (query.has("seen")) found.leaveOutSeen = false;
  if (query.get("colour")) found.colour = query.get("colour");
  return clamped(found);
}

const parted = (text) => [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1)];
const isNumber = (text) => text !== null && text.trim() !== "" && Number.isFinite(Number(text));

function clamped(found) {
  if ("diversity" in found) found.diversity = Math.min(1, Math.max(0, found.diversity));
  if ("length" in found) found.length = Math.min(100, Math.max(1, Math.round(found.length)));
  return found;
}
