// A list of items that changes in place: rows glide to their new places, each can say why it is there.

import { calm, failure, h } from "./dom.js";
import { count, fixed, signed, viewLabel } from "./words.js";

/** What a list shows of one item of an answer. */
export function rowOf(item, overview) {
  const columns = item.columns ?? {};
  const name = columns[overview.name_column];
  const details = overview.views
    .filter((view) => view.column && columns[view.column] != null && columns[view.column] !== "")
    .map((view) => nodeText(view.name, columns[view.column]));
  return { id: String(item.item_id), name: name == null || String(name).trim() === "" ? String(item.item_id) : String(name).trim(), details, score: item.score };
}

/** A node in words: names stand alone, bare numbers get their view's name. */
export function nodeText(view, value) {
  const text = [value].flat().join(", ");
  return /^\d+$/.test(text) ? `${viewLabel(view)} ${text}` : text;
}

/**
 * A list of rows.
 * pick(row): its name was clicked; `pickLabel` says what that does. add(row): the plus button, left out where null.
 * explain(id) -> promise of the parts of its score, left out where null.
 */
export function itemList({ label, pick, pickLabel, add = null, explain = null, colours = {} }) {
  const element = h("ol", { class: "items", "aria-label": label });
  const rows = new Map();

  function update(found) {
    const before = new Map([...rows].map(([id, row]) => [id, row.getBoundingClientRect().top]));
    const scores = found.map((row) => row.score);
    const [low, high] = [Math.min(...scores), Math.max(...scores)];
    const shown = found.map((row, place) => drawn(row, place, high > low ? (row.score - low) / (high - low) : 1));
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    const had = rows.size > 0;
    rows.clear();
    found.forEach((row, place) => rows.set(row.id, shown[place]));
    element.replaceChildren(...shown);
    if (focused?.dataset.key) element.querySelector(`[data-key="${CSS.escape(focused.dataset.key)}"]`)?.focus({ preventScroll: true });
    if (had && !calm()) glide(before);
  }

  /** Rows move from where they were; new ones fade in. */
  function glide(before) {
    for (const [id, row] of rows) {
      const from = before.get(id);
      const moved = from === undefined ? 0 : from - row.getBoundingClientRect().top;
      const frames = from === undefined ? [{ opacity: 0 }, { opacity: 1 }] : [{ transform: `translateY(${moved}px)` }, { transform: "none" }];
      if (from === undefined || moved) row.animate(frames, { duration: 260, easing: "cubic-bezier(.2,.7,.2,1)" });
    }
  }

  function drawn(row, place, share) {
    const why = h("div", { class: "why", hidden: true });
    const buttons = h("span", { class: "row-buttons" },
      explain && h("button", {
        type: "button", class: "small", "data-key": `why ${row.id}`, "aria-expanded": "false", "aria-label": `Why ${row.name}?`,
        on: { click: (event) => toggle(event.currentTarget, why, row) },
      }, "why?"),
      add && h("button", {
        type: "button", class: "small plus", "data-key": `add ${row.id}`, title: "Add to the session", "aria-label": `Add ${row.name} to the session`, on: { click: () => add(row) },
      }, "+"),
    );
    return h("li", { class: "row", "data-id": row.id },
      h("span", { class: "rank", "aria-hidden": "true" }, place + 1),
      h("div", { class: "row-main" },
        h("button", { type: "button", class: "name", "data-key": `pick ${row.id}`, title: `${pickLabel}: ${row.name} (id ${row.id})`, on: { click: () => pick(row) } }, row.name),
        row.details.length ? h("span", { class: "detail" }, row.details.join(" · ")) : null,
        h("span", { class: "bar", vars: { "--share": 0.12 + 0.88 * share }, title: `score ${fixed(row.score, 3)}` }),
      ),
      buttons, why,
    );
  }

  async function toggle(button, why, row) {
    const open = why.hidden;
    why.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (!open || why.childElementCount) return;
    why.replaceChildren(h("p", { class: "hint" }, "Asking …"));
    try {
      why.replaceChildren(explained(await explain(row.id), row, colours));
    } catch (error) {
      why.replaceChildren();
      failure(error.message);
    }
  }

  return { element, update, clear: () => { rows.clear(); element.replaceChildren(); } };
}

/** The parts of a score as bars about a common zero, and the items of the history that speak for it. */
function explained(explanation, row, colours) {
  if (!explanation) return h("p", { class: "hint" }, "The list has changed since; ask again.");
  const parts = Object.entries(explanation.views).map(([view, value]) => [viewLabel(view), value, colours[view]]);
  if (explanation.popularity) parts.push(["Popularity", explanation.popularity, "var(--grey)"]);
  if (explanation.repeat) parts.push(["Seen before", explanation.repeat, "var(--grey)"]);
  const largest = Math.max(...parts.map(([, value]) => Math.abs(value)), 1e-9);
  const history = (explanation.history ?? []).slice(0, 3);
  const paths = (explanation.paths ?? []).slice(0, 3);
  return h("div", {},
    h("p", { class: "hint" }, `Its score of ${fixed(row.score)} is the sum of these parts.`),
    h("dl", { class: "parts" }, parts.map(([name, value, colour]) => [
      h("dt", {}, name),
      h("dd", {},
        h("span", { class: `part ${value < 0 ? "less" : "more"}`, vars: { "--part": Math.abs(value) / largest, "--tone": colour } }),
        h("span", { class: "number" }, signed(value)),
      ),
    ])),
    history.length > 0 ? h("p", { class: "hint" }, "Most of it from: ", history.map((one, place) => `${place ? ", " : ""}${one.name} (${signed(one.share)})`).join(""), ".") : null,
    paths.length > 0 ? h("ul", { class: "paths", "aria-label": "Ways through the knowledge graph" }, paths.map((path) => h("li", { class: "hint" }, pathText(path)))) : null,
  );
}

/** A walk through the knowledge graph on one line: film → director → name. */
export function pathText(path) {
  return path.entities.map((entity, place) => (place ? ` → ${path.relations[place - 1]} → ${entity}` : entity)).join("");
}

/** What an item is, in one line. */
export function cardDetails(card) {
  const views = Object.entries(card.views).filter(([, nodes]) => nodes.length);
  return [...views.map(([view, nodes]) => nodeText(view, nodes)), `${count(card.count)} clicks`];
}
