// Two requests side by side, such as a replay and what it is a replay of: what differs stands out.

import { get } from "../js/api.js";
import { diffLines } from "../js/diff.js";
import { h, replace } from "../js/dom.js";
import { bytes, duration, time } from "../js/format.js";
import { badge, button, card, heading, link } from "../js/parts.js";
import { statusClass, statusWords } from "../js/records.js";

const CONTEXT = 3;
const SHOWN_ROWS = 1500;

export default async function compare(root, scope, target) {
  const [left, right] = await Promise.all(
    target.rest.slice(0, 2).map((id) => get(`requests/${encodeURIComponent(id)}`, { signal: scope.signal })),
  );
  replace(
    root,
    h("p", link("All requests", "#/requests", { picture: "back", kind: "quiet" })),
    heading(
      "Compare",
      right.replayOf === left.id
        ? "The original on the left, its replay on the right."
        : "Two requests, the first on the left.",
    ),
    card(
      null,
      h(
        "div.table-group",
        h(
          "table.table.pair",
          { role: "table", "aria-label": "The two requests" },
          summaryHead(),
          h(
            "tbody",
            [left, right].map((record, n) => summary(record, n)),
          ),
        ),
      ),
    ),
    ...[
      ["Request", "request"],
      ["Answer", "response"],
    ].flatMap(([title, side]) => section(title, left[side], right[side])),
  );
  return { keys: { Escape: () => (location.hash = `#/requests/${encodeURIComponent(right.id)}`) } };
}

const summaryHead = () =>
  h(
    "thead",
    h(
      "tr",
      ["", "Status", "Request", "Arrived", "Took", "Answer"].map((word) =>
        h("th", { scope: "col" }, word || h("span.unseen", "Which")),
      ),
    ),
  );

function summary(record, n) {
  const cell = (label, content) => h("td", { "data-label": label }, content);
  return h(
    "tr",
    h("td.lead-cell", h("a.row-title", { href: `#/requests/${encodeURIComponent(record.id)}` }, n ? "Right" : "Left")),
    cell("Status", h(`span.status.${statusClass(record)}`, statusWords(record))),
    h("td.wide", { "data-label": "Request" }, h("span.mono", `${record.method} ${record.path}`)),
    cell("Arrived", time(record.at, "clock")),
    cell("Took", duration(record.seconds)),
    cell("Answer", bytes(record.responseBytes)),
  );
}

function section(title, left, right) {
  return [
    card(`${title}: first line and headers`, diffTable(headLines(left), headLines(right))),
    card(`${title}: body`, bodies(left?.body, right?.body)),
  ];
}

const headLines = (part) => (part ? [part.line, ...part.headers.map(([name, value]) => `${name}: ${value}`)] : []);

function bodies(left, right) {
  const [leftText, rightText] = [left?.text, right?.text];
  if (typeof leftText === "string" || typeof rightText === "string")
    return diffTable(lines(leftText), lines(rightText));
  if (!left?.size && !right?.size) return h("p.hint", "Neither has a body.");
  const same = left?.base64 && left.base64 === right?.base64;
  return h(
    "p",
    same ? badge("equal", "good") : badge("not text", "quiet"),
    ` ${bytes(left?.size ?? 0)} on the left, ${bytes(right?.size ?? 0)} on the right.`,
  );
}

const lines = (text) => (text ? text.split("\n") : []);

function diffTable(left, right) {
  const rows = diffLines(left, right);
  if (!rows.length) return h("p.hint", "Empty on both sides.");
  if (rows.every((row) => row.same))
    return h(
      "div.actions",
      badge("equal", "good"),
      button(
        "Show it",
        (event) => {
          event.currentTarget.parentElement.replaceWith(table(rows, true));
        },
        { kind: "quiet" },
      ),
    );
  return table(rows, false);
}

function table(rows, whole) {
  const body = h("tbody");
  for (const part of whole ? [{ rows }] : folded(rows)) {
    if (part.rows) body.append(...part.rows.slice(0, SHOWN_ROWS).map(line));
    else body.append(fold(part.hidden));
  }
  return h(
    "table.diff",
    h("thead", h("tr", h("th", { scope: "col" }, "Left"), h("th", { scope: "col" }, "Right"))),
    body,
  );
}

/** Runs of equal lines far from any difference are folded. */
function folded(rows) {
  const near = new Set();
  rows.forEach((row, n) => {
    if (!row.same) for (let at = n - CONTEXT; at <= n + CONTEXT; at += 1) near.add(at);
  });
  const parts = [];
  let [shown, hidden] = [[], []];
  const flush = () => {
    if (hidden.length > 2) {
      parts.push({ rows: shown }, { hidden });
      shown = [];
    } else shown.push(...hidden);
    hidden = [];
  };
  rows.forEach((row, n) => {
    if (!near.has(n)) hidden.push(row);
    else {
      flush();
      shown.push(row);
    }
  });
  flush();
  parts.push({ rows: shown });
  return parts;
}

function fold(hidden) {
  const row = h(
    "tr.same-run",
    h(
      "td",
      { colspan: 2 },
      button(`${hidden.length} equal lines`, () => row.replaceWith(...hidden.slice(0, SHOWN_ROWS).map(line)), {
        kind: "quiet",
      }),
    ),
  );
  return row;
}

function line({ left, right, same }) {
  if (same) return h("tr", h("td.same", left), h("td.same", right));
  return h(
    "tr",
    left === null ? h("td.void") : h("td.gone", h("span.unseen", "only left: "), left),
    right === null ? h("td.void") : h("td.new", h("span.unseen", "only right: "), right),
  );
}
