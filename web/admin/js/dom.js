// The only place where elements are made. Text goes in as text nodes, everything else as attributes: no markup is
// ever parsed, so whatever visitors and clients send is shown and never run.

const SVG = "http://www.w3.org/2000/svg";
const FORBIDDEN = new Set(["style", "srcdoc", "innerhtml", "outerhtml", "formaction", "ping", "xlink:href"]);
const ADDRESSES = new Set(["href", "src", "action"]);
const PROPERTIES = new Set(["value", "checked", "selected", "indeterminate"]);

/** h("button.primary", {type: "button", onclick: run}, "Save"): an element; `null` children are left out. */
export function h(spec, ...rest) {
  const [tag, ...classes] = spec.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  fill(element, rest);
  return element;
}

/** The same for SVG. */
export function svg(spec, ...rest) {
  const [tag, ...classes] = spec.split(".");
  const element = document.createElementNS(SVG, tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  fill(element, rest);
  return element;
}

function fill(element, rest) {
  let children = rest;
  if (isAttributes(rest[0])) {
    for (const [name, value] of Object.entries(rest[0])) set(element, name, value);
    children = rest.slice(1);
  }
  add(element, children);
}

const isAttributes = (value) =>
  value !== null && typeof value === "object" && !(value instanceof Node) && !Array.isArray(value);

/** One attribute, property or (for a function) listener. */
export function set(element, name, value) {
  const lower = name.toLowerCase();
  if (typeof value === "function" && lower.startsWith("on")) {
    element.addEventListener(lower.slice(2), value);
    return;
  }
  if (lower.startsWith("on") || FORBIDDEN.has(lower)) throw new Error(`attribute ${name} is not set from here`);
  if (name === "class") {
    if (value) element.setAttribute("class", `${element.getAttribute("class") ?? ""} ${value}`.trim());
  } else if (PROPERTIES.has(name)) {
    element[name] = value;
  } else if (value === false || value === null || value === undefined) {
    element.removeAttribute(name);
  } else if (ADDRESSES.has(lower)) {
    const safe = safeAddress(value);
    if (safe !== null) element.setAttribute(name, safe);
  } else {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** An address that may be followed or loaded, or null: never `javascript:` or `data:`. */
export function safeAddress(value) {
  const text = String(value);
  if (text.startsWith("#")) return text;
  try {
    return ["http:", "https:", "blob:"].includes(new URL(text, document.baseURI).protocol) ? text : null;
  } catch {
    return null;
  }
}

/** Appends nodes, texts and lists of them. */
export function add(element, ...children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) add(element, ...child);
    else element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren();
  return add(element, ...children);
}

/** Writes only what has changed: the browser lays out nothing for an equal text. */
export function setText(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

let numbers = 0;
/** A new id, for label/control and aria pairs. */
export const newId = (prefix = "n") => `${prefix}-${++numbers}`;

/** Keeps `parent`'s children in the order of `items`, reusing the row of each key: row = {element, fill(item)}. */
export function keyed(parent, items, key, make) {
  const rows = (parent.sluiceRows ??= new Map());
  const wanted = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const id = key(item);
    wanted.add(id);
    let row = rows.get(id);
    if (!row) rows.set(id, (row = make(item)));
    row.fill(item);
    if (row.element === place) place = place.nextElementSibling;
    else parent.insertBefore(row.element, place);
  }
  for (const [id, row] of rows) {
    if (wanted.has(id)) continue;
    row.element.remove();
    rows.delete(id);
  }
}
