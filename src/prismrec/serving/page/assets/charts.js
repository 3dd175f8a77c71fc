// Charts by plotly, fetched when the first one is drawn, in the page's own colours, redrawn when these change.

import { calm, h, token } from "./dom.js";

let loading = null;
const drawn = new Set();

/** The library, once. */
function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = h("script", { src: new URL("./plotly.min.js", import.meta.url).href });
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => reject(new Error("The library for charts could not be fetched.")));
    document.head.append(script);
  });
  return loading;
}

/**
 * A chart that a screen reader knows by `label`. `traces(tone)` and `layout(tone)` give plotly's traces and layout;
 * `tone(name)` is the colour of a CSS custom property as it is now.
 */
export function chart({ label, height = 300, traces, layout = () => ({}) }) {
  const element = h("div", { class: "chart", role: "img", "aria-label": label, vars: { "--height": `${height}px` } });
  const draw = async () => {
    const plotly = await library();
    if (element.isConnected) await plotly.react(element, traces(token), framed(layout(token), height), { displayModeBar: false, responsive: true });
  };
  drawn.add(draw);
  return { element, draw };
}

document.addEventListener("themechange", () => loading && drawn.forEach((draw) => draw()));

function framed(layout, height) {
  const axis = { gridcolor: token("--line"), zerolinecolor: token("--line"), linecolor: token("--line"), automargin: true, fixedrange: true, title: { standoff: 8 } };
  return {
    height,
    margin: { l: 48, r: 12, t: 8, b: 40 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: token("--muted") },
    hoverlabel: { bgcolor: token("--surface"), bordercolor: token("--line"), font: { color: token("--text") } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 } },
    transition: { duration: calm() ? 0 : 150 },
    ...layout,
    xaxis: { ...axis, ...layout.xaxis },
    yaxis: { ...axis, ...layout.yaxis },
  };
}

/** Lines from name -> [[x, y], ...]; `style(name, place)` gives a line's label, the CSS property of its colour, its dash. */
export const lines = (curves, style, more = {}) => (tone) =>
  Object.entries(curves).map(([key, points], place) => {
    const { label = key, colour = `--map-${place % 10}`, dash = "solid" } = style(key, place);
    return {
      type: "scatter", mode: points.length > 1 ? "lines" : "markers", name: label,
      x: points.map(([x]) => x), y: points.map(([, y]) => y),
      line: { color: tone(colour), width: 2, dash }, marker: { color: tone(colour) },
      hovertemplate: "%{y:.3f}<extra>%{fullData.name}</extra>", ...more,
    };
  });
