// Elements from data. Text becomes text nodes and nothing else, so a name can never be markup.

/**
 * An element with attributes, listeners and children.
 * `on` holds listeners, `vars` CSS properties; true and false add or leave out an attribute; children that are null are left out.
 */
export function h(tag, { on = {}, vars = {}, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  for (const [name, value] of Object.entries(vars)) element.style.setProperty(name, value);
  element.append(...children.flat(Infinity).filter((child) => child != null).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

/** Call `action` once things have been quiet for `milliseconds`. */
export function debounced(action, milliseconds) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), milliseconds);
  };
}

export const calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

/** The value of a CSS custom property of the page. */
export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Say something to those who listen to the page instead of looking at it. */
export const tell = debounced((text) => {
  document.getElementById("told").textContent = text;
}, 400);

/** Show what went wrong, or take it away. */
export function failure(text = "") {
  const place = document.getElementById("failure");
  place.textContent = text;
  place.hidden = !text;
}
