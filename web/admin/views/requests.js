// The inspector: what is recorded, the live list, its filters; the open request beside it or in its place.

import { address, get, remove, session } from "../js/api.js";
import { attempt, confirm, notice } from "../js/dialogs.js";
import { h, replace, setText } from "../js/dom.js";
import { FilterBar } from "../js/filter-bar.js";
import { bytes, count, plural } from "../js/format.js";
import { icon } from "../js/icons.js";
import { button, empty, heading } from "../js/parts.js";
import { VirtualList } from "../js/list.js";
import { Records } from "../js/records.js";
import { chip, chooseTime, offWords } from "../js/recording.js";
import { HEADS, requestRow } from "../js/request-row.js";
import { Detail } from "../js/detail.js";

const LIST_MS = 250; // the list moves at most four times a second: more nobody can read
const STATE_SECONDS = 5;
const MOST_IN_FILE = 500; // the API's own
export default async function requests(root, scope, target) {
  const view = new Requests(root, scope);
  view.take(target);
  await view.load();
  scope.event("request", (record) => view.arrived(record));
  scope.every(STATE_SECONDS, () => view.loadState(), { now: false });
  scope.defer(() => view.end());
  await view.open(target.rest[0]);
  return {
    update(next) {
      view.take(next);
      attempt(() => view.open(next.rest[0]));
      return true;
    },
    keys: {
      p: () => view.pause(!view.paused),
      x: () => view.detail?.replay(),
      e: () => view.detail?.edit(),
      u: () => view.detail?.copyCurl(),
      Escape: () => view.detail && (location.hash = "#/requests"),
    },
  };
}

class Requests {
  records = new Records();
  paused = false;
  detail = null;
  #state = null;

  constructor(root, scope) {
    this.scope = scope;
    this.root = root;
    this.list = new VirtualList({
      label: "Requests, newest first",
      key: (record) => record.id,
      make: requestRow,
      onopen: (record) => this.#choose(record),
    });
    this.draw = scope.frame(() => this.#draw(), LIST_MS);
    this.filter = new FilterBar(() => {
      this.list.scrollToTop();
      this.draw();
    });
    this.fresh = button("", () => this.#showNew(), { kind: "primary", icon: "up", hidden: true });
    this.fresh.classList.add("more-new");
    this.nothing = h("div");
    this.tally = h("span.memory");
    this.inspecting = h("section.inspecting", { "aria-label": "What is recorded" });
    this.pauseButton = button("Pause", () => this.pause(!this.paused), { icon: "pause" });
    this.listHead = h(
      "div.list-head",
      { "aria-hidden": "true" },
      HEADS.map((word) => h("span", word)),
    );
    this.listPane = h(
      "section.list-pane",
      { "aria-label": "List" },
      this.listHead,
      this.fresh,
      this.list.element,
      this.nothing,
    );
    this.detailPane = h("section.detail-pane", { "aria-label": "Details", hidden: true });
    this.panes = h("div.inspector", this.listPane, this.detailPane);
    replace(
      root,
      heading(
        "Requests",
        leadWords(),
        this.pauseButton,
        button("HAR", () => this.exportHar(), { icon: "download", title: "Save what the list shows as a HAR file" }),
        button("Clear", () => this.clear(), { icon: "trash" }),
      ),
      this.inspecting,
      this.filter.element,
      this.panes,
    );
  }

  end() {
    this.list.end();
    this.detail?.end();
  }

  take(target) {
    const wanted = target.query.get("name");
    if (wanted !== null) {
      this.filter.set("name", wanted);
    }
  }

  async load() {
    await Promise.all([this.records.load(this.scope.signal), this.loadState()]);
    this.draw();
  }

  async loadState() {
    this.#state = await get("inspect", { signal: this.scope.signal });
    this.#drawState();
  }

  arrived(record) {
    this.records.add(record);
    this.detail?.told(record);
    this.draw();
  }

  pause(on) {
    this.paused = on;
    setText(this.pauseButton.lastChild, on ? "Go on" : "Pause");
    this.pauseButton.replaceChild(icon(on ? "play" : "pause"), this.pauseButton.firstChild);
    this.pauseButton.setAttribute("aria-pressed", String(on));
    this.draw();
  }

  #showNew() {
    if (this.paused) this.pause(false);
    this.list.scrollToTop();
    this.draw();
  }

  #draw() {
    if (!this.paused) this.records.take();
    const shown = (this.shown = this.records.all.filter(this.filter.test));
    const away = !this.list.atTop;
    this.list.show(shown);
    const waiting = this.paused ? this.records.waiting : 0;
    this.fresh.hidden = !waiting && !(away && shown.length);
    setText(this.fresh.lastChild, waiting ? `${count(waiting)} new` : "To the newest");
    this.list.element.hidden = this.listHead.hidden = !shown.length;
    this.#drawNothing(shown.length);
    const all = this.records.all.length;
    setText(
      this.tally,
      [
        shown.length === all ? plural(all, "request") : `${count(shown.length)} of ${plural(all, "request")}`,
        memory(this.#state),
      ]
        .filter(Boolean)
        .join(" · "),
    );
  }

  #drawNothing(many) {
    const names = this.#state?.names ?? [];
    const kind = many
      ? ""
      : this.records.all.length
        ? "filtered"
        : names.length || session.role === "client"
          ? "waiting"
          : "off";
    if (this.nothing.dataset.kind === kind) return;
    this.nothing.dataset.kind = kind;
    if (kind === "off")
      replace(
        this.nothing,
        offWords(() => this.loadState()),
      );
    else if (kind === "waiting")
      replace(
        this.nothing,
        empty(
          "requests",
          "Waiting for requests",
          "Visit one of your names: what goes through it appears here at once.",
        ),
      );
    else if (kind)
      replace(
        this.nothing,
        empty(
          "search",
          "No request matches",
          "Ask for less, or wait for one that does.",
          button("Clear the filters", () => this.filter.clear()),
        ),
      );
    else replace(this.nothing);
  }

  #drawState() {
    const names = this.#state.names ?? [];
    const key = JSON.stringify([names, session.role]);
    this.draw();
    if (this.inspecting.dataset.key === key) return;
    this.inspecting.dataset.key = key;
    const again = () => this.loadState();
    if (session.role === "client") {
      replace(
        this.inspecting,
        h("strong", "Recording all that comes through this client"),
        h("div.actions", this.tally),
      );
      return;
    }
    this.inspecting.hidden = !names.length && !this.records.all.length;
    replace(
      this.inspecting,
      names.length ? h("strong", "Recording") : h("span", "Nothing is being recorded now."),
      h(
        "ul.chips",
        names.map((item) => chip(item, again)),
      ),
      h(
        "div.actions",
        this.tally,
        names.some((item) => item.name === "*")
          ? null
          : button("All names…", () => chooseTime("*", again), { kind: "quiet", icon: "eye" }),
      ),
    );
  }

  #choose(record) {
    location.hash = `#/requests/${encodeURIComponent(record.id)}`;
  }

  async open(id) {
    if (this.detail && this.detail.id === id) return;
    const before = this.detail;
    before?.end();
    this.detail = null;
    this.list.choose(id ?? null);
    this.panes.classList.toggle("has-detail", Boolean(id));
    this.root.classList.toggle("with-detail", Boolean(id));
    this.detailPane.hidden = !id;
    if (!id) {
      replace(this.detailPane);
      if (before) this.list.element.focus({ preventScroll: true });
      return;
    }
    this.detail = new Detail(id, this.detailPane, () => attempt(() => this.loadState()));
    await this.detail.start();
  }

  exportHar() {
    if (!this.shown?.length) {
      notice("There is no request to save.", "warn");
      return;
    }
    const all = this.shown.length === this.records.all.length;
    const chosen = this.shown.slice(0, MOST_IN_FILE);
    const ids = all ? "" : `?id=${chosen.map((record) => encodeURIComponent(record.id)).join(",")}`;
    const link = h("a", { href: address(`requests.har${ids}`), download: "requests.har", hidden: true });
    document.body.append(link);
    link.click();
    link.remove();
  }

  async clear() {
    if (
      !(await confirm(
        "Forget all requests?",
        "What has been recorded is removed from the memory of the program, for everybody who looks.",
        "Forget them",
      ))
    )
      return;
    await attempt(async () => {
      await remove("requests");
      this.records.clear();
      if (this.detail) location.hash = "#/requests";
      await this.loadState();
    });
  }
}

const leadWords = () =>
  session.role === "client"
    ? "What visitors ask this client's upstreams, and what these answer."
    : "What visitors asked and what they got, of names that are being recorded.";
const memory = (state) => (state?.records ? `${bytes(state.bytes)} of ${bytes(state.maxBytes)} kept` : "");
