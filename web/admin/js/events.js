// Server-sent events: one connection for the page, opened again when it breaks.

import { address, get } from "./api.js";

const KINDS = ["sample", "client", "request", "log"];
const LONGEST_WAIT_MS = 15000;
const QUESTION_MS = 1500;

const listeners = new Map(KINDS.map((kind) => [kind, new Set()]));
const watchers = new Set();
let source = null;
let withLog = false;
let wanted = false;
let waitMs = 1000;
let timer = 0;
/** "connecting" | "live" | "lost" */
export let state = "connecting";

function tell(next) {
  const resumed = next === "live" && state === "lost";
  if (state === next) return;
  state = next;
  for (const watch of watchers) watch(next, resumed);
}

function open() {
  clearTimeout(timer);
  source?.close();
  if (!wanted) return;
  const own = new EventSource(address(withLog ? "events?log=1" : "events"));
  source = own;
  own.addEventListener("open", () => {
    waitMs = 1000;
    tell("live");
  });
  own.addEventListener("error", () => {
    if (source !== own) return;
    own.close(); // the browser's own retry gives up on any status but 200
    broken(own);
  });
  for (const kind of KINDS) {
    own.addEventListener(kind, (event) => {
      const found = listeners.get(kind);
      if (!found.size) return;
      const value = JSON.parse(event.data);
      for (const listener of found) listener(value);
    });
  }
}

/** A stream of events does not say why it ended. Where somebody has logged out elsewhere, any question does. */
async function broken(own) {
  const asked = get("session").catch(() => null); // a refusal leads to the log-in, and stops all this
  await Promise.race([asked, new Promise((resolve) => setTimeout(resolve, QUESTION_MS))]);
  if (!wanted || source !== own) return;
  tell("lost");
  timer = setTimeout(open, waitMs);
  waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
}

export function start() {
  wanted = true;
  open();
}

export function stop() {
  wanted = false;
  clearTimeout(timer);
  source?.close();
  source = null;
}

/** Calls back with every event of a kind; returns what ends that. */
export function listen(kind, listener) {
  listeners.get(kind).add(listener);
  const log = listeners.get("log").size > 0;
  if (log !== withLog) {
    withLog = log;
    if (source) open();
  }
  return () => {
    listeners.get(kind).delete(listener);
    const still = listeners.get("log").size > 0;
    if (still !== withLog) {
      withLog = still;
      if (source) open();
    }
  };
}

/** Calls back with (state, resumed): after a gap, what is shown must be asked for again. */
export function watch(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}
