// The messages of a WebSocket, newest last, so many at a time.

import { h } from "./dom.js";
import { bytes, count, time } from "./format.js";
import { icon } from "./icons.js";
import { badge, button, note } from "./parts.js";

const SHOWN = 200;
const TEXT_LENGTH = 4000;

export function messageList(record) {
  const all = record.messages ?? [];
  if (!all.length)
    return note(
      "plain",
      h(
        "p",
        record.state === "open" ? "No message yet. They appear here as they come." : "No message went either way.",
      ),
    );
  const gone = record.messagesDropped
    ? h("p.hint", `${count(record.messagesDropped)} earlier ones are no longer kept.`)
    : null;
  const list = h("ul.messages", all.slice(-SHOWN).map(item));
  const frame = h("div", gone, list);
  let from = Math.max(0, all.length - SHOWN);
  if (from) {
    const earlier = button(
      `Show earlier (${count(from)})`,
      () => {
        const start = Math.max(0, from - SHOWN);
        list.prepend(...all.slice(start, from).map(item));
        from = start;
        if (!from) earlier.remove();
        else earlier.lastChild.textContent = `Show earlier (${count(from)})`;
      },
      { kind: "quiet" },
    );
    list.before(earlier);
  }
  return frame;
}

function item(message) {
  const fromVisitor = message.direction === "visitor";
  return h(
    `li.${fromVisitor ? "visitor" : "upstream"}`,
    time(message.at, "clock"),
    h(
      "span",
      icon(fromVisitor ? "up" : "down"),
      h("span.unseen", fromVisitor ? "from the visitor" : "from the upstream"),
    ),
    content(message),
    h("span.sub", bytes(message.size)),
  );
}

function content(message) {
  const kind = ["ping", "pong", "close", "binary"].includes(message.kind)
    ? badge(message.kind, message.kind === "close" ? "warn" : "quiet")
    : null;
  if (message.kind === "close" && message.base64) return h("div.what", kind, h("pre", closeWords(message.base64)));
  if (message.text === null || message.text === undefined)
    return h("div.what", kind, message.base64 ? h("pre", hex(message.base64)) : null);
  return h(
    "div.what",
    kind,
    h(
      "pre",
      message.text.length > TEXT_LENGTH ? `${message.text.slice(0, TEXT_LENGTH)}…` : message.text,
      message.truncated ? h("span.sub", " … cut") : null,
    ),
  );
}

// RFC 6455 7.4.1, and the registry that it began.
const CLOSE_CODES = {
  1000: "normal",
  1001: "going away",
  1002: "protocol error",
  1003: "unsupported data",
  1007: "not the data it says",
  1008: "against the policy",
  1009: "too big",
  1010: "extension missing",
  1011: "error of the server",
  1012: "restart",
  1013: "try again later",
};

/** The code with its name, and the reason. */
export function closeWords(base64) {
  const data = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  if (data.length < 2) return hex(base64);
  const code = data[0] * 256 + data[1];
  const reason = new TextDecoder().decode(data.subarray(2));
  return [code, CLOSE_CODES[code] ? ` (${CLOSE_CODES[code]})` : "", reason ? `: ${reason}` : ""].join("");
}

function hex(base64) {
  const text = atob(base64.slice(0, 344));
  const codes = Array.from(text.slice(0, 256), (character) =>
    character.charCodeAt(0).toString(16).padStart(2, "0"),
  ).join(" ");
  return base64.length > 344 ? `${codes} …` : codes;
}
