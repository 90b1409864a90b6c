// One request in the list: rows are filled again and again, so that only what differs is written.

import { h, setText } from "./dom.js";
import { bytes, duration, setTime } from "./format.js";
import { statusClass, statusWords } from "./records.js";

export const HEADS = ["Status", "Request", "Took", "Answer", "Arrived"];

export function requestRow() {
  const status = h("span");
  const [method, path, host] = [h("span.method"), h("span.path"), h("span.host")];
  const [arrived, took, size] = [h("time.number"), h("span.number"), h("span.number")];
  let shown = null;
  return {
    element: h("div", status, h("span.what", h("span.path", method, " ", path), host), took, size, arrived),
    fill(record) {
      if (record === shown) return;
      shown = record;
      status.className = `status ${statusClass(record)}`;
      setText(status, statusWords(record));
      setText(method, record.kind === "websocket" ? "WS" : record.method);
      setText(path, record.path);
      setText(host, record.replayOf ? `${record.name} · replay` : record.name);
      setTime(arrived, record.at, "clock");
      setText(took, record.seconds === null ? "under way" : duration(record.seconds));
      setText(size, bytes(record.responseBytes));
    },
  };
}
