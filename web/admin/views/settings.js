// What is in force, and where each value comes from.

import { get } from "../js/api.js";
import { h, replace, setText } from "../js/dom.js";
import { badge, empty, heading } from "../js/parts.js";
import { Table } from "../js/table.js";

const SOURCES = {
  flag: ["command line", "accent"],
  environment: ["environment", "accent"],
  file: ["file", "accent"],
  default: ["default", "quiet"],
};

export default async function settings(root, scope) {
  const { settings: found } = await get("settings", { signal: scope.signal });
  const table = new Table(
    [
      {
        key: "flag",
        width: "36%",
        label: "Setting",
        class: "lead-cell",
        sort: (setting) => setting.flag,
        make: flagCell,
      },
      { key: "value", label: "Value", class: "wide", sort: (setting) => words(setting.value), make: valueCell },
      { key: "source", width: "9rem", label: "Comes from", sort: (setting) => setting.source, make: sourceCell },
      { key: "group", width: "10rem", label: "Group", sort: (setting) => setting.group ?? "", make: groupCell },
    ],
    {
      label: "Settings in force",
      what: "settings",
      search: "Search by name, value, meaning",
      key: (setting) => setting.flag,
      text: (setting) => [setting.flag, words(setting.value), setting.help, setting.group, setting.source].join(" "),
      sort: { key: "flag", down: false },
      empty: () => empty("settings", "No settings", "This server has told none."),
    },
  );
  table.element.classList.add("settings");
  replace(
    root,
    heading(
      "Settings",
      "As they are in force now. They are changed where the server is started: on its command line, in its environment or its files.",
    ),
    table.element,
  );
  table.show(found);
  return { keys: {} };
}

function words(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (Array.isArray(value)) return value.length ? value.join(", ") : "–";
  if (typeof value === "boolean") return value ? "on" : "off";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const withUnit = (value, unit) => (unit && typeof value === "number" ? `${words(value)} ${unit}` : words(value));

function usualWords(setting) {
  const said = withUnit(setting.default, setting.unit);
  return said === "–" ? "none" : said;
}

function flagCell() {
  const [flag, help] = [h("code.row-title"), h("span.sub")];
  return {
    element: h("div.stack", flag, help),
    fill(setting) {
      setText(flag, setting.flag);
      setText(help, setting.help ?? "");
    },
  };
}

function valueCell() {
  const [value, usual] = [h("span.mono"), h("span.sub")];
  return {
    element: h("div.stack", value, usual),
    fill(setting) {
      const said = withUnit(setting.value, setting.unit);
      // What is not given may still mean something: "everybody", "loopback".
      setText(value, said === "–" && setting.isDefault && setting.defaultText ? setting.defaultText : said);
      const changed = setting.isDefault === false && Object.hasOwn(setting, "default");
      setText(usual, changed ? `default: ${setting.defaultText || usualWords(setting)}` : "");
    },
  };
}

function sourceCell() {
  const element = h("span");
  return {
    element,
    fill(setting) {
      const [label, tone] = SOURCES[setting.source] ?? [setting.source, "quiet"];
      replace(element, tone === "quiet" ? h("span.quiet-text", label) : badge(label, tone));
    },
  };
}

function groupCell() {
  const element = h("span.quiet-text");
  return { element, fill: (setting) => setText(element, setting.group ?? "–") };
}
