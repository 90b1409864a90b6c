// Live charts over uPlot: history is asked for, samples are appended, drawn once an animation frame.

import uPlot from "../vendor/uPlot.esm.js";
import { get } from "./api.js";
import { attempt } from "./dialogs.js";
import { h, setText } from "./dom.js";
import { bytesPerSecond, count, duration, perSecond } from "./format.js";

const CHARTS = [
  {
    title: "Requests",
    unit: perSecond,
    lines: [
      ["requests", "all", 1],
      ["errors", "errors (5xx)", 2],
    ],
    now: { requests: "requestsPerSecond", errors: "errorsPerSecond" },
    bytes: false,
  },
  {
    title: "Latency",
    note: "until the answer begins",
    unit: duration,
    lines: [
      ["p50", "median", 1],
      ["p95", "95 %", 4],
    ],
    now: { p50: "p50Seconds", p95: "p95Seconds" },
  },
  {
    title: "Traffic",
    unit: bytesPerSecond,
    lines: [
      ["bytesIn", "from visitors", 1],
      ["bytesOut", "to visitors", 3],
    ],
    now: { bytesIn: "bytesInPerSecond", bytesOut: "bytesOutPerSecond" },
    bytes: true,
  },
  {
    title: "Connections",
    unit: count,
    lines: [
      ["connections", "of visitors", 1],
      ["streams", "streams used", 3],
    ],
    now: { connections: "connections", streams: "streamsUsed" },
  },
];
const NAMES = ["requests", "errors", "p50", "p95", "bytesIn", "bytesOut", "connections", "streams"];
const NOW = Object.assign({}, ...CHARTS.map((chart) => chart.now));
const GRID_WIDTH = 1;
const SUMMARY_MS = 5000;

export class Charts {
  #scope;
  #plots = [];
  #times = [];
  #series = {};
  #step = 1;
  #fetchedAt = 0; // performance.now() of the last time in #times
  #loading = 0;
  #summarized = -Infinity;

  constructor(scope) {
    this.#scope = scope;
    this.range = "5m";
    this.element = h("div.charts");
    this.redraw = scope.frame(() => this.#draw());
  }

  async start() {
    this.element.append(...CHARTS.map((chart) => this.#make(chart)));
    const observer = new ResizeObserver(this.#scope.frame(() => this.#size()));
    observer.observe(this.element);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    this.#scope.on(scheme, "change", () => this.#paint());
    this.#scope.on(window, "sluice-theme", () => this.#paint());
    this.#scope.defer(() => {
      observer.disconnect();
      for (const { plot } of this.#plots) plot.destroy();
    });
    await this.#scope.every(60, () => this.#load());
  }

  choose(range) {
    this.range = range;
    return attempt(() => this.#load());
  }

  async #load() {
    const turn = ++this.#loading;
    const { stepSeconds, times, series } = await get(`history?range=${this.range}`, { signal: this.#scope.signal });
    if (turn !== this.#loading) return;
    this.#step = stepSeconds;
    this.#times = times;
    this.#series = series;
    this.#fetchedAt = performance.now();
    this.#summarized = -Infinity;
    this.redraw();
  }

  /** A second's sample: a step of its own in the shortest range; the longer ones are asked for again each minute. */
  push(now) {
    if (!this.#times.length || this.#step > 1) return;
    const at = this.#times.at(-1) + (performance.now() - this.#fetchedAt) / 1000;
    const first = at - (this.#times.at(-1) - this.#times[0]);
    this.#fetchedAt = performance.now();
    this.#times.push(at);
    for (const name of NAMES) this.#series[name].push(now[NOW[name]] ?? null);
    while (this.#times.length > 2 && this.#times[0] < first) {
      this.#times.shift();
      for (const name of NAMES) this.#series[name].shift();
    }
    this.redraw();
  }

  #make(chart) {
    const values = chart.lines.map(() => h("b"));
    const legend = h(
      "p.legend",
      chart.lines.map(([, label, colour], n) => h("span", h(`span.swatch.s${colour}`), label, " ", values[n])),
    );
    const place = h("div.plot", { role: "img", "aria-label": `${chart.title}: no numbers yet` });
    const plot = new uPlot(this.#options(chart), [[], ...chart.lines.map(() => [])], place);
    this.#plots.push({ chart, plot, place, values });
    const title = h("h3", chart.title, chart.note ? h("span.sub", ` ${chart.note}`) : null);
    return h("section.card.chart", h("div.chart-head", title, legend), place);
  }

  #options(chart) {
    return {
      width: 320,
      height: 168,
      legend: { show: false },
      padding: [8, 4, 0, 0],
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false }, sync: { key: "overview" } },
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.15 : 1] } },
      fmtDate: (form) => uPlot.fmtDate(form),
      axes: [
        {
          stroke: () => colour("--quiet"),
          font: "11px Inter, sans-serif",
          size: 24,
          gap: 4,
          space: 48,
          incrs: TIMES,
          grid: { show: false },
          ticks: { show: false },
          values: (_, marks) => marks.map(axisTime),
        },
        {
          stroke: () => colour("--quiet"),
          font: "11px Inter, sans-serif",
          size: 66,
          gap: 6,
          space: 36,
          grid: { stroke: () => colour("--line"), width: GRID_WIDTH },
          ticks: { show: false },
          ...(chart.bytes ? { incrs: BINARY } : {}),
          values: (_, marks) => marks.map((mark) => chart.unit(mark, marks.at(-1))),
        },
      ],
      series: [
        {},
        ...chart.lines.map(([, label, number]) => ({
          label,
          width: 1.75,
          spanGaps: false,
          points: { show: false },
          stroke: () => colour(`--series-${number}`),
          fill: number === 1 ? () => `${fade(colour("--series-1"))}` : undefined,
        })),
      ],
      hooks: { setCursor: [(plot) => this.#legend(plot)] },
    };
  }

  #legend(plot) {
    const own = this.#plots.find((candidate) => candidate.plot === plot);
    if (!own) return;
    const at = plot.cursor.idx ?? plot.data[0].length - 1;
    own.chart.lines.forEach((_, n) => setText(own.values[n], own.chart.unit(plot.data[n + 1][at])));
  }

  #draw() {
    const summarize = performance.now() - this.#summarized > SUMMARY_MS;
    if (summarize) this.#summarized = performance.now();
    for (const own of this.#plots) {
      const { chart, plot, place } = own;
      plot.setData([this.#times, ...chart.lines.map(([name]) => this.#series[name] ?? [])]);
      this.#legend(plot);
      if (summarize) place.setAttribute("aria-label", this.#summary(chart));
    }
  }

  #summary(chart) {
    const said = chart.lines.map(([name, label]) => {
      const known = (this.#series[name] ?? []).filter((value) => value !== null);
      const most = known.reduce((top, value) => Math.max(top, value), 0);
      return `${label} now ${chart.unit(known.at(-1))}, highest ${chart.unit(known.length ? most : null)}`;
    });
    const title = chart.note ? `${chart.title} ${chart.note}` : chart.title;
    return `${title}, last ${this.range}: ${said.join("; ")}`;
  }

  #size() {
    for (const { plot, place } of this.#plots) {
      const width = place.clientWidth;
      if (width && width !== plot.width) plot.setSize({ width, height: place.clientHeight });
    }
  }

  #paint() {
    colours.clear();
    for (const { plot } of this.#plots) plot.redraw(false);
  }
}

// uPlot's own lack 2 minutes: on a phone, five minutes had a single mark.
const TIMES = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400];
const BINARY = Array.from({ length: 51 }, (_, n) => 2 ** n);
const colours = new Map();

/** A token as a colour that a canvas knows: light-dark() is resolved by the browser. */
function colour(token) {
  let found = colours.get(token);
  if (found === undefined) {
    const probe = h("span", { hidden: true });
    probe.style.color = `var(${token})`;
    document.body.append(probe);
    found = getComputedStyle(probe).color;
    probe.remove();
    colours.set(token, found);
  }
  return found;
}

const fade = (rgb) => rgb.replace("rgb(", "rgba(").replace(")", ", 0.09)");

const two = (number) => String(number).padStart(2, "0");

function axisTime(seconds, n, all) {
  const moment = new Date(seconds * 1000);
  const fine = all.length > 1 && all[1] - all[0] < 60;
  return `${two(moment.getHours())}:${two(moment.getMinutes())}${fine ? `:${two(moment.getSeconds())}` : ""}`;
}
