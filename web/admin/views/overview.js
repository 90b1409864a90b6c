// Is it well? Findings first, then numbers, then charts.

import { get, session } from "../js/api.js";
import { h, replace, setText } from "../js/dom.js";
import { bytesPerSecond, count, duration, percent, perSecond, plural, span } from "../js/format.js";
import { icon } from "../js/icons.js";
import { heading, segmented } from "../js/parts.js";
import { Charts } from "../js/charts.js";

const OVERVIEW_SECONDS = 5;
const WORDS = { ok: "All is well", warning: "It works, but look at this", error: "Something is wrong" };
const RANGES = [
  ["5m", "5 min"],
  ["1h", "1 h"],
  ["6h", "6 h"],
  ["24h", "24 h"],
];

export default async function overview(root, scope) {
  const title = heading("Overview", "");
  const verdict = h("section", { "aria-label": "Health" });
  const tiles = new Tiles();
  const charts = new Charts(scope);
  const choice = segmented("Range of the charts", RANGES, charts.range, (range) => charts.choose(range));
  replace(root, title, verdict, tiles.element, h("div.charts-head", h("h2", "Over time"), choice), charts.element);

  await scope.every(OVERVIEW_SECONDS, async () => {
    const found = await get("overview", { signal: scope.signal });
    lead(title, found.info);
    showHealth(verdict, found.health, found.now);
    tiles.show(found.now);
  });
  scope.event("sample", (now) => {
    tiles.show(now);
    charts.push(now);
  });
  await charts.start();
  return { keys: {} };
}

function lead(title, info) {
  const element = title.querySelector(".lead");
  const [where, version] = [info.hostname, `${info.version}${info.sha ? ` (${info.sha})` : ""}`];
  const parts = [
    where,
    `${info.mode.includes("+") ? "" : `${info.mode.toUpperCase()} `}server ${version}`,
    `up for ${span(info.uptimeSeconds)}`,
  ];
  setText(element, parts.filter(Boolean).join(" · "));
}

function showHealth(root, { state, findings }, now) {
  const key = JSON.stringify([state, findings]);
  if (root.dataset.key === key) return;
  root.dataset.key = key;
  const serious = findings.filter((finding) => finding.level !== "info");
  const text = serious.length
    ? plural(serious.length, "finding")
    : `${plural(now.clients, "client")} connected, nothing to report.`;
  replace(
    root,
    h(
      `div.verdict.${known(state)}`,
      h("div.verdict-picture", icon(state === "ok" ? "ok" : state)),
      h("div", h("h2", WORDS[state] ?? String(state)), h("p", text)),
    ),
    findings.length
      ? h(
          "ul.findings",
          findings.map((finding) =>
            h(
              `li.finding.${known(finding.level)}`,
              icon(known(finding.level) === "info" ? "info" : finding.level),
              h("strong", finding.text),
              h("span.hint", finding.hint),
            ),
          ),
        )
      : null,
  );
}

const known = (level) => (["ok", "warning", "error"].includes(level) ? level : "info");

class Tiles {
  #parts = {};

  constructor() {
    this.element = h(
      "div.tiles",
      { role: "group", "aria-label": "Now" },
      this.#tile("clients", "Clients", "#/clients"),
      this.#tile("served", served(), "#/routes"),
      this.#tile("requests", "Requests"),
      this.#tile("errors", "Errors (5xx)"),
      this.#tile("latency", "Latency, median"),
      this.#tile("traffic", "From visitors"),
      this.#tile("answers", "To visitors"),
      this.#tile("streams", "Connections"),
    );
  }

  #tile(name, label, href) {
    const value = h("span.tile-value", "–");
    const more = h("span.tile-more", "\u00a0");
    this.#parts[name] = { value, more };
    return h(href ? "a.tile" : "div.tile", { href }, h("span.tile-label", label), value, more);
  }

  #set(name, value, more, bad = false) {
    const part = this.#parts[name];
    setText(part.value, value);
    setText(part.more, more);
    part.value.classList.toggle("bad", bad);
  }

  show(now) {
    this.#set("clients", count(now.clients), "connected");
    const [many, more] =
      session.mode === "tcp" ? [now.ports, "open"] : [now.names, now.ports ? plural(now.ports, "port") : "served"];
    this.#set("served", count(many), more);
    this.#set("requests", perSecond(now.requestsPerSecond), "last second");
    const share = now.requestsPerSecond ? now.errorsPerSecond / now.requestsPerSecond : 0;
    this.#set(
      "errors",
      perSecond(now.errorsPerSecond),
      now.errorsPerSecond ? `${percent(share)} of requests` : "none",
      now.errorsPerSecond > 0,
    );
    const within = now.p95Seconds === null ? "no answers" : `95 % begin in ${duration(now.p95Seconds)}`;
    this.#set("latency", duration(now.p50Seconds), within);
    this.#set("traffic", bytesPerSecond(now.bytesInPerSecond), "requests and uploads");
    this.#set("answers", bytesPerSecond(now.bytesOutPerSecond), "answers and downloads");
    this.#set(
      "streams",
      count(now.connections),
      `${count(now.streamsUsed)} streams used, ${count(now.streamsIdle)} idle`,
    );
  }
}

const served = () => (session.mode === "tcp" ? "Ports" : session.mode === "http" ? "Names" : "Names and ports");
