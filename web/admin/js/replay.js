// Sending a recorded request again: as it was, or edited first.

import { post, session } from "./api.js";
import { attempt, confirm, notice, show } from "./dialogs.js";
import { h, replace } from "./dom.js";
import { bytes } from "./format.js";
import { field, note } from "./parts.js";

const HARMLESS = new Set(["GET", "HEAD", "OPTIONS"]);
// What is made anew for every request that is sent: edits of these would do nothing.
const FRAMING = ["Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection"].concat(
  ["TE", "Trailer", "Upgrade", "Expect"],
);
// The edge's own; on a client, they are what the edge wrote.
const EDGE = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id", "CDN-Loop"];
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

export async function replayAsItWas(record) {
  if (!HARMLESS.has(record.method)) {
    const sure = await confirm(
      `Send this ${record.method} again?`,
      `It reaches the real service behind ${record.name} once more: what it changes, it may change twice.`,
      "Send it again",
      "primary",
    );
    if (!sure) return;
  }
  await attempt(() => send(record, {}));
}

async function send(record, edits) {
  const answer = await post(`requests/${encodeURIComponent(record.id)}/replay`, edits);
  notice("Sent again. This is the new request.");
  location.hash = `#/requests/${encodeURIComponent(answer.id)}`;
  return true;
}

export async function editAndReplay(record) {
  const editor = new Editor(record);
  await attempt(() =>
    show("Edit and replay", editor.element, [
      { label: "Cancel", value: "" },
      { label: "Send", value: "sent", kind: "primary", run: () => editor.send() },
    ]),
  );
}

const madeAnew = () => (session?.role === "client" ? FRAMING : FRAMING.concat(EDGE));
const isMadeAnew = (name) => madeAnew().some((known) => known.toLowerCase() === name.toLowerCase());

const headerText = (headers) => headers.map(([name, value]) => `${name}: ${value}`).join("\n");

class Editor {
  #record;

  constructor(record) {
    this.#record = record;
    const { body } = record.request;
    const headers = record.request.headers.filter(([name]) => !isMadeAnew(name));
    const left = record.request.headers.map(([name]) => name).filter(isMadeAnew);
    const known = METHODS.includes(record.method) ? METHODS : [record.method, ...METHODS];
    this.method = h(
      "select",
      known.map((name) => h("option", { value: name }, name)),
    );
    this.method.value = record.method;
    this.path = h("input.mono", { type: "text", value: record.path, spellcheck: "false", autocomplete: "off" });
    this.headersBefore = headerText(headers);
    this.headers = h("textarea", {
      rows: Math.min(12, headers.length + 1),
      spellcheck: "false",
      value: this.headersBefore,
    });
    this.editable = !body || body.kind === "none" || (typeof body.text === "string" && !body.truncated);
    this.bodyBefore = body?.text ?? "";
    this.body = h("textarea", { rows: 8, spellcheck: "false", value: this.bodyBefore });
    this.said = h("div", { role: "alert" });
    this.element = h(
      "div.editor",
      h("div.editor-line", field("Method", this.method), field("Path and query", this.path)),
      field("Headers", this.headers, headerHint(left)),
      this.editable
        ? field(
            "Body",
            this.body,
            body?.encoding ? "It is sent uncompressed if you change it." : "The length is worked out anew.",
          )
        : this.#kept(body),
      this.said,
    );
  }

  #kept(body) {
    return note(
      "plain",
      h(
        "p",
        body.truncated
          ? `The body (${bytes(body.size)}) was longer than what is kept: only its first ${bytes(body.captured)} can be sent.`
          : `The body is not text: it is sent as it was (${bytes(body.size)}).`,
      ),
    );
  }

  #edits() {
    const edits = {};
    if (this.method.value !== this.#record.method) edits.method = this.method.value;
    if (this.path.value !== this.#record.path) edits.path = this.path.value;
    if (this.headers.value !== this.headersBefore) edits.headers = parseHeaders(this.headers.value);
    if (this.editable && this.body.value !== this.bodyBefore) edits.body = { text: this.body.value };
    return edits;
  }

  async send() {
    replace(this.said);
    try {
      return await send(this.#record, this.#edits());
    } catch (error) {
      replace(this.said, note("bad", h("p", error.message)));
      return false;
    }
  }
}

function headerHint(left) {
  const known = "One a line, as Name: value. What is still masked is sent as it was recorded.";
  return left.length ? `${known} Made anew, and so not here: ${[...new Set(left)].join(", ")}.` : known;
}

export function parseHeaders(text) {
  return text
    .split("\n")
    .filter((line) => line.trim())
    .map((line, n) => {
      const at = line.indexOf(":");
      if (at < 1) throw new Error(`Line ${n + 1} of the headers is no "Name: value": ${line.slice(0, 60)}`);
      const name = line.slice(0, at).trim();
      if (isMadeAnew(name)) throw new Error(`${name} is made anew when it is sent: leave it out.`);
      return [name, line.slice(at + 1).trim()];
    });
}
