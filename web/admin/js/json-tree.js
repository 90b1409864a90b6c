// JSON as a tree of <details>: children are made when they are first opened.

import { h } from "./dom.js";
import { count, plural } from "./format.js";
import { button } from "./parts.js";

const AT_ONCE = 100;
const OPEN_DEPTH = 2;
const OPEN_CHILDREN = 30;

/** Of what `readJson` made. */
export const jsonTree = (value) => h("div.code.tree", { role: "group", "aria-label": "JSON" }, node(null, value, 0));

function label(key) {
  return key === null ? null : [h("span.key", String(key)), ": "];
}

function node(key, value, depth) {
  return value.entries
    ? branch(key, value, depth)
    : h("div.leaf", label(key), h(`span.${value.kind}`, value.text));
}

function branch(key, { list, entries }, depth) {
  const sum = list ? `[ ${plural(entries.length, "item")} ]` : `{ ${plural(entries.length, "key")} }`;
  if (!entries.length) return h("div.leaf", label(key), h("span.sum", list ? "[ ]" : "{ }"));
  const details = h("details", h("summary", label(key), h("span.sum", sum)));
  let made = false;
  const open = () => {
    if (made) return;
    made = true;
    grow(details, entries, 0, depth);
  };
  details.addEventListener("toggle", () => details.open && open());
  if (depth < OPEN_DEPTH && entries.length <= OPEN_CHILDREN) {
    open();
    details.open = true;
  }
  return details;
}

function grow(details, entries, from, depth) {
  const end = Math.min(entries.length, from + AT_ONCE);
  for (let n = from; n < end; n += 1) details.append(node(entries[n][0], entries[n][1], depth + 1));
  if (end === entries.length) return;
  const more = button(
    `Show more (${count(entries.length - end)} left)`,
    () => {
      more.remove();
      grow(details, entries, end, depth);
    },
    { kind: "quiet" },
  );
  details.append(more);
}
