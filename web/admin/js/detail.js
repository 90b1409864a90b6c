// One request with its answer: facts, timing, headers, bodies, messages, and what can be done with it.

import { address, get } from "./api.js";
import { attempt, copy } from "./dialogs.js";
import { h, replace } from "./dom.js";
import { bytes, duration, time } from "./format.js";
import { icon } from "./icons.js";
import { button, clientLabel, facts, failed, link, loading, note, tabs } from "./parts.js";
import { bodyBlock } from "./bodies.js";
import { messageList } from "./messages.js";
import { editAndReplay, replayAsItWas } from "./replay.js";
import { statusClass, statusWords } from "./records.js";

const REFRESH_MS = { http: 250, websocket: 1000 };
const STAGES = [
  ["waitSeconds", "Wait for a stream", 4, "Until a stream to the client was there, earlier tries included"],
  ["tunnelSeconds", "Tunnel", 3, "There and back, measured by a ping that went ahead of this request"],
  ["upstreamSeconds", "Upstream", 1, "From the request's last byte to the answer's first, less the tunnel's part"],
  [
    "answerSeconds",
    "Tunnel and upstream",
    1,
    "From the request's last byte to the answer's first. The tunnel's part was not measured apart, or it is too short to tell.",
  ],
  ["transferSeconds", "Transfer", 5, "The request's body on its way out, and the answer's on its way back"],
];
/** The stages that are known; those that are told together are shown as one. */
export function stagesOf(timing) {
  const split = timing.upstreamSeconds !== null && timing.upstreamSeconds !== undefined;
  return STAGES.filter(
    ([key]) => timing[key] !== null && timing[key] !== undefined && !(split && key === "answerSeconds"),
  );
}

export class Detail {
  #abort = new AbortController();
  #pane;
  #reveal = false;
  #shown = ""; // what the pane was made of
  #record = null;
  #tab = "";
  #timer = 0;

  constructor(id, pane) {
    this.id = id;
    this.#pane = pane;
  }

  async start() {
    replace(this.#pane, loading());
    await this.#load(true);
  }

  end() {
    this.#abort.abort();
    clearTimeout(this.#timer);
  }

  /** An event about some request: ours is asked for again, a few times a second at the most. */
  told(record) {
    if (String(record.id) === this.id && !this.#timer) this.#later();
  }

  #later() {
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      attempt(() => this.#load(false));
    }, REFRESH_MS[this.#record?.kind] ?? REFRESH_MS.http);
  }

  async #load(first) {
    try {
      const record = await get(`requests/${encodeURIComponent(this.id)}${this.#reveal ? "?reveal=1" : ""}`, {
        signal: this.#abort.signal,
      });
      this.#show(record, first);
    } catch (error) {
      if (error.name === "AbortError" || !first) return;
      replace(
        this.#pane,
        back(),
        error.status === 404
          ? note("warn", h("p", "This request is no longer kept: the newest ones push out the oldest."))
          : failed(error, () => this.start()),
      );
    }
  }

  #show(record, first) {
    const before = this.#shown;
    this.#record = record;
    this.#shown = JSON.stringify([this.#reveal, record]);
    if (record.state === "open" && !this.#timer) this.#later();
    if (!first && before === this.#shown) return;
    const scroll = this.#pane.scrollTop;
    replace(
      this.#pane,
      back(),
      h(
        "article.detail",
        { "aria-label": `${record.method} ${record.path}` },
        this.#head(record),
        timing(record),
        this.#tabs(record),
      ),
    );
    this.#pane.scrollTop = first ? 0 : scroll;
    if (first) this.#pane.querySelector("h2").focus({ preventScroll: true });
  }

  #head(record) {
    return h(
      "header.detail-head",
      h(
        "div.detail-title",
        h(`span.status.${statusClass(record)}`, statusWords(record)),
        h(
          "h2",
          { tabindex: -1 },
          h("span.method", record.kind === "websocket" ? "WS" : record.method),
          " ",
          record.path,
        ),
      ),
      facts([
        ["Name", h("span.mono", record.name)],
        ["Visitor", h("span.mono", record.visitor || "–")],
        ["Client", client(record)],
        ["Arrived", time(record.at, "clock")],
        ["Took", record.seconds === null ? "under way" : duration(record.seconds)],
        ["Request / answer", `${bytes(record.requestBytes)} / ${bytes(record.responseBytes)}`],
      ]),
      oddities(record),
      record.replayOf
        ? note(
            "plain",
            h(
              "p",
              "A replay of ",
              h("a", { href: `#/requests/${encodeURIComponent(record.replayOf)}` }, "an earlier request"),
              ".",
            ),
            link(
              "Compare the two",
              `#/compare/${encodeURIComponent(record.replayOf)}/${encodeURIComponent(record.id)}`,
              { picture: "compare", kind: "plain" },
            ),
          )
        : null,
      this.#actions(record),
    );
  }

  #actions(record) {
    const reveal = button(
      this.#reveal ? "Hide secrets" : "Reveal secrets",
      () => {
        this.#reveal = !this.#reveal;
        attempt(() => this.#load(false));
      },
      {
        icon: "eye",
        "aria-pressed": String(this.#reveal),
        title: "Authorization, cookies, and fields that look like secrets",
      },
    );
    const replays =
      record.kind === "websocket"
        ? []
        : [
            button("Replay", () => this.replay(), { icon: "replay", kind: "primary" }),
            button("Edit and replay", () => this.edit(), { icon: "edit" }),
          ];
    return h(
      "div.actions",
      ...replays,
      button("Copy as curl", () => this.copyCurl(), { icon: "copy" }),
      h(
        "a.button",
        {
          href: address(`requests.har?id=${encodeURIComponent(record.id)}${this.#reveal ? "&reveal=1" : ""}`),
          download: "request.har",
        },
        icon("download"),
        h("span", "HAR"),
      ),
      reveal,
    );
  }

  replay() {
    if (this.#record?.kind === "http") replayAsItWas(this.#record);
  }

  edit() {
    if (this.#record?.kind === "http") editAndReplay(this.#record);
  }

  copyCurl() {
    return attempt(async () =>
      copy(await get(`requests/${encodeURIComponent(this.id)}/curl${this.#reveal ? "?reveal=1" : ""}`), "Command"),
    );
  }

  #tabs(record) {
    const items = [{ key: "request", label: "Request", make: () => message(record, "request", this.#reveal) }];
    const answer = record.response
      ? () => message(record, "response", this.#reveal)
      : () => note("plain", h("p", record.state === "open" ? "No answer yet." : "There was no answer."));
    items.push({ key: "response", label: "Answer", make: answer });
    if (record.kind === "websocket")
      items.push({
        key: "messages",
        label: `Messages (${record.messages?.length ?? 0})`,
        make: () => messageList(record),
      });
    const chosen = this.#tab || (record.kind === "websocket" ? "messages" : "response");
    return h("div.detail-tabs", tabs("Parts of the exchange", items, { chosen, onchange: (key) => (this.#tab = key) }));
  }
}

/** What was not as usual, in words. */
function oddities(record) {
  const said = [];
  if (record.state === "broken") said.push(record.note || "The exchange was cut off before the answer was whole.");
  else if (record.note) said.push(record.note);
  else if (record.state === "left") said.push("The visitor left before the answer was whole.");
  if (record.edge) said.push("The server answered this itself: no client did.");
  if (record.tries?.length) said.push(`Before this: ${record.tries.join("; ")}.`);
  if (record.interim?.length) said.push(`Interim answers: ${record.interim.join(", ")}.`);
  return said.length ? note(record.state === "broken" ? "warn" : "plain", ...said.map((text) => h("p", text))) : null;
}

const back = () => h("p.only-narrow", link("All requests", "#/requests", { picture: "back", kind: "quiet" }));

const client = (record) => (record.clientId ? clientLabel(record.clientId, record.clientName) : "none");

function timing({ timing: stages, state }) {
  const known = stagesOf(stages ?? {});
  if (!known.length) return null;
  const sum = known.reduce((total, [key]) => total + stages[key], 0);
  const words = known.map(([key, label]) => `${label} ${duration(stages[key])}`).join(", ");
  const bar = h(
    "div.timing-bar",
    { role: "img", "aria-label": `Timing: ${words}` },
    known.map(([key, , colour]) => {
      const part = h(`span.s${colour}`);
      part.style.flexGrow = String(sum ? stages[key] / sum : 1);
      return part;
    }),
  );
  return h(
    "section.detail-section",
    { "aria-label": "Timing" },
    bar,
    h(
      "dl.timing-list",
      known.map(([key, label, colour, title]) =>
        h("div", { title }, h("dt", h(`span.swatch.s${colour}`), label), h("dd", duration(stages[key]))),
      ),
    ),
    known.some(([key]) => key === "answerSeconds")
      ? h("p.hint.block", "The tunnel's part is not known: the answer came as fast as a ping, or none was sent.")
      : null,
    state === "open" ? h("p.hint", "Still under way.") : null,
  );
}

function message(record, side, reveal) {
  const part = record[side];
  return h("div", h("p.first-line", part.line), headerTable(part.headers), bodyBlock(record, side, reveal));
}

export const MASK = /^•+ \(\d+ characters\)$/;

function headerTable(headers) {
  if (!headers.length) return h("p.hint", "No headers.");
  return h(
    "table.headers",
    { "aria-label": "Headers" },
    h(
      "tbody",
      headers.map(([name, value]) =>
        h("tr", h("th", { scope: "row" }, name), h("td", value.includes("••••") ? h("span.masked", value) : value)),
      ),
    ),
  );
}
