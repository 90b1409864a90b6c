// Who is connected, with what, how well; who came and went.

import { get } from "../js/api.js";
import { details, drawEvents, gone } from "../js/client-detail.js";
import { clientsTable } from "../js/clients-table.js";
import { attempt } from "../js/dialogs.js";
import { h, replace } from "../js/dom.js";
import { heading, link, note } from "../js/parts.js";
import { tokensTable } from "../js/tokens-table.js";

const REFRESH_SECONDS = 5;

export default async function clients(root, scope, target) {
  const view = new Clients(root, scope);
  view.open(target.rest[0]);
  await scope.every(REFRESH_SECONDS, () => view.load());
  const soon = scope.frame(() => attempt(() => view.load()), 1000);
  scope.event("client", soon);
  return {
    update(next) {
      view.open(next.rest[0]);
      view.draw();
      return true;
    },
    keys: { Escape: () => view.id && (location.hash = "#/clients") },
  };
}

class Clients {
  id = null;
  #found = { clients: [], events: [] };
  #tokens = { tokens: [], problem: null };

  constructor(root, scope) {
    this.scope = scope;
    this.table = clientsTable();
    this.events = h("ul.events");
    this.tokensHeading = h("h2.section-title", { tabindex: -1 }, "Tokens");
    this.tokens = tokensTable(async () => {
      await this.load();
      // The button that was pressed has gone with its row: who works by keyboard goes on from here.
      if (document.activeElement === document.body) this.tokensHeading.focus({ preventScroll: true });
    });
    this.trouble = h("div");
    this.listPart = h(
      "div",
      heading(
        "Clients",
        "Programs in private networks that are connected now.",
        link("Add a client", "#/add", { picture: "add", kind: "primary" }),
      ),
      this.table.element,
      this.tokensHeading,
      this.trouble,
      this.tokens.element,
      h("h2.section-title", "Comings and goings"),
      h("div.table-frame", this.events),
    );
    this.onePart = h("div");
    replace(root, this.listPart, this.onePart);
  }

  open(id) {
    this.id = id || null;
    this.listPart.hidden = Boolean(this.id);
    this.onePart.hidden = !this.id;
    this.shown = null;
  }

  async load() {
    const options = { signal: this.scope.signal };
    [this.#found, this.#tokens] = await Promise.all([get("clients", options), get("tokens", options)]);
    this.draw();
  }

  draw() {
    if (this.id) this.#drawOne();
    else {
      this.table.show(this.#found.clients);
      this.tokens.show(this.#tokens.tokens);
      this.#drawTrouble(this.#tokens.problem);
      drawEvents(this.events, this.#found.events, "Nobody has come or gone since the server started.");
    }
  }

  #drawTrouble(problem) {
    if (this.said === problem) return;
    this.said = problem;
    replace(this.trouble, problem ? note("bad", h("p", problem)) : null);
    this.tokens.element.hidden = Boolean(problem);
  }

  #drawOne() {
    const client = this.#found.clients.find((candidate) => candidate.clientId === this.id);
    const events = this.#found.events.filter((event) => event.clientId === this.id);
    const state = client ? "here" : "gone";
    if (this.shown?.state !== state) {
      this.shown = client ? details(client) : gone(this.id);
      this.shown.state = state;
      this.shown.events = h("ul.events");
      replace(
        this.onePart,
        h("p", link("All clients", "#/clients", { picture: "back", kind: "quiet" })),
        this.shown.element,
        h("h2.section-title", "Its comings and goings"),
        h("div.table-frame", this.shown.events),
      );
      this.onePart.querySelector("h1").focus({ preventScroll: true });
    }
    this.shown.fill?.(client);
    drawEvents(this.shown.events, events, "None is remembered.");
  }
}
