// The life of a view: whatever it starts ends with it.

import { notice } from "./dialogs.js";
import * as events from "./events.js";

export class Scope {
  #endings = [];
  #abort = new AbortController();

  get signal() {
    return this.#abort.signal;
  }

  get ended() {
    return this.#abort.signal.aborted;
  }

  /** Calls `ending` when the view ends. */
  defer(ending) {
    if (this.ended) ending();
    else this.#endings.push(ending);
  }

  event(kind, listener) {
    this.defer(events.listen(kind, listener));
  }

  on(target, type, listener, options = {}) {
    target.addEventListener(type, listener, { ...options, signal: this.signal });
  }

  /**
   * Runs `work` every so many seconds, one at a time, not while the page is hidden; and now, unless `now` is false. The
   * first time's failure is the caller's; later ones are said once.
   */
  every(seconds, work, { now = true } = {}) {
    let busy = false;
    let said = "";
    const run = async () => {
      if (busy || document.hidden || this.ended) return;
      busy = true;
      try {
        await work();
        said = "";
      } finally {
        busy = false;
      }
    };
    const again = () =>
      run().catch((error) => {
        if (this.ended || error.name === "AbortError" || error.status === 0 || error.message === said) return;
        said = error.message;
        if (error.status === undefined) console.error(error);
        else notice(error.message, "bad");
      });
    const timer = setInterval(again, seconds * 1000);
    this.defer(() => clearInterval(timer));
    this.on(document, "visibilitychange", again);
    this.defer(events.watch((_, resumed) => resumed && again()));
    return now ? run() : undefined;
  }

  /** A function that runs `work` in the next animation frame, once however often it was asked. */
  frame(work, everyMs = 0) {
    let asked = false;
    let last = 0;
    const run = () => {
      asked = false;
      last = performance.now();
      if (!this.ended) work();
    };
    return () => {
      if (asked || this.ended) return;
      asked = true;
      const wait = everyMs - (performance.now() - last);
      if (wait > 16) setTimeout(() => requestAnimationFrame(run), wait);
      else requestAnimationFrame(run);
    };
  }

  end() {
    if (this.ended) return;
    this.#abort.abort();
    for (const ending of this.#endings.reverse()) ending();
  }
}
