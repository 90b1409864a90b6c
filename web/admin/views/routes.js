// Names and ports: who serves what, in turns, how well.

import { get, session } from "../js/api.js";
import { h, replace } from "../js/dom.js";
import { button, heading, note } from "../js/parts.js";
import { stop } from "../js/recording.js";
import { namesTable, portsTable } from "../js/routes-tables.js";

const REFRESH_SECONDS = 5;

export default async function routes(root, scope) {
  const recorded = { all: false };
  const names = namesTable(() => load(), recorded);
  const ports = portsTable();
  const hasNames = session.mode !== "tcp";
  const everything = h(
    "div.above",
    { hidden: true },
    note(
      "plain",
      h("p", "Requests of all names are being recorded."),
      button("Stop", () => stop("*", load)),
    ),
  );
  const portsPart = h("div", hasNames ? h("h2.section-title", "Ports") : null, ports.element);
  replace(
    root,
    heading("Names and ports", "What visitors can reach, and which clients serve it, in turns."),
    everything,
    hasNames ? names.element : null,
    portsPart,
  );

  async function load() {
    const [found, inspected] = await Promise.all([
      get("routes", { signal: scope.signal }),
      session.inspect ? get("inspect", { signal: scope.signal }) : null,
    ]);
    recorded.all = Boolean(inspected?.names.some((item) => item.name === "*"));
    everything.hidden = !recorded.all;
    names.show(found.names ?? []);
    ports.show(found.ports ?? []);
    portsPart.hidden = session.mode === "http" && !(found.ports ?? []).length;
  }
  await scope.every(REFRESH_SECONDS, load);
  return { keys: {} };
}
