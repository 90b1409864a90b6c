// Bytes in rows: offset, hexadecimal, characters. So many at a time.

import { h } from "./dom.js";
import { bytes } from "./format.js";
import { button } from "./parts.js";

const AT_ONCE = 4096;
const WIDE = 16;
const NARROW = 8;

export function hexView(data) {
  if (!data.length) return h("p.hint", "No bytes.");
  const width = matchMedia("(max-width: 43.99rem)").matches ? NARROW : WIDE;
  const box = h("pre.code.hex", { tabindex: 0, "aria-label": "Bytes of the body" });
  const frame = h("div", box);
  let shown = 0;
  const more = () => {
    const end = Math.min(data.length, shown + AT_ONCE);
    const lines = [];
    for (; shown < end; shown += width) lines.push(line(data, shown, Math.min(width, data.length - shown), width));
    box.append(document.createTextNode(`${lines.join("\n")}\n`));
    frame.querySelector(".button")?.remove();
    if (shown < data.length)
      frame.append(button(`Show more (${bytes(data.length - shown)} left)`, more, { kind: "quiet" }));
  };
  more();
  return frame;
}

function line(data, at, many, width) {
  let [codes, characters] = ["", ""];
  for (let n = 0; n < many; n += 1) {
    const byte = data[at + n];
    codes += `${byte.toString(16).padStart(2, "0")} ${n === width / 2 - 1 ? " " : ""}`;
    characters += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·";
  }
  return `${at.toString(16).padStart(6, "0")}  ${codes.padEnd(width * 3 + 1)} ${characters}`;
}
