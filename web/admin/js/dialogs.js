// Questions before what cannot be undone, short notices, the clipboard.

import { h, newId } from "./dom.js";
import { icon } from "./icons.js";
import { button, iconButton } from "./parts.js";

/** A modal <dialog>; returns a promise of what it was closed with ("" when dismissed). */
export function show(title, body, actions = []) {
  const id = newId("dialog");
  const dialog = h("dialog.dialog", { "aria-labelledby": id });
  const close = (value) => dialog.close(value);
  const buttons = actions.map(({ label, value, kind, run }) =>
    button(label, async () => (run ? (await run()) !== false && close(value ?? "") : close(value ?? "")), { kind }),
  );
  dialog.append(
    h(
      "header",
      h("h2", { id }, title),
      iconButton("Close", "close", () => close("")),
    ),
    h("div.dialog-body", body),
    ...(buttons.length ? [h("footer", ...buttons)] : []),
  );
  dialog.addEventListener("click", (event) => event.target === dialog && close(""));
  document.body.append(dialog);
  const before = document.activeElement;
  dialog.showModal();
  (dialog.querySelector(".dialog-body :is(input, select, textarea)") ?? buttons[0])?.focus();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        dialog.remove();
        if (before?.isConnected) before.focus();
        resolve(dialog.returnValue);
      },
      { once: true },
    );
  });
}

/** True when the question was answered with the action's own button. "Cancel" has the focus first. */
export async function confirm(title, text, action, kind = "danger") {
  const answer = await show(title, h("p", text), [
    { label: "Cancel", value: "" },
    { label: action, value: "yes", kind },
  ]);
  return answer === "yes";
}

let region = null;
const AT_MOST = 3;

/** The one live region of the page, for what the reader did or waits for. */
export function noticeRegion() {
  region = h("div.notices", { role: "status", "aria-live": "polite" });
  return region;
}

export function notice(text, tone = "good", { href, label } = {}) {
  if (!region) return;
  const element = h(
    `div.notice.${tone}`,
    icon(tone === "bad" ? "error" : tone === "warn" ? "warning" : "ok"),
    h("p", text),
    href ? h("a", { href }, label) : null,
    iconButton("Dismiss", "close", () => element.remove()),
  );
  while (region.childElementCount >= AT_MOST) region.firstElementChild.remove();
  region.append(element);
  setTimeout(() => element.remove(), tone === "bad" ? 12000 : 6000);
}

/** Runs a promise of the API; what goes wrong is said. Returns undefined then. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") notice(error.message, "bad");
    return undefined;
  }
}

/** Copies; where the browser forbids that (a plain http address), shows the text, selected. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notice(`${what} copied.`);
    return;
  } catch {
    // no secure context, or no permission
  }
  const box = h("textarea.mono", { readonly: true, rows: 8, "aria-label": what, value: text });
  const shown = show(
    `Copy ${what.toLowerCase()}`,
    h("div", h("p", "This browser lets a page copy by itself only over HTTPS. Copy it from here:"), box),
  );
  box.focus();
  box.select();
  await shown;
}
