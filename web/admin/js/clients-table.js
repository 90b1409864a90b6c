// The table of connected clients, its cells, and how one is disconnected.

import { remove } from "./api.js";
import { attempt, confirm, notice } from "./dialogs.js";
import { h, replace, setText } from "./dom.js";
import { bytes, count, duration, setTime } from "./format.js";
import { empty, iconButton, leads, link } from "./parts.js";
import { Table, textCell } from "./table.js";
import { tokenWords } from "./tokens-table.js";

const SHOWN_UPSTREAMS = 3;

export const nameOf = (client) =>
  client.name || (client.clientId.length > 14 ? `${client.clientId.slice(0, 12)}…` : client.clientId);

export function clientsTable() {
  return new Table(
    [
      {
        key: "name",
        width: "18%",
        label: "Client",
        class: "lead-cell",
        sort: (client) => nameOf(client).toLowerCase(),
        make: nameCell,
      },
      { key: "upstreams", label: "Serves", class: "wide", make: upstreamsCell },
      {
        key: "token",
        width: "8rem",
        label: "Token",
        sort: (client) => (client.token ?? "").toLowerCase(),
        make: textCell((client) => tokenWords(client.token)),
      },
      {
        key: "rtt",
        width: "6.5rem",
        label: "Round trip",
        align: "end",
        sort: (client) => client.roundTripSeconds,
        make: textCell((client) => duration(client.roundTripSeconds)),
      },
      {
        key: "traffic",
        width: "10.5rem",
        label: "In / out",
        align: "end",
        down: true,
        sort: (client) => client.bytesIn + client.bytesOut,
        make: textCell((client) => `${bytes(client.bytesIn)} / ${bytes(client.bytesOut)}`),
      },
      {
        key: "streams",
        width: "8.5rem",
        label: "Streams",
        align: "end",
        down: true,
        sort: (client) => client.streamsUsed,
        make: textCell((client) => `${count(client.streamsUsed)} used, ${count(client.streamsIdle)} idle`),
      },
      {
        key: "since",
        width: "7.5rem",
        label: "Connected",
        align: "end",
        down: true,
        sort: (client) => Date.parse(client.since),
        make: sinceCell,
      },
      { key: "act", width: "4rem", label: "Actions", unlabelled: true, class: "bare", make: actionCell },
    ],
    {
      label: "Connected clients",
      what: "clients",
      search: "Search by name, id, address, upstream",
      key: (client) => client.clientId,
      text: (client) =>
        [client.name, client.clientId, client.token, client.remoteAddr, ...client.upstreams.flatMap((u) => [u.offer, u.target])].join(
          " ",
        ),
      empty: () =>
        empty(
          "clients",
          "No client is connected",
          "A client runs beside the services that you want to reach, and dials out to this server.",
          link("Add a client", "#/add", { picture: "add", kind: "primary" }),
        ),
    },
  );
}

function nameCell() {
  const anchor = h("a.row-title");
  const sub = h("span.sub");
  return {
    element: h("div.stack", anchor, sub),
    fill(client) {
      setText(anchor, nameOf(client));
      anchor.title = client.clientId;
      anchor.setAttribute("href", `#/clients/${encodeURIComponent(client.clientId)}`);
      const words = [client.name ? client.clientId.slice(0, 8) : "", client.remoteAddr, client.version || "version unknown"];
      setText(sub, words.filter(Boolean).join(" · "));
    },
  };
}

export function upstreamsCell() {
  const element = h("div.stack");
  return {
    element,
    fill(client) {
      const key = JSON.stringify(client.upstreams);
      if (element.sluiceKey === key) return;
      element.sluiceKey = key;
      const more = client.upstreams.length - SHOWN_UPSTREAMS;
      replace(
        element,
        failingFirst(client.upstreams).slice(0, SHOWN_UPSTREAMS).map(upstreamLine),
        more > 0 ? h("span.sub", `and ${count(more)} more`) : null,
        client.upstreams.length ? null : h("span.sub", "nothing"),
      );
    },
  };
}

const failingFirst = (upstreams) =>
  upstreams.toSorted((one, other) => (other.state === "failing") - (one.state === "failing"));

export const offerWords = (offer) => (offer && offer !== "*" ? offer : "every name");
const STATES = { up: "up", failing: "failing" };
export const stateClass = (state) => STATES[state] ?? "unknown";

function upstreamLine(upstream) {
  const failing = upstream.state === "failing";
  return h(
    "span.target",
    h(
      `span.state.${stateClass(upstream.state)}`,
      { title: upstream.detail || null },
      failing ? "failing" : h("span.unseen", stateClass(upstream.state)),
    ),
    h("span.mono", offerWords(upstream.offer)),
    leads(upstream.target),
  );
}

function sinceCell() {
  const element = h("time");
  return { element, fill: (client) => setTime(element, client.since, "ago") };
}

function actionCell() {
  let client = null;
  const press = iconButton("Disconnect", "close", () => disconnect(client), { "data-word": "Disconnect" });
  return {
    element: h("div.row-actions", press),
    fill(next) {
      client = next;
      const label = `Disconnect ${nameOf(next)}`;
      if (press.title !== label) {
        press.title = label;
        press.setAttribute("aria-label", label);
      }
    },
  };
}

export async function disconnect(client) {
  const sure = await confirm(
    `Disconnect ${nameOf(client)}?`,
    "Its requests under way are cut off. Unless it is stopped on its own machine, it connects again by itself within seconds.",
    "Disconnect",
  );
  if (!sure) return;
  await attempt(async () => {
    await remove(`clients/${encodeURIComponent(client.clientId)}`);
    notice(`${nameOf(client)} was disconnected.`);
  });
}
