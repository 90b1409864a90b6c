// Bodies by their kind: JSON as a tree, forms as a table, raster images, text, bytes. Never as a page.

import { address, get } from "./api.js";
import { h, replace } from "./dom.js";
import { bytes } from "./format.js";
import { icon } from "./icons.js";
import { button, failed, loading, note, segmented } from "./parts.js";
import { readJson } from "./json-text.js";
import { jsonTree } from "./json-tree.js";
import { hexView } from "./hex.js";

const TEXT_AT_ONCE = 40000; // characters; more is a button away, since one huge text node takes long to lay out

const MASKED = "Secrets are masked, and compression is undone. Reveal secrets to see the bytes as they went by.";

/** What the first bytes say; only these are ever shown as a picture. SVG is not among them: it is a document. */
const RASTER = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
  ["image/bmp", [0x42, 0x4d]],
  ["image/webp", [0x52, 0x49, 0x46, 0x46]],
  ["image/x-icon", [0, 0, 1, 0]],
  ["image/avif", null],
];

/** `reveal`: whether secrets are shown, and saved. */
export function bodyBlock(record, side, reveal) {
  const { body } = record[side];
  if (!body || (body.kind === "none" && !body.size)) return h("p.hint.block", "No body.");
  const content = h("div");
  const modes = modesOf(record, side, body, reveal);
  const head = h(
    "div.block-head",
    h("h3", "Body"),
    h(
      "div.actions",
      modes.length > 1
        ? segmented(
            "How the body is shown",
            modes.map(({ key, label }) => [key, label]),
            modes[0].key,
            choose,
          )
        : null,
      h(
        "a.button.quiet",
        { href: address(rawPath(record, side, reveal)), download: `${side}-body` },
        icon("download"),
        h("span", "Save"),
      ),
    ),
  );

  function choose(key) {
    replace(content, modes.find((mode) => mode.key === key).make());
  }

  choose(modes[0].key);
  return h(
    "section.block",
    { "aria-label": "Body" },
    head,
    h("p.hint", summary(body)),
    body.truncated ? cut(body) : null,
    content,
  );
}

const rawPath = (record, side, reveal) =>
  `requests/${encodeURIComponent(record.id)}/body/${side}${reveal ? "?reveal=1" : ""}`;

function summary(body) {
  const parts = [body.contentType || "no content type", bytes(body.size)];
  if (body.encoding && body.encoding !== "identity") parts.push(`was ${body.encoding}`);
  if (body.note) parts.push(body.note);
  return parts.join(" · ");
}

const cut = (body) => note("warn", h("p", `Only the first ${bytes(body.captured)} were kept.`));

function modesOf(record, side, body, reveal) {
  const modes = [];
  if (body.kind === "json" && body.text) {
    const json = readJson(body.text);
    if (json) modes.push({ key: "tree", label: "Tree", make: () => jsonTree(json) });
  }
  if (body.fields?.length) modes.push({ key: "fields", label: "Fields", make: () => fieldTable(body.fields) });
  const picture = body.kind === "image" && body.base64 ? raster(body) : null;
  if (picture) modes.push({ key: "image", label: "Picture", make: () => picture(body) });
  if (body.text !== null && body.text !== undefined)
    modes.push({ key: "text", label: body.kind === "json" ? "Pretty" : "Text", make: () => textView(body.text) });
  modes.push({ key: "hex", label: "Bytes", make: () => rawBytes(record, side, reveal) });
  return modes;
}

/** The text in steps: a click shows the rest. */
export function textView(text) {
  const box = h("pre.code", { tabindex: 0, "aria-label": "Text of the body" });
  const frame = h("div", box);
  let shown = 0;
  const more = () => {
    box.append(document.createTextNode(text.slice(shown, shown + TEXT_AT_ONCE)));
    shown += TEXT_AT_ONCE;
    frame.querySelector(".button")?.remove();
    if (shown < text.length)
      frame.append(button(`Show more (${bytes(text.length - shown)} left)`, more, { kind: "quiet" }));
  };
  more();
  return text ? frame : h("p.hint", "Empty.");
}

function fieldTable(fields) {
  return h(
    "table.headers",
    { "aria-label": "Fields" },
    h(
      "tbody",
      fields.map(([name, value]) => h("tr", h("th", { scope: "row" }, name), h("td", value))),
    ),
  );
}

function decode(base64) {
  const text = atob(base64);
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function rasterType(data) {
  for (const [type, start] of RASTER) {
    if (start?.every((byte, n) => data[n] === byte)) return type;
  }
  return String.fromCharCode(...data.slice(4, 12)).startsWith("ftypavi") ? "image/avif" : null;
}

function raster(body) {
  const data = decode(body.base64);
  const type = rasterType(data);
  if (!type) return null;
  return () => {
    const url = URL.createObjectURL(new Blob([data], { type }));
    const image = h("img", { src: url, alt: `The body as a picture (${type})` });
    image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
    image.addEventListener(
      "error",
      () => replace(frame, h("p.hint", "This browser cannot show it; it may be cut off.")),
      { once: true },
    );
    const frame = h("div.preview", image);
    return frame;
  };
}

function rawBytes(record, side, reveal) {
  const place = h("div", loading());
  get(rawPath(record, side, reveal), { raw: true })
    .then((answer) => answer.arrayBuffer())
    .then((data) => replace(place, hexView(new Uint8Array(data))))
    .catch((error) => replace(place, failed(error)));
  return record[side].body.masked ? h("div", h("p.hint", MASKED), place) : place;
}
