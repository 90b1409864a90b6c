// The tables of names and of ports, and their cells.

import { session } from "./api.js";
import { h, replace, setText } from "./dom.js";
import { bytes, count, duration, percent, perSecond, time } from "./format.js";
import { badge, button, clientLabel, empty, iconButton, leads, link, outerLink } from "./parts.js";
import { chooseTime, stop } from "./recording.js";
import { Table, textCell } from "./table.js";

const SHOWN_CLIENTS = 3;
const SOON_DAYS = 14;

/** `recorded.all`: all names are being recorded, so single ones have no switch of their own. */
export function namesTable(again, recorded) {
  return new Table(
    [
      {
        key: "name",
        width: "20%",
        label: "Name",
        class: "lead-cell",
        sort: (route) => route.name,
        make: () => nameCell(recorded),
      },
      { key: "clients", label: "Served by", class: "wide", sort: (route) => route.clients.length, make: clientsCell },
      {
        key: "rate",
        width: "8rem",
        label: "Requests",
        align: "end",
        down: true,
        sort: (route) => route.requestsPerSecond,
        make: twoLines(
          (route) => perSecond(route.requestsPerSecond),
          (route) => `${count(route.requestsTotal)} in all`,
        ),
      },
      {
        key: "errors",
        width: "5.5rem",
        label: "Errors",
        align: "end",
        down: true,
        sort: (route) => route.errorRate,
        make: errorsCell,
      },
      {
        key: "p95",
        width: "8.5rem",
        label: "95 % begin in",
        title: "19 of 20 answers began within this time, over the last minute",
        align: "end",
        down: true,
        sort: (route) => route.p95Seconds,
        make: textCell((route) => duration(route.p95Seconds)),
      },
      {
        key: "certificate",
        width: "9.5rem",
        label: "Certificate",
        sort: (route) => Date.parse(route.certificate?.expires ?? "9999-01-01"),
        make: certificateCell,
      },
      {
        key: "act",
        width: "9.75rem",
        label: "Actions",
        unlabelled: true,
        class: "bare",
        make: () => actionCell(again, recorded),
      },
    ],
    {
      label: "Names",
      what: "names",
      search: "Search by name, client, upstream",
      key: (route) => route.name,
      text: (route) => [route.name, ...route.clients.flatMap((client) => [client.clientName, client.clientId, client.target])].join(" "),
      sort: { key: "name", down: false },
      empty: () =>
        empty(
          "routes",
          "No name is served yet",
          "A name is served as soon as a client with an upstream for it connects.",
          link("Add a client", "#/add", { picture: "add", kind: "primary" }),
        ),
    },
  );
}

function nameCell(recorded) {
  const element = h("div.stack");
  return {
    element,
    fill(route) {
      const key = JSON.stringify([route.name, route.url, route.allowIps, route.inspect, recorded.all]);
      if (element.sluiceKey === key) return;
      element.sluiceKey = key;
      const doors = [
        route.allowIps?.length
          ? badge(
              `only ${route.allowIps.length === 1 ? route.allowIps[0] : `${route.allowIps.length} networks`}`,
              "accent",
            )
          : null,
        route.inspect?.on && !recorded.all ? badge("recorded", "warn") : null,
      ].filter(Boolean);
      replace(
        element,
        h("span.row-title", route.url && route.name !== "*" ? outerLink(route.name, route.url) : nameWords(route.name)),
        doors.length ? h("span.actions", doors) : null,
      );
    },
  };
}

const nameWords = (name) => (name === "*" || name === "" ? "every other name" : name);

function clientsCell() {
  const element = h("div.stack");
  return {
    element,
    fill(route) {
      const key = JSON.stringify(route.clients);
      if (element.sluiceKey === key) return;
      element.sluiceKey = key;
      const more = route.clients.length - SHOWN_CLIENTS;
      replace(
        element,
        route.clients.slice(0, SHOWN_CLIENTS).map((client) => clientLine(client, route.clients.length > 1)),
        more > 0 ? h("span.sub", `and ${count(more)} more, in turns`) : null,
        route.clients.length ? null : h("span.state.failing", "nobody: visitors get 503"),
      );
    },
  };
}

const clientLine = (client, inTurns) =>
  h(
    "span.target",
    clientLabel(client.clientId, client.clientName, `#/clients/${encodeURIComponent(client.clientId)}`),
    inTurns && client.next ? badge("next", "accent") : null,
    leads(client.target),
  );

function twoLines(first, second) {
  return () => {
    const [top, bottom] = [h("span"), h("span.sub")];
    return {
      element: h("div.stack", top, bottom),
      fill(item) {
        setText(top, first(item));
        setText(bottom, second(item));
      },
    };
  };
}

function errorsCell() {
  const element = h("span");
  return {
    element,
    fill(route) {
      setText(element, percent(route.errorRate));
      element.className = route.errorRate >= 0.05 ? "badge bad" : route.errorRate > 0 ? "badge warn" : "quiet-text";
    },
  };
}

function certificateCell() {
  const element = h("div.stack");
  return {
    element,
    fill(route) {
      const key = JSON.stringify(route.certificate);
      if (element.sluiceKey === key) return;
      element.sluiceKey = key;
      if (!route.certificate) {
        replace(element, h("span.quiet-text", "none"));
        return;
      }
      const days = (Date.parse(route.certificate.expires) - Date.now()) / 86400e3;
      replace(
        element,
        // Its own name would only say again what the row is of.
        route.certificate.name === route.name ? null : h("span.mono", route.certificate.name),
        h(
          days < SOON_DAYS ? "span.badge.warn" : "span.sub",
          h("span", days < 0 ? "ended " : "ends ", time(route.certificate.expires)),
        ),
      );
    },
  };
}

function actionCell(again, recorded) {
  let route = null;
  const inspect = button(
    "Inspect",
    () => (route.inspect?.on ? stop(route.name, again) : chooseTime(route.name, again)),
    { kind: "quiet", icon: "eye" },
  );
  const look = iconButton(
    "Its requests",
    "requests",
    () => (location.hash = `#/requests?name=${encodeURIComponent(route.name)}`),
    { "data-word": "Requests" },
  );
  return {
    element: h("div.row-actions", session.inspect ? [inspect, look] : null),
    fill(next) {
      route = next;
      inspect.hidden = recorded.all;
      setText(inspect.lastChild, next.inspect?.on ? "Stop" : "Inspect");
      inspect.setAttribute("aria-label", `${next.inspect?.on ? "Stop inspecting" : "Inspect"} ${next.name}`);
      look.setAttribute("aria-label", `Requests of ${next.name}`);
    },
  };
}

export function portsTable() {
  return new Table(
    [
      {
        key: "port",
        width: "20%",
        label: "Port",
        class: "lead-cell",
        sort: (port) => port.port,
        make: textCell((port) => String(port.port), "span.row-title"),
      },
      { key: "clients", label: "Served by", class: "wide", sort: (port) => port.clients.length, make: clientsCell },
      {
        key: "open",
        width: "9rem",
        label: "Connections",
        align: "end",
        down: true,
        sort: (port) => port.connectionsOpen,
        make: twoLines(
          (port) => `${count(port.connectionsOpen)} open`,
          (port) => `${count(port.connectionsTotal)} in all`,
        ),
      },
      {
        key: "traffic",
        width: "13rem",
        label: "In / out",
        align: "end",
        down: true,
        sort: (port) => port.bytesIn + port.bytesOut,
        make: textCell((port) => `${bytes(port.bytesIn)} / ${bytes(port.bytesOut)}`),
      },
    ],
    {
      label: "Ports",
      what: "ports",
      search: "Search by port, client, target",
      key: (port) => String(port.port),
      text: (port) => [port.port, ...port.clients.flatMap((client) => [client.clientName, client.clientId, client.target])].join(" "),
      empty: () =>
        empty(
          "routes",
          "No port is open",
          "A port opens when a client that offers it connects, and closes with the last one that does.",
          link("Add a client", "#/add", { picture: "add", kind: "primary" }),
        ),
    },
  );
}
