// Thousands of points on a canvas: hover names them, a click selects, drag and wheel move, arrow keys walk from point to
// point. A canvas of our own, since plotly's fast layer compiles code at run time, which the page's policy forbids.

import { calm, h, token } from "./dom.js";
import { N_COLOURS } from "./palette.js";
import { count } from "./words.js";

const REACH = 14; // pixels from a point at which it is meant
const MOST_LABELS = 26;
const [LEAST_ZOOM, MOST_ZOOM] = [0.8, 40];
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export function itemMap({ pick, enter }) {
  const canvas = h("canvas", { tabindex: "0", role: "application", "aria-roledescription": "map", "aria-label": "Map of the items. Arrow keys select the next item in a direction, plus and minus zoom, Enter shows its neighbours." });
  const tip = h("div", { class: "tip", hidden: true });
  const zoomButton = (text, label, action) => h("button", { type: "button", class: "small", "aria-label": label, title: label, on: { click: action } }, text);
  const element = h("div", { class: "map" }, canvas, tip,
    h("div", { class: "zoom" }, zoomButton("+", "Zoom in", () => zoom(1.5)), zoomButton("−", "Zoom out", () => zoom(1 / 1.5)), zoomButton("⤢", "Whole map", () => look(0, 0, 1))));

  let points = { ids: [], names: [], counts: [], x: [], y: [] };
  let places = new Map();
  let colouring = null;
  let groups = [];
  let only = null;
  let selected = -1;
  let neighbours = [];
  let view = { x: 0, y: 0, zoom: 1 };
  let size = { width: 0, height: 0, across: 1, up: 1, dense: 1 };
  let due = 0;

  const spot = (x, y) => [size.width / 2 + (x - view.x) * view.zoom * size.across, size.height / 2 - (y - view.y) * view.zoom * size.up];
  const at = (i) => spot(points.x[i], points.y[i]);
  const radius = (i) => (1.6 + 0.55 * Math.log10(1 + points.counts[i])) * Math.min(2.2, view.zoom ** 0.35);
  const paint = () => { due ||= requestAnimationFrame(() => { due = 0; render(); }); };

  new ResizeObserver(([entry]) => {
    const { width, height } = entry.contentRect;
    const dense = window.devicePixelRatio || 1;
    Object.assign(canvas, { width: Math.round(width * dense), height: Math.round(height * dense) });
    // far distances mean nothing, so a map may be stretched to fill its frame, within reason
    const unit = 0.46 * Math.min(width, height);
    size = { width, height, dense, across: Math.min(0.46 * width, 1.6 * unit), up: Math.min(0.46 * height, 1.6 * unit) };
    paint();
  }).observe(canvas);
  document.addEventListener("themechange", paint);

  function render() {
    const pen = canvas.getContext("2d");
    pen.setTransform(size.dense, 0, 0, size.dense, 0, 0);
    pen.clearRect(0, 0, size.width, size.height);
    const tones = Array.from({ length: N_COLOURS }, (_, code) => token(`--map-${code}`));
    const [grey, ink, paper, accent] = ["--map-rest", "--text", "--surface", "--accent"].map(token);
    const lit = selected >= 0 && neighbours.length ? new Set([selected, ...neighbours]) : null;
    // the least clicked first, so that what people know lies on top
    for (let i = points.ids.length - 1; i >= 0; i--) {
      const code = colouring ? colouring.codes[i] : -1;
      const own = code >= 0 && code < N_COLOURS; // the rest share the colours, paler: groups stay apart
      const [x, y] = at(i);
      if (x < -9 || y < -9 || x > size.width + 9 || y > size.height + 9) continue;
      const away = (only !== null && code !== only) || (lit && only === null && !lit.has(i));
      pen.globalAlpha = (own || !colouring ? 0.85 : 0.42) * (away ? 0.35 : 1);
      pen.fillStyle = code >= 0 ? tones[code % N_COLOURS] : colouring ? grey : accent;
      pen.beginPath();
      pen.arc(x, y, radius(i), 0, 2 * Math.PI);
      pen.fill();
    }
    pen.globalAlpha = 1;
    drawSelection(pen, accent, paper);
    drawLabels(pen, ink, paper);
  }

  function drawSelection(pen, accent, paper) {
    if (selected < 0) return;
    const [x, y] = at(selected);
    pen.lineWidth = 1.2;
    pen.strokeStyle = accent;
    for (const i of neighbours) {
      const [nx, ny] = at(i);
      pen.globalAlpha = 0.45;
      pen.beginPath(); pen.moveTo(x, y); pen.lineTo(nx, ny); pen.stroke();
      pen.globalAlpha = 1;
      pen.beginPath(); pen.arc(nx, ny, radius(i) + 2.5, 0, 2 * Math.PI); pen.stroke();
    }
    pen.lineWidth = 3;
    for (const [colour, extra] of [[paper, 6], [accent, 4]]) {
      pen.strokeStyle = colour;
      pen.beginPath(); pen.arc(x, y, radius(selected) + extra, 0, 2 * Math.PI); pen.stroke();
    }
  }

  /** Names where there is room: the selected item and its neighbours first, then the groups, close up the items. */
  function drawLabels(pen, ink, paper) {
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    const taken = [];
    const write = (text, x, y, font, alpha = 1) => {
      pen.font = font;
      const half = pen.measureText(text).width / 2;
      const box = [x - half - 4, y - 9, x + half + 4, y + 9];
      if (box[0] < 0 || box[1] < 0 || box[2] > size.width || box[3] > size.height) return;
      if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) return;
      taken.push(box);
      pen.globalAlpha = alpha;
      pen.lineWidth = 4;
      pen.strokeStyle = paper;
      pen.strokeText(text, x, y);
      pen.fillStyle = ink;
      pen.fillText(text, x, y);
      pen.globalAlpha = 1;
    };
    const nameItem = (i, font) => { const [x, y] = at(i); write(short(points.names[i]), x, y - radius(i) - 11, font); };
    if (selected >= 0) nameItem(selected, "600 13px system-ui, sans-serif");
    for (const i of neighbours) nameItem(i, "12px system-ui, sans-serif");
    for (const group of groups) {
      if (taken.length >= MOST_LABELS) break;
      const [x, y] = spot(group.x, group.y);
      write(short(group.label), x, y, "600 11px system-ui, sans-serif", 0.72);
    }
    if (view.zoom < 3) return;
    for (let i = 0; i < points.ids.length && taken.length < 2 * MOST_LABELS; i++) {
      const [x, y] = at(i);
      if (x > 0 && y > 0 && x < size.width && y < size.height) nameItem(i, "11px system-ui, sans-serif");
    }
  }

  function nearest(x, y, reach = REACH) {
    let [best, distance] = [-1, reach];
    for (let i = 0; i < points.ids.length; i++) {
      const [px, py] = at(i);
      const own = Math.hypot(px - x, py - y);
      if (own < distance) [best, distance] = [i, own];
    }
    return best;
  }

  function look(x, y, scale) {
    view = { x, y, zoom: Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, scale)) };
    paint();
  }

  /** Zoom by a factor; what lies under (x, y) stays there. */
  function zoom(factor, x = size.width / 2, y = size.height / 2) {
    const next = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, view.zoom * factor));
    const gained = 1 / view.zoom - 1 / next;
    look(view.x + ((x - size.width / 2) / size.across) * gained, view.y - ((y - size.height / 2) / size.up) * gained, next);
  }

  function hover(event) {
    const i = nearest(event.offsetX, event.offsetY);
    canvas.style.cursor = i < 0 ? "grab" : "pointer";
    tip.hidden = i < 0;
    if (i < 0) return;
    const group = colouring && colouring.codes[i] >= 0 ? ` · ${colouring.labels[colouring.codes[i]]}` : "";
    tip.replaceChildren(h("strong", {}, points.names[i]), h("span", {}, `${count(points.counts[i])} clicks${group}`));
    const [x, y] = at(i);
    tip.classList.toggle("left", x > size.width / 2);
    tip.style.setProperty("--x", `${x}px`);
    tip.style.setProperty("--y", `${y}px`);
  }

  // ---- fingers, mouse, keys ----
  const fingers = new Map();
  let travelled = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
    travelled = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return hover(event);
    const [dx, dy] = [event.offsetX - before[0], event.offsetY - before[1]];
    travelled += Math.hypot(dx, dy);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      zoom(apart([event.offsetX, event.offsetY]) / Math.max(1, apart(before)), other[0], other[1]);
    } else if (travelled > 4) {
      look(view.x - dx / (view.zoom * size.across), view.y + dy / (view.zoom * size.up), view.zoom);
      tip.hidden = true;
    }
    fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
  });
  const lift = (event) => fingers.delete(event.pointerId);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerup", (event) => {
    const alone = fingers.size === 1;
    lift(event);
    if (!alone || travelled > 6) return;
    const i = nearest(event.offsetX, event.offsetY, event.pointerType === "touch" ? 2 * REACH : REACH);
    if (i >= 0) pick(points.ids[i]);
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (event.key in STEPS) walk(STEPS[event.key]);
    else if (event.key === "+" || event.key === "=") zoom(1.4);
    else if (event.key === "-") zoom(1 / 1.4);
    else if (event.key === "0") look(0, 0, 1);
    else if (event.key === "Enter" && selected >= 0) enter();
    else return;
    event.preventDefault();
  });

  /** Select the nearest point in a direction; one that lies straight ahead counts as nearer. */
  function walk([dx, dy]) {
    if (!points.ids.length) return;
    if (selected < 0) return pick(points.ids[0]);
    let [best, least] = [-1, Infinity];
    for (let i = 0; i < points.ids.length; i++) {
      const [x, y] = [points.x[i] - points.x[selected], points.y[i] - points.y[selected]];
      const ahead = x * dx + y * dy;
      const aside = Math.abs(x * dy) + Math.abs(y * dx);
      if (i === selected || ahead <= 0 || aside > 2 * ahead) continue;
      const distance = ahead + 2 * aside;
      if (distance < least) [best, least] = [i, distance];
    }
    if (best >= 0) pick(points.ids[best]);
  }

  /** Where the values of a view lie: the median of their points, the largest groups first. */
  function groupPlaces() {
    if (!colouring) return [];
    const members = new Map();
    colouring.codes.forEach((code, i) => code >= 0 && members.set(code, [...(members.get(code) ?? []), i]));
    const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
    return [...members].filter(([, own]) => own.length > 4).sort((a, b) => b[1].length - a[1].length).slice(0, 60)
      .map(([code, own]) => ({ label: colouring.labels[code], x: median(own.map((i) => points.x[i])), y: median(own.map((i) => points.y[i])) }));
  }

  function glideTo(next) {
    const [fromX, fromY] = [points.x, points.y];
    const begun = performance.now();
    const frame = (now) => {
      const t = Math.min(1, (now - begun) / 900);
      const share = 1 - (1 - t) ** 3;
      points = { ...next, x: next.x.map((x, i) => fromX[i] + share * (x - fromX[i])), y: next.y.map((y, i) => fromY[i] + share * (y - fromY[i])) };
      if (t === 1) groups = groupPlaces();
      render();
      if (t < 1) requestAnimationFrame(frame);
    };
    groups = [];
    requestAnimationFrame(frame);
  }

  return {
    element,
    draw(next, { glide }) {
      places = new Map(next.ids.map((id, i) => [id, i]));
      if (glide && !calm() && next.ids.length === points.ids.length) return glideTo(next);
      points = next;
      groups = groupPlaces();
      paint();
    },
    colourBy(next) {
      colouring = next;
      only = null;
      groups = groupPlaces();
      paint();
    },
    isolate(code) {
      only = code;
      paint();
    },
    /** Highlight an item and its neighbours; tells what of them is on the map. */
    select(id, ids) {
      selected = places.get(id) ?? -1;
      neighbours = ids.map((each) => places.get(each)).filter((i) => i !== undefined);
      paint();
      return { self: selected >= 0, neighbours: neighbours.length };
    },
  };
}

const short = (text) => (text.length > 28 ? `${text.slice(0, 27)}…` : text);
