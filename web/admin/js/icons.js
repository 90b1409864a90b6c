// Line icons on a grid of 24, drawn as paths; decoration only: what they mean stands beside them.

import { svg } from "./dom.js";

const PATHS = {
  overview: ["M3 13h4l3-8 4 14 3-6h4"],
  requests: ["M4 8h13", "M13.5 4.5 17 8l-3.5 3.5", "M20 16H7", "M10.5 12.5 7 16l3.5 3.5"],
  clients: ["M4 5h16v10H4z", "M9 20h6", "M12 15v5"],
  routes: ["M5 6h.01", "M5 18h.01", "M8 6h5a4 4 0 0 1 4 4v4a4 4 0 0 0 4 4", "M8 18h13", "M18 15l3 3-3 3"],
  certificates: ["M12 3l7 3v5c0 4.6-2.9 8-7 10-4.1-2-7-5.4-7-10V6z", "M9 12l2 2 4-4.5"],
  add: ["M12 5v14", "M5 12h14"],
  log: ["M5 6h14", "M5 11h14", "M5 16h9"],
  settings: ["M4 7h9", "M19 7h1", "M16 4.5v5", "M4 17h1", "M11 17h9", "M8 14.5v5"],
  logout: ["M14 4h5v16h-5", "M10 8l-4 4 4 4", "M6 12h9"],
  menu: ["M4 7h16", "M4 12h16", "M4 17h16"],
  close: ["M6 6l12 12", "M18 6 6 18"],
  back: ["M15 5l-7 7 7 7"],
  help: ["M9 9a3 3 0 1 1 4.2 2.8c-.8.4-1.2 1-1.2 2.2", "M12 17.5h.01"],
  info: ["M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z", "M12 11v5", "M12 8h.01"],
  auto: ["M12 4a8 8 0 1 0 0 16z", "M12 4a8 8 0 0 1 0 16"],
  light: [
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
    "M12 2.5v2",
    "M12 19.5v2",
    "M2.5 12h2",
    "M19.5 12h2",
    "M5.3 5.3l1.4 1.4",
    "M17.3 17.3l1.4 1.4",
    "M18.7 5.3l-1.4 1.4",
    "M6.7 17.3l-1.4 1.4",
  ],
  dark: ["M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z"],
  ok: ["M5 12.5l4.5 4.5L19 7.5"],
  warning: ["M12 4 2.8 19.5h18.4z", "M12 10v4", "M12 17h.01"],
  error: ["M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z", "M12 8v5", "M12 16h.01"],
  pause: ["M9 6v12", "M15 6v12"],
  play: ["M8 5.5v13l10-6.5z"],
  replay: ["M4 12a8 8 0 1 0 2.6-5.9", "M4 4v4.5h4.5"],
  edit: ["M5 19l1-4L16.5 4.5l3 3L9 18z", "M14 7l3 3"],
  copy: ["M9 9h10v11H9z", "M15 9V4H5v11h4"],
  download: ["M12 4v11", "M7.5 11 12 15.5 16.5 11", "M5 20h14"],
  compare: ["M4 5h6v14H4z", "M14 5h6v14h-6z"],
  eye: [
    "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z",
    "M12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
  ],
  trash: ["M5 7h14", "M10 7V4h4v3", "M7 7l1 13h8l1-13"],
  external: ["M13 5h6v6", "M19 5l-9 9", "M17 14v5H5V7h5"],
  right: ["M5 12h14", "M13 6l6 6-6 6"],
  up: ["M12 19V5", "M6 11l6-6 6 6"],
  down: ["M12 5v14", "M6 13l6 6 6-6"],
  search: ["M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12z", "M15.5 15.5 20 20"],
};

export function icon(name) {
  const paths = (PATHS[name] ?? []).map((d) => svg("path", { d }));
  return svg("svg.icon", { viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, ...paths);
}

/** The sluice gate beside the name. */
export const mark = () =>
  svg(
    "svg.mark",
    { viewBox: "0 0 32 32", "aria-hidden": "true", focusable: "false" },
    svg("rect.mark-ground", { width: 32, height: 32, rx: 8 }),
    svg("path.mark-gate", { d: "M7 7v18M25 7v18M7 12.5h18" }),
    svg("path.mark-water", {
      d: "M11 18.2c1.7-1.6 3.3-1.6 5 0s3.3 1.6 5 0M11 23.4c1.7-1.6 3.3-1.6 5 0s3.3 1.6 5 0",
    }),
  );
