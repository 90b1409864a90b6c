// Switching the recording of requests on, for a while, and off.

import { put, remove } from "./api.js";
import { attempt, notice, show } from "./dialogs.js";
import { h } from "./dom.js";
import { time } from "./format.js";
import { button, empty, iconButton } from "./parts.js";

/** For how long to record: the question is the same for one name and for all. */
export async function chooseTime(name, again) {
  const which = name === "*" ? "all names" : name;
  const answer = await show(
    `Record requests of ${which}?`,
    h(
      "div",
      h(
        "p",
        "Whole requests and answers are kept in this server's memory, for whoever has the token to see: headers and bodies, with passwords and cookies masked until somebody asks.",
      ),
      h(
        "p.hint",
        "Each recorded request costs the server about 40 µs more: at its limit it answers a third fewer small ones. It stops by itself.",
      ),
    ),
    [
      { label: "Cancel", value: "" },
      { label: "For 1 hour", value: "3600" },
      { label: "For 15 minutes", value: "900", kind: "primary" },
    ],
  );
  if (!answer) return;
  await attempt(async () => {
    await put(`inspect/${encodeURIComponent(name)}`, { seconds: Number(answer) });
    const there = location.hash.startsWith("#/requests");
    notice(
      `Requests of ${which} are recorded.`,
      "good",
      there ? {} : { href: `#/requests${name === "*" ? "" : `?name=${encodeURIComponent(name)}`}`, label: "See them" },
    );
    await again?.();
  });
}

export async function stop(name, again) {
  await attempt(async () => {
    await remove(`inspect/${encodeURIComponent(name)}`);
    notice(`Requests of ${name === "*" ? "all names" : name} are no longer recorded.`);
    await again?.();
  });
}

/** A name that is being recorded, with what stops it. */
export function chip(item, again) {
  const label = item.name === "*" ? "all names" : item.name;
  return h(
    "li.chip",
    h("span", label, item.until ? [" · ", time(item.until, "left"), " left"] : null),
    iconButton(`Stop recording ${label}`, "close", () => stop(item.name, again)),
  );
}

/** Where nothing is. */
export const offWords = (again) =>
  empty(
    "eye",
    "Nothing is being recorded",
    "Recording is off until you switch it on, so that it costs nothing: for all names here, or for one under Names and ports.",
    button("Record all names…", () => chooseTime("*", again), { kind: "primary", icon: "eye" }),
    h("a.button", { href: "#/routes" }, "Choose a name"),
  );
