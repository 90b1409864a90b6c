// What stands around every view: navigation, how the server is, theme, log-out.

import { get, logOut } from "./api.js";
import * as events from "./events.js";
import { h, setText } from "./dom.js";
import { icon, mark } from "./icons.js";
import { iconButton } from "./parts.js";
import { attempt } from "./dialogs.js";
import { help } from "./keys.js";

const GROUPS = [
  [
    "Traffic",
    [
      ["overview", "Overview"],
      ["requests", "Requests"],
    ],
  ],
  [
    "Served",
    [
      ["clients", "Clients"],
      ["routes", "Names and ports"],
      ["certificates", "Certificates"],
      ["add", "Add a client"],
    ],
  ],
  [
    "Server",
    [
      ["log", "Log"],
      ["settings", "Settings"],
    ],
  ],
];
const modeWords = (mode) => (mode.includes("+") ? "server" : `${mode.toUpperCase()} server`);
const CLIENT_GROUPS = [
  [
    "Inspector",
    [
      ["requests", "Requests"],
      ["log", "Log"],
    ],
  ],
];
const THEMES = {
  auto: ["light", "Theme: as the system has it"],
  light: ["dark", "Theme: light"],
  dark: ["auto", "Theme: dark"],
};
const HEALTH = { ok: "All is well", warning: "Needs a look", error: "Something is wrong" };
const HEALTH_SECONDS = 15;

export class Shell {
  #session;
  #onleave;
  #links = new Map();

  constructor(session, onleave) {
    this.#session = session;
    this.#onleave = onleave;
    this.main = h("main", { id: "main", tabindex: -1 });
    this.menu = iconButton("Menu", "menu", () => this.#toggle(), {
      "aria-expanded": "false",
      "aria-controls": "sidebar",
    });
    this.menu.classList.add("menu-button");
    this.health = h(
      "a.health",
      { href: "#/overview", hidden: session.role !== "server" },
      h("span.dot"),
      h("span", "…"),
    );
    this.lost = h("p.lost", { hidden: true }, icon("warning"), h("span", "No connection to the server. Trying again…"));
    this.sidebar = this.#navigation();
    this.element = h(
      "div.shell",
      h("a.skip", { href: "#main", onclick: (event) => this.#skip(event) }, "Skip to the content"),
      h("header.topbar", this.#brand(), this.health, this.menu),
      this.sidebar,
      h("div.page", this.lost, this.main),
    );
  }

  #brand() {
    const home = this.#session.role === "server" ? "#/overview" : "#/requests";
    return h("a.brand", { href: home }, mark(), h("span", "Sluice"));
  }

  #navigation() {
    const groups = this.#session.role === "server" ? GROUPS : CLIENT_GROUPS;
    const lists = groups.map(([title, items]) =>
      h(
        "div.nav-group",
        h("h2", title),
        h(
          "ul",
          items
            .filter(([name]) => name !== "requests" || this.#session.inspect !== false)
            .map(([name, label]) => {
              const link = h(
                "a",
                { href: `#/${name}`, onclick: () => this.#toggle(false) },
                icon(name),
                h("span", label),
              );
              this.#links.set(name, link);
              return h("li", link);
            }),
        ),
      ),
    );
    return h("div.sidebar", { id: "sidebar" }, h("nav", { "aria-label": "Views" }, lists), this.#foot());
  }

  #foot() {
    const { role, mode, version, hostname } = this.#session;
    const theme = h("button.icon-button", { type: "button" });
    const label = () => {
      const now = window.sluiceTheme.get();
      theme.replaceChildren(icon(now));
      theme.setAttribute("aria-label", THEMES[now][1]);
      theme.title = THEMES[now][1];
    };
    theme.addEventListener("click", () => {
      window.sluiceTheme.set(THEMES[window.sluiceTheme.get()][0]);
      label();
    });
    label();
    const what = role === "server" ? modeWords(mode) : "client's inspector";
    return h(
      "div.sidebar-foot",
      h("p.where", h("strong", hostname || "this machine"), h("span", `${what} · ${version}`)),
      h(
        "div.foot-buttons",
        theme,
        iconButton("Keyboard shortcuts", "help", () => help(this.#session)),
        role === "server" ? iconButton("Log out", "logout", () => this.#leave()) : null,
      ),
    );
  }

  start() {
    const end = events.watch((state) => {
      if (!this.element.isConnected) end();
      this.lost.hidden = state !== "lost";
    });
    this.element.addEventListener("keydown", (event) => event.key === "Escape" && this.#toggle(false));
    if (this.#session.role !== "server") return;
    const ask = async () => {
      if (!this.element.isConnected) return clearInterval(timer);
      if (document.hidden) return undefined;
      try {
        this.showHealth((await get("overview")).health);
      } catch {
        // the line about the lost connection says it
      }
      return undefined;
    };
    const timer = setInterval(ask, HEALTH_SECONDS * 1000);
    ask();
  }

  showHealth(health) {
    this.health.dataset.state = health.state;
    setText(this.health.lastChild, HEALTH[health.state] ?? health.state);
  }

  /** The view that is open, in the navigation. */
  mark(name) {
    const shown = name === "compare" ? "requests" : name;
    for (const [other, link] of this.#links) {
      if (other === shown) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  #toggle(open = this.menu.getAttribute("aria-expanded") !== "true") {
    this.menu.setAttribute("aria-expanded", String(open));
    this.element.classList.toggle("menu-open", open);
  }

  #skip(event) {
    event.preventDefault();
    this.main.focus();
  }

  async #leave() {
    await attempt(async () => {
      await logOut();
      this.#onleave("You are logged out.");
    });
  }
}
