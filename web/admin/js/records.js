// The requests that the page knows: what the server's ring had, and what events brought since. Newest first.

import { get } from "./api.js";

const LIMIT_AT_ONCE = 500; // the API's own
const KEPT = 2000;

/** Ids are compared with those of addresses, which are text. */
function name(record) {
  record.id = String(record.id);
  return record;
}

export class Records {
  #byId = new Map();
  #waiting = [];
  all = [];
  dropped = 0;

  /** All that the server still has, up to KEPT. */
  async load(signal) {
    const found = [];
    let before = "";
    for (;;) {
      const page = await get(`requests?limit=${LIMIT_AT_ONCE}${before}`, { signal });
      found.push(...page.requests);
      this.dropped = page.dropped ?? 0;
      if (page.requests.length < LIMIT_AT_ONCE || found.length >= KEPT) break;
      before = `&before=${encodeURIComponent(found.at(-1).id)}`;
    }
    found.forEach(name);
    this.#byId = new Map(found.map((record) => [record.id, record]));
    this.all = found;
    this.#waiting = [];
  }

  /** An event: kept until `take`, so that a pause or a burst costs nothing. */
  add(record) {
    this.#waiting.push(name(record));
    if (this.#waiting.length > KEPT) this.#waiting.splice(0, this.#waiting.length - KEPT);
  }

  /** How many requests wait that the list does not have. */
  get waiting() {
    return this.#waiting.reduce((sum, record) => sum + (this.#byId.has(record.id) ? 0 : 1), 0);
  }

  /** Brings what waits into the list. True where anything has changed. */
  take() {
    if (!this.#waiting.length) return false;
    const fresh = new Map();
    const changed = new Set();
    for (const record of this.#waiting) {
      if (this.#byId.has(record.id)) changed.add(record.id);
      else fresh.set(record.id, record);
      if (changed.has(record.id)) this.#byId.set(record.id, record);
    }
    this.#waiting = [];
    if (changed.size)
      this.all = this.all.map((record) => (changed.has(record.id) ? this.#byId.get(record.id) : record));
    if (fresh.size) {
      for (const [id, record] of fresh) this.#byId.set(id, record);
      this.all = [...[...fresh.values()].reverse(), ...this.all];
      for (const record of this.all.splice(KEPT)) this.#byId.delete(record.id);
    }
    return true;
  }

  clear() {
    this.#byId.clear();
    this.#waiting = [];
    this.all = [];
    this.dropped = 0;
  }
}

export const NO_FILTER = { name: "", path: "", method: "", status: "", minSeconds: "", client: "" };

/** A filter as a function of a record; words are looked for anywhere in the field. */
export function matcher(filter) {
  const tests = [];
  const contains = (fields, words) => {
    const wanted = words.trim().toLowerCase();
    if (wanted)
      tests.push((record) =>
        [fields].flat().some((field) =>
          String(record[field] ?? "")
            .toLowerCase()
            .includes(wanted),
        ),
      );
  };
  contains("name", filter.name);
  contains("path", filter.path);
  contains(["clientId", "clientName"], filter.client);
  if (filter.method === "WebSocket") tests.push((record) => record.kind === "websocket");
  else if (filter.method) tests.push((record) => record.method === filter.method);
  if (["open", "left", "broken"].includes(filter.status)) tests.push((record) => record.state === filter.status);
  else if (filter.status) tests.push((record) => Math.floor((record.status ?? 0) / 100) === Number(filter.status[0]));
  const seconds = Number(filter.minSeconds);
  if (seconds > 0) tests.push((record) => (record.seconds ?? 0) >= seconds);
  return (record) => tests.every((test) => test(record));
}

export function statusClass(record) {
  if (record.state === "broken" || record.state === "left") return record.state;
  const first = String(record.status ?? "")[0];
  return "12345".includes(first) && first ? `s${first}` : "s0";
}

const ENDS = { broken: "cut", left: "left" };

/** What became of it, in words as well: a colour alone says nothing to many. */
export const statusWords = (record) =>
  [record.status, ENDS[record.state]].filter(Boolean).join(" ") || (record.state === "open" ? "…" : "–");
