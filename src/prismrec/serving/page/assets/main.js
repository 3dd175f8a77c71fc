// The page: what the bundle is, the search box, the tabs. Everything else is in the modules of the tabs.

import { read } from "./api.js";
import { combobox } from "./combobox.js";
import { failure, h, tell } from "./dom.js";
import { cardDetails } from "./lists.js";
import { map } from "./map.js";
import { model } from "./model.js";
import { neighbours } from "./neighbours.js";
import { viewColours } from "./palette.js";
import { session } from "./session.js";
import { TABS, begin, change, follow, state } from "./state.js";
import { count } from "./words.js";

const TITLES = { neighbours: "Neighbours", session: "Session", map: "Map", model: "Model" };
const place = (id) => document.getElementById(id);

async function start() {
  place("theme").addEventListener("click", () => { window.prismTheme.toggle(); });
  place("skip").addEventListener("click", (event) => { event.preventDefault(); place("main").focus(); });
  const overview = await read("overview");
  begin(overview);
  place("data-name").textContent = overview.title;
  document.title = `${overview.title} · PrismRec explorer`;
  place("about").textContent = `${count(overview.n_items)} items, ${count(overview.n_clicks)} clicks, trained ${overview.created.slice(0, 10)} · PrismRec ${overview.version}`;

  const names = new Map();
  const remember = (item) => { if (item.views || !names.has(item.id)) names.set(item.id, item); };
  const addToSession = (item) => {
    remember(item);
    change({ session: [...state.session, item.id] });
    tell(`${item.name} added to the session`);
  };
  const colours = viewColours(overview.views);
  const shared = { addToSession, remember, nameOf: (id) => names.get(id) };
  const make = {
    neighbours: () => neighbours(overview, colours, shared),
    session: () => session(overview, colours, shared),
    map: () => map(overview, colours, shared),
    model: () => model(overview),
  };
  drawSearch(overview, remember);
  drawTabs(make);
  if (!state.item) await firstItem();
}

/** The page never opens empty: without an item in the address it begins with the most clicked one. */
async function firstItem() {
  const { items: [first] } = await read("search", { q: "", limit: 1 });
  if (first) change({ item: first.id });
}

function drawSearch(overview, remember) {
  const box = combobox({
    id: "item-search", label: "Search an item by name or id", placeholder: "Search an item by name or id", fail: (error) => failure(error.message),
    find: async (text, signal) => (await read("search", { q: text }, signal)).items,
    draw: (item) => [h("span", { class: "option-name" }, item.name), h("span", { class: "option-detail" }, cardDetails(item).join(" · "))],
    pick: (item) => {
      remember(item);
      if (state.tab === "session") change({ session: [...state.session, item.id] }, { step: true });
      else change({ item: item.id, tab: state.tab === "map" ? "map" : "neighbours" }, { step: true });
    },
  });
  place("search").append(box.element);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
    event.preventDefault();
    box.input.focus();
  });
}

/** Tabs after the ARIA pattern: arrow keys move, one tab stop; a panel is made when it is first opened. */
function drawTabs(make) {
  const open = (tab, focus = false) => { change({ tab }, { step: true }); if (focus) place(`tab-${tab}`).focus(); };
  const badge = h("span", { class: "badge", "aria-hidden": "true", hidden: true });
  const tabs = TABS.map((tab) => h("button", {
    type: "button", id: `tab-${tab}`, role: "tab", "aria-controls": `panel-${tab}`, on: { click: () => open(tab) },
  }, TITLES[tab], tab === "session" ? badge : null));
  const panels = TABS.map((tab) => h("div", { id: `panel-${tab}`, role: "tabpanel", "aria-labelledby": `tab-${tab}`, hidden: true }));
  const made = {};
  place("tabs").append(...tabs);
  place("tabs").addEventListener("keydown", (event) => {
    const now = TABS.indexOf(state.tab);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: TABS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    open(TABS[(to + TABS.length) % TABS.length], true);
  });
  place("main").append(...panels);

  function show() {
    TABS.forEach((tab, i) => {
      const on = tab === state.tab;
      tabs[i].setAttribute("aria-selected", String(on));
      tabs[i].tabIndex = on ? 0 : -1;
      panels[i].hidden = !on;
    });
    badge.textContent = String(state.session.length);
    badge.hidden = !state.session.length;
    if (made[state.tab]) return;
    made[state.tab] = make[state.tab]();
    panels[TABS.indexOf(state.tab)].append(made[state.tab].element);
    made[state.tab].enter();
  }
  follow(show);
  show();
}

start().catch((error) => failure(error.message));
