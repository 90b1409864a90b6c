// A QR code as SVG elements: one path, dark on light in both themes, with the quiet zone that readers need.

import { encode } from "../vendor/uqr.js";
import { h, svg } from "./dom.js";

export function qrCode(text, label) {
  const { data, size } = encode(text, { ecc: "M", border: 4 });
  let path = "";
  data.forEach((row, y) =>
    row.forEach((dark, x) => {
      if (dark) path += `M${x} ${y}h1v1h-1z`;
    }),
  );
  return h(
    "div.qr",
    svg("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label }, svg("path", { d: path })),
  );
}
