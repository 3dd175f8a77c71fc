// Numbers and names as people read them.

const whole = new Intl.NumberFormat("en");
const LABELS = { item: "Item" };

export const count = (n) => whole.format(n);
export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
export const signed = (value, digits = 2) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
export const fixed = (value, digits = 2) => `${value < 0 ? "−" : ""}${Math.abs(value).toFixed(digits)}`;
export const many = (n, one, more = `${one}s`) => `${count(n)} ${n === 1 ? one : more}`;

/** A view as a heading: `product_type` becomes `Product type`. */
export function viewLabel(name) {
  const words = name.replaceAll(/[_-]+/g, " ").trim();
  return LABELS[name] ?? words.charAt(0).toUpperCase() + words.slice(1);
}

/** A view in a sentence, several of its nodes: `category` becomes `categories`. */
export function viewPlural(name) {
  const words = name.replaceAll(/[_-]+/g, " ").trim().toLowerCase();
  if (/[^aeiou]y$/.test(words)) return `${words.slice(0, -1)}ies`;
  return /(s|x|ch|sh)$/.test(words) ? `${words}es` : `${words}s`;
}
