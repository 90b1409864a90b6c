// Values to words: numbers with their units, times in the reader's zone.

import { h, setText } from "./dom.js";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const two = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const NONE = "–";
const missing = (value) => value === null || value === undefined || Number.isNaN(value);

export const count = (value) => (missing(value) ? NONE : whole.format(value));

/** 0.4, 12.3, 456, 5,000, 123.4 k. `like`: in the unit of that one, for a scale. */
export function short(value, like = value) {
  if (missing(value)) return NONE;
  const size = Math.abs(like);
  if (size >= 1e6) return `${one.format(value / 1e6)} M`;
  if (size >= 1e5) return `${one.format(value / 1e3)} k`;
  if (size >= 100) return whole.format(value);
  return (size < 1 && value === like ? two : one).format(value);
}

export const perSecond = (value, like) => (missing(value) ? NONE : `${short(value, like)}/s`);

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
export function bytes(value) {
  if (missing(value)) return NONE;
  let size = value;
  let unit = 0;
  while (Math.abs(size) >= 1023.5 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? whole.format(size) : one.format(size)} ${UNITS[unit]}`;
}

export const bytesPerSecond = (value) => (missing(value) ? NONE : `${bytes(value)}/s`);

/** A measured time: 0.42 ms, 12 ms, 1.23 s, 2 min 3 s. */
export function duration(seconds) {
  if (missing(seconds)) return NONE;
  const milliseconds = seconds * 1000;
  if (milliseconds === 0) return "0 ms";
  if (milliseconds < 0.995) return `${milliseconds.toFixed(2)} ms`;
  if (milliseconds < 9.95) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 999.5) return `${Math.round(milliseconds)} ms`;
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  return span(seconds);
}

const STEPS = [
  ["d", 86400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];
/** A long time in its two largest units: 3 d 4 h. */
export function span(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [name, size] of STEPS) {
    const many = Math.floor(rest / size);
    rest -= many * size;
    if (many || (parts.length && parts.length < 2)) parts.push([many, name]);
    if (parts.length === 2) break;
  }
  return (
    parts
      .filter(([many]) => many)
      .map(([many, name]) => `${many} ${name}`)
      .join(" ") || "0 s"
  );
}

export const percent = (share) => (missing(share) ? NONE : `${one.format(share * 100)} %`);
export const plural = (many, word, words = `${word}s`) => `${count(many)} ${many === 1 ? word : words}`;

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

export const clockTime = (moment) => clock.format(moment);

function relative(moment) {
  const seconds = (Date.now() - moment.getTime()) / 1000;
  if (Math.abs(seconds) < 5) return "just now";
  const steps = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? STEPS[3];
  const many = Math.floor(Math.abs(seconds) / steps[1]);
  return seconds < 0 ? `in ${many} ${steps[0]}` : `${many} ${steps[0]} ago`;
}

const STYLES = {
  ago: relative,
  clock: (moment) => clockTime(moment),
  day: (moment) => day.format(moment),
  left: (moment) => span((moment.getTime() - Date.now()) / 1000),
};

/** <time>: short in the page, exact on hover and for machines. style: ago | clock | day | left. */
export function time(iso, style = "ago") {
  const element = h("time");
  setTime(element, iso, style);
  return element;
}

export function setTime(element, iso, style = "ago") {
  if (element.getAttribute("datetime") === iso && element.dataset.style === style && style !== "ago") return;
  const moment = new Date(iso ?? NaN);
  if (Number.isNaN(moment.getTime())) {
    setText(element, iso ? String(iso) : NONE);
    return;
  }
  if (element.getAttribute("datetime") !== iso) {
    element.setAttribute("datetime", iso);
    element.setAttribute("title", exact.format(moment));
    element.dataset.style = style;
  }
  setText(element, STYLES[style](moment));
}

/** Once for the page: times that say "ago" keep pace. */
export function keepTimes() {
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("time[data-style=ago], time[data-style=left]")) {
      setText(element, STYLES[element.dataset.style](new Date(element.getAttribute("datetime"))));
    }
  }, 5000);
}
