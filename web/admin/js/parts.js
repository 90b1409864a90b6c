// The pieces that views are made of: buttons, badges, empty states, tabs, choices.

import { h, newId, replace } from "./dom.js";
import { icon } from "./icons.js";

/** button("Save", run, {kind: "primary", icon: "copy"}); kinds: plain | primary | danger | quiet. */
export function button(label, onclick, { kind = "plain", icon: picture, title, ...attributes } = {}) {
  return h(
    `button.button.${kind}`,
    { type: "button", onclick, title, ...attributes },
    picture ? icon(picture) : null,
    h("span", label),
  );
}

export function iconButton(label, picture, onclick, attributes = {}) {
  return h(
    "button.icon-button",
    { type: "button", onclick, title: label, "aria-label": label, ...attributes },
    icon(picture),
  );
}

export const link = (label, href, { picture, kind = "" } = {}) =>
  h(kind ? `a.button.${kind}` : "a", { href }, picture ? icon(picture) : null, h("span", label));

/** A link away from here, or plain text where the address is none. */
export function outerLink(label, href) {
  if (!/^https?:\/\//i.test(href ?? "")) return h("span.mono", label);
  return h(
    "a.outer.mono",
    { href, target: "_blank", rel: "noopener noreferrer" },
    label,
    icon("external"),
    h("span.unseen", " (opens a new tab)"),
  );
}

/** tone: good | warn | bad | accent | quiet */
export const badge = (text, tone = "quiet") => h(`span.badge.${tone}`, text);

export const note = (tone, ...children) =>
  h(
    `div.note.${tone}`,
    icon(tone === "bad" ? "error" : tone === "warn" ? "warning" : tone === "good" ? "ok" : "info"),
    h("div", ...children),
  );

/** A client's id, of which the beginning tells enough; whole on hover. */
function shortId(id, href) {
  const text = id.length > 14 ? `${id.slice(0, 12)}…` : id;
  return h(href ? "a.mono" : "span.mono", { href, title: id }, text);
}

/** What a client is called, with the beginning of its id, which is its alone; the id by itself where it has no name. */
export const clientLabel = (id, name, href) =>
  name
    ? h("span.client-label", h(href ? "a" : "bdi", { href, title: id }, name), " ", h("span.sub.mono", id.slice(0, 8)))
    : shortId(id, href);

/** → where something leads, in one piece. */
export const leads = (target) => h("span.leads", icon("right"), h("span.unseen", "leads to "), h("span.mono", target));

/** What to do next where there is nothing to show. */
export const empty = (picture, title, text, ...actions) =>
  h(
    "div.empty",
    h("div.empty-picture", icon(picture)),
    h("h2", title),
    h("p", text),
    actions.length ? h("div.actions", ...actions) : null,
  );

export const card = (title, ...children) => h("section.card", title ? h("h2.card-title", title) : null, ...children);

/** A definition list of [term, value, wide?]. */
export const facts = (pairs) =>
  h(
    "dl.facts",
    pairs.filter(Boolean).map(([term, value, wide]) => h(wide ? "div.wide" : "div", h("dt", term), h("dd", value))),
  );

/** A labelled control. `control` gets an id. */
export function field(label, control, hint) {
  const id = (control.id ||= newId("field"));
  let described = null;
  if (hint) {
    described = h("p.hint", { id: `${id}-hint` }, hint);
    control.setAttribute("aria-describedby", described.id);
  }
  return h("div.field", h("label", { for: id }, label), control, described);
}

export function select(options, value, onchange, attributes = {}) {
  const element = h(
    "select",
    attributes,
    options.map(([key, label]) => h("option", { value: key }, label)),
  );
  element.value = value;
  if (onchange) element.addEventListener("change", () => onchange(element.value));
  return element;
}

/** One of few, all in sight: radio buttons that look like a switch. */
export function segmented(legend, options, value, onchange) {
  const name = newId("choice");
  return h(
    "fieldset.segmented",
    h("legend.unseen", legend),
    options.map(([key, label]) =>
      h(
        "label",
        h("input", { type: "radio", name, value: key, checked: key === value, onchange: () => onchange(key) }),
        h("span", label),
      ),
    ),
  );
}

/** Tabs as the ARIA practices have them: arrow keys move, one panel in sight. items: [{key, label, make()}]. */
export function tabs(label, items, { chosen = items[0].key, onchange } = {}) {
  const panel = h("div.tab-panel", { role: "tabpanel", id: newId("panel"), tabindex: 0 });
  const buttons = new Map();
  const choose = (key, focus) => {
    for (const [other, tab] of buttons) {
      const on = other === key;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      if (on && focus) tab.focus();
    }
    panel.setAttribute("aria-labelledby", buttons.get(key).id);
    replace(panel, items.find((item) => item.key === key).make());
    onchange?.(key);
  };
  const list = h(
    "div.tabs",
    { role: "tablist", "aria-label": label },
    items.map((item) => {
      const tab = h(
        "button.tab",
        {
          type: "button",
          role: "tab",
          id: newId("tab"),
          "aria-controls": panel.id,
          onclick: () => choose(item.key, false),
        },
        item.label,
      );
      buttons.set(item.key, tab);
      return tab;
    }),
  );
  list.addEventListener("keydown", (event) => {
    const keys = items.map((item) => item.key);
    const at = keys.findIndex((key) => buttons.get(key) === document.activeElement);
    const step = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: keys.length - 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    choose(keys[(step + keys.length) % keys.length], true);
  });
  choose(items.some((item) => item.key === chosen) ? chosen : items[0].key, false);
  return h("div.tab-group", list, panel);
}

/** The head of a view: its h1 (which takes the focus on navigation) and what stands beside it. */
export function heading(title, lead = null, ...actions) {
  return h(
    "header.view-head",
    h("div", h("h1", { tabindex: -1 }, title), lead === null ? null : h("p.lead", lead)),
    actions.length ? h("div.actions", ...actions) : null,
  );
}

/** What is shown while the first answer is on its way, and where it could not be had. */
export const loading = () => h("p.loading", { role: "status" }, "Loading…");
export const failed = (error, again) =>
  note("bad", h("p", error.message), again ? button("Try again", again, { icon: "replay" }) : null);
