// The filters over the list of requests. What is chosen stays while the reader is elsewhere.

import { session } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { button, select } from "./parts.js";
import { matcher, NO_FILTER } from "./records.js";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "WebSocket"];
const STATUSES = [
  ["", "Any status"],
  ["2xx", "2xx"],
  ["3xx", "3xx"],
  ["4xx", "4xx"],
  ["5xx", "5xx"],
  ["1xx", "1xx"],
  ["open", "under way"],
  ["left", "visitor left"],
  ["broken", "cut off"],
];
const TIMES = [
  ["", "Any time"],
  ["0.1", "over 100 ms"],
  ["0.5", "over 500 ms"],
  ["1", "over 1 s"],
  ["5", "over 5 s"],
];

const kept = { ...NO_FILTER };

export class FilterBar {
  #onchange;
  #inputs = {};

  constructor(onchange) {
    this.#onchange = onchange;
    const methods = [["", "Any method"], ...METHODS.map((method) => [method, method])];
    this.element = h(
      "div.filters",
      { role: "search", "aria-label": "Filter" },
      this.#words("path", "Path contains", ""),
      this.#words("name", "Name", ".extra"),
      this.#choice("method", methods, "Method"),
      this.#choice("status", STATUSES, "Status"),
      this.#choice("minSeconds", TIMES, "Time taken"),
      session.role === "server" ? this.#words("client", "Client", ".extra") : null,
      this.#more(),
    );
  }

  /** Whether a record is wanted. */
  get test() {
    return matcher(kept);
  }

  #words(key, label, extra) {
    const input = h("input", {
      type: "search",
      placeholder: label,
      "aria-label": label,
      autocomplete: "off",
      spellcheck: "false",
      "data-search": key === "path",
      value: kept[key],
    });
    input.addEventListener("input", () => this.set(key, input.value));
    this.#inputs[key] = input;
    return h(`div.search${extra}`, icon("search"), input);
  }

  #choice(key, options, label) {
    const choice = select(options, kept[key], (value) => this.set(key, value), { "aria-label": label });
    this.#inputs[key] = choice;
    return h("div.extra", choice);
  }

  /** On a phone the others are behind a button. */
  #more() {
    const more = button(
      "Filters",
      () => more.setAttribute("aria-expanded", String(this.element.classList.toggle("open"))),
      { "aria-expanded": "false" },
    );
    more.classList.add("filters-more");
    return more;
  }

  set(key, value) {
    kept[key] = value;
    const input = this.#inputs[key];
    if (input && input.value !== value) input.value = value;
    this.#onchange();
  }

  clear() {
    for (const key of Object.keys(kept)) this.set(key, "");
  }
}
