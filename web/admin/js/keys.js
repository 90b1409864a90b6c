// Keyboard shortcuts: shown with "?", switched off by those whose tools type letters (WCAG 2.1.4).

import { h } from "./dom.js";
import { show } from "./dialogs.js";

const KEY = "sluice.shortcuts";
const PLACES = {
  o: "overview",
  c: "clients",
  n: "routes",
  r: "requests",
  a: "add",
  e: "certificates",
  l: "log",
  s: "settings",
};
const SERVER_HELP = [
  ["g|o", "Overview"],
  ["g|r", "Requests"],
  ["g|c", "Clients"],
  ["g|n", "Names and ports"],
  ["g|e", "Certificates"],
  ["g|a", "Add a client"],
  ["g|l", "Log"],
  ["g|s", "Settings"],
];
const CLIENT_HELP = [
  ["g|r", "Requests"],
  ["g|l", "Log"],
];
const COMMON_HELP = [
  ["/", "Search or filter"],
  ["?", "These shortcuts"],
  ["Esc", "Close; back to the list"],
];
const LIST_HELP = [
  ["↑|↓", "Move in the list"],
  ["PgUp|PgDn|Home|End", "Move further"],
  ["Enter", "Open a request"],
  ["p", "Pause or go on"],
  ["x", "Replay the open request"],
  ["e", "Edit and replay it"],
  ["u", "Copy it as curl"],
];

let pendingUntil = 0;

function enabled() {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true;
  }
}

function enable(on) {
  try {
    localStorage.setItem(KEY, on ? "on" : "off");
  } catch {
    // then they stay on
  }
}

const isTyping = (target) => target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName);

/** context(): {session, view}; a view may have keys: {p: run}. */
export function listenForKeys(context) {
  addEventListener("keydown", (event) => {
    const { session, view } = context();
    if (!session || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      if (view?.keys?.Escape && !isTyping(event.target)) view.keys.Escape();
      else if (isTyping(event.target)) event.target.blur();
      return;
    }
    if (isTyping(event.target) || !enabled()) return;
    if (press(event.key, session, view)) event.preventDefault();
  });
}

function press(key, session, view) {
  if (performance.now() < pendingUntil) {
    pendingUntil = 0;
    const place = PLACES[key];
    if (place && (session.role === "server" || ["requests", "log"].includes(place))) location.hash = `#/${place}`;
    return Boolean(place);
  }
  if (key === "g") {
    pendingUntil = performance.now() + 1500;
    return true;
  }
  if (key === "?") {
    help(session);
    return true;
  }
  if (key === "/") {
    const search = [...document.querySelectorAll("[data-search]")].find((element) => element.checkVisibility());
    search?.focus();
    return Boolean(search);
  }
  const run = view?.keys?.[key];
  run?.();
  return Boolean(run);
}

const rows = (pairs) =>
  h(
    "dl.keys",
    pairs.map(([keys, what]) =>
      h(
        "div",
        h(
          "dt",
          keys.split("|").map((key) => h("kbd", key)),
        ),
        h("dd", what),
      ),
    ),
  );

export function help(session) {
  const box = h("input", { type: "checkbox", checked: enabled(), onchange: () => enable(box.checked) });
  show(
    "Keyboard shortcuts",
    h(
      "div.keys-grid",
      h(
        "section",
        h("h3", "Anywhere"),
        rows([...COMMON_HELP, ...(session.role === "server" ? SERVER_HELP : CLIENT_HELP)]),
      ),
      h("section", h("h3", "Requests"), rows(LIST_HELP)),
      h("label.check", box, h("span", "Single-letter shortcuts on")),
    ),
  );
}
