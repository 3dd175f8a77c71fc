// A search box after the ARIA pattern "editable combobox with list autocomplete": focus stays in the box, arrows walk
// through the list, Enter takes, Escape closes.

import { debounced, h, tell } from "./dom.js";
import { latest } from "./api.js";

/**
 * find(text, signal) -> options; draw(option) -> children of its row; pick(option) when one is taken.
 * `keep` leaves the text in the box after a choice.
 */
export function combobox({ id, label, placeholder, find, draw, pick, fail, empty = "Nothing is called that." }) {
  const listId = `${id}-list`;
  let options = [];
  let active = -1;

  const input = h("input", {
    id, type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", placeholder, enterkeyhint: "search",
    "aria-label": label, "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": listId,
    on: { input: () => search(), focus: () => search(), blur: () => close(), keydown: onKey, click: () => list.hidden && search() },
  });
  const list = h("ul", { id: listId, class: "options", role: "listbox", "aria-label": label, hidden: true });
  // a press in the list must not take the focus out of the box
  list.addEventListener("pointerdown", (event) => event.preventDefault());

  const ask = latest(show, fail);
  const search = debounced(() => document.activeElement === input && ask((signal) => find(input.value, signal)), 70);

  function show(found) {
    if (document.activeElement !== input) return;
    options = found;
    active = -1;
    list.replaceChildren(...(found.length ? found.map(row) : [h("li", { class: "nothing", role: "option", "aria-disabled": "true" }, empty)]));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    input.removeAttribute("aria-activedescendant");
    if (input.value) tell(found.length ? `${found.length} found` : empty);
  }

  function row(option, place) {
    return h("li", { id: `${id}-${place}`, role: "option", "aria-selected": "false", on: { click: () => take(place) } }, draw(option));
  }

  function move(to) {
    if (!options.length) return;
    list.children[active]?.setAttribute("aria-selected", "false");
    active = (to + options.length) % options.length;
    const chosen = list.children[active];
    chosen.setAttribute("aria-selected", "true");
    chosen.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", chosen.id);
  }

  function take(place) {
    const option = options[place];
    if (!option) return;
    input.value = "";
    close();
    pick(option);
  }

  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    active = -1;
  }

  function onKey(event) {
    const open = !list.hidden;
    if (event.key === "ArrowDown") open ? move(active + 1) : search();
    else if (event.key === "ArrowUp") open ? move(active < 0 ? -1 : active - 1) : search();
    else if (event.key === "Enter") open && take(Math.max(active, 0));
    else if (event.key === "Escape") open ? close() : (input.value = "");
    else return;
    event.preventDefault();
  }

  return { element: h("div", { class: "combobox" }, input, list), input };
}
