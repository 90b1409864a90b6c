// The newest lines of the log; follows while the reader is at its end.

import { get } from "../js/api.js";
import { h, replace, setText } from "../js/dom.js";
import { count, time } from "../js/format.js";
import { icon } from "../js/icons.js";
import { button, empty, heading, select } from "../js/parts.js";

const KEPT_LINES = 2000;
const SHOWN_LINES = 500;
const LEVELS = { debug: 10, info: 20, warning: 30, error: 40, critical: 50 };

export default async function log(root, scope) {
  const view = new Log(root, scope);
  const { lines } = await get(`log?limit=${KEPT_LINES}`, { signal: scope.signal });
  view.add(lines);
  scope.event("log", (line) => view.add([line]));
  return { keys: { p: () => view.follow(!view.following) } };
}

class Log {
  #lines = [];
  #seen = new Set();
  #level = 0;
  #words = "";
  following = true;

  constructor(root, scope) {
    this.list = h("ul");
    this.box = h(
      "div.log",
      { tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Log, newest line last" },
      this.list,
    );
    this.tally = h("p.tally");
    this.nothing = h("div.table-frame");
    this.button = button("Following", () => this.follow(!this.following), { icon: "down", "aria-pressed": "true" });
    const words = h("input", {
      type: "search",
      placeholder: "Contains…",
      "aria-label": "Lines that contain",
      "data-search": true,
      autocomplete: "off",
    });
    words.addEventListener("input", () => {
      this.#words = words.value.toLowerCase();
      this.draw();
    });
    const level = select(
      [
        ["0", "All levels"],
        ["20", "Info and up"],
        ["30", "Warnings and errors"],
        ["40", "Errors only"],
      ],
      "0",
      (value) => {
        this.#level = Number(value);
        this.draw();
      },
      { "aria-label": "Level" },
    );
    replace(
      root,
      heading("Log", "The newest 2,000 lines, as the program wrote them.", this.button),
      h("div.toolbar", h("div.search", icon("search"), words), h("div", level), this.tally),
      this.box,
      this.nothing,
    );
    this.draw = scope.frame(() => this.#draw(), 150);
    scope.on(this.box, "scroll", () => this.#scrolled(), { passive: true });
  }

  add(lines) {
    for (const line of lines) {
      if (this.#seen.has(line.id)) continue;
      this.#seen.add(line.id);
      this.#lines.push(line);
    }
    this.#lines.sort((left, right) => left.id - right.id);
    for (const line of this.#lines.splice(0, Math.max(0, this.#lines.length - KEPT_LINES))) this.#seen.delete(line.id);
    this.draw();
  }

  follow(on) {
    this.following = on;
    this.button.setAttribute("aria-pressed", String(on));
    setText(this.button.lastChild, on ? "Following" : "Follow");
    if (on) this.#toEnd();
  }

  #toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
  }

  #scrolled() {
    const away = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight > 40;
    if (away && this.following && this.box.scrollTop < this.at - 4) this.follow(false);
    this.at = this.box.scrollTop;
  }

  #draw() {
    const found = this.#lines.filter(
      (line) =>
        (LEVELS[String(line.level).toLowerCase()] ?? 20) >= this.#level &&
        (!this.#words || `${line.logger} ${line.text}`.toLowerCase().includes(this.#words)),
    );
    const shown = found.slice(-SHOWN_LINES);
    this.#patch(shown);
    this.box.hidden = !shown.length;
    this.nothing.hidden = shown.length > 0;
    if (!shown.length) {
      replace(
        this.nothing,
        this.#lines.length
          ? h("p.none", "No line matches. Ask for less.")
          : empty(
              "log",
              "Nothing has been logged yet",
              "Lines appear here as the program writes them. --log-level debug tells more.",
            ),
      );
    }
    const hidden = found.length - shown.length;
    setText(
      this.tally,
      `${count(found.length)} of ${count(this.#lines.length)} lines${hidden ? `, the last ${count(SHOWN_LINES)} shown` : ""}`,
    );
    if (this.following) this.#toEnd();
    this.at = this.box.scrollTop;
  }

  /** Lines only go at the top and come at the end, unless a filter has changed. */
  #patch(shown) {
    const wanted = new Set(shown.map((line) => line.id));
    const have = new Map();
    for (const element of [...this.list.children]) {
      if (wanted.has(element.sluiceId)) have.set(element.sluiceId, element);
      else element.remove();
    }
    let place = this.list.firstElementChild;
    for (const line of shown) {
      const element = have.get(line.id) ?? row(line);
      if (element === place) place = place.nextElementSibling;
      else this.list.insertBefore(element, place);
    }
  }
}

function row(line) {
  const level = String(line.level).toLowerCase();
  const element = h(
    "li",
    { "data-level": Object.hasOwn(LEVELS, level) ? level : "info" },
    time(line.at, "clock"),
    h("span.level", level),
    h("span.text", h("span.logger", `${line.logger} `), line.text),
  );
  element.sluiceId = line.id;
  return element;
}
