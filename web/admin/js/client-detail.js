// One client: what is known of it, and when it came and went.

import { h, keyed, replace, setText } from "./dom.js";
import { bytes, count, duration, time } from "./format.js";
import { badge, button, card, clientLabel, empty, facts, heading, leads } from "./parts.js";
import { disconnect, nameOf, offerWords, stateClass } from "./clients-table.js";

const SHOWN_EVENTS = 100;
const TONES = { connected: "good", disconnected: "quiet", refused: "bad" };

export function details(first) {
  let client = first;
  const body = h("div");
  const head = heading(
    nameOf(first),
    "",
    button("Disconnect", () => disconnect(client), { kind: "danger", icon: "close" }),
  );
  const fill = (next) => {
    client = next;
    setText(head.querySelector(".lead"), `Connected from ${next.remoteAddr}`);
    replace(
      body,
      card(
        null,
        facts([
          ["Client id", h("span.mono.small", next.clientId)],
          ["Let in by", next.token ? `its token ${next.token}` : "the server's token"],
          ["Version", next.version || "unknown"],
          ["Connected", time(next.since)],
          ["Round trip", duration(next.roundTripSeconds)],
          ["From visitors", bytes(next.bytesIn)],
          ["To visitors", bytes(next.bytesOut)],
          ["Streams", `${count(next.streamsUsed)} used, ${count(next.streamsIdle)} idle`],
        ]),
      ),
      card(
        "Upstreams",
        h(
          "ul.stack",
          next.upstreams.map((upstream) =>
            h(
              "li.stack",
              h(
                "span.target",
                h(`span.state.${stateClass(upstream.state)}`, stateClass(upstream.state)),
                h("span.mono", offerWords(upstream.offer)),
                leads(upstream.target),
              ),
              upstream.detail
                ? h("span.sub", upstream.detail, " ", upstream.since ? time(upstream.since) : null)
                : null,
            ),
          ),
        ),
      ),
    );
  };
  return { element: h("div", head, body), fill };
}

/** Where it was, and is no more. */
export const gone = (id) => ({
  element: h(
    "div",
    heading(id, ""),
    card(
      null,
      empty(
        "clients",
        "This client is not connected",
        "It is shown again as soon as it comes back: clients try for ever, more slowly with time. If it does not, look at its own log.",
      ),
    ),
  ),
});

export function drawEvents(list, events, nothing) {
  const shown = events.slice(0, SHOWN_EVENTS);
  if (!shown.length) {
    replace(list, h("li.quiet-text", nothing));
    list.sluiceRows = undefined;
    return;
  }
  if (!list.sluiceRows) replace(list);
  keyed(
    list,
    shown,
    (event) => `${event.at} ${event.kind} ${event.clientId}`,
    (event) => ({
      element: h(
        "li",
        time(event.at),
        badge(event.kind, TONES[event.kind] ?? "quiet"),
        h(
          "span",
          event.clientId
            ? clientLabel(event.clientId, event.name, `#/clients/${encodeURIComponent(event.clientId)}`)
            : "somebody",
          ` from ${event.remoteAddr}`,
          event.detail ? h("span.sub", ` · ${event.detail}`) : null,
        ),
      ),
      fill() {},
    }),
  );
}
