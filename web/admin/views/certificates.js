// What the server shows to visitors and clients to prove who it is.

import { get } from "../js/api.js";
import { copy } from "../js/dialogs.js";
import { h, replace } from "../js/dom.js";
import { span, time } from "../js/format.js";
import { badge, card, empty, facts, heading, iconButton, note } from "../js/parts.js";

const REFRESH_SECONDS = 60;
const SOON_SECONDS = 14 * 86400;
const DAYS_ONLY = 3 * 86400;

export default async function certificates(root, scope) {
  const body = h("div");
  replace(root, heading("Certificates", "With what this server proves who it is, on both planes."), body);
  await scope.every(REFRESH_SECONDS, async () => {
    const found = await get("certificates", { signal: scope.signal });
    replace(
      body,
      found.overdue.length || found.certificates.length
        ? [...found.overdue.map(late), ...found.certificates.map(one)]
        : card(
            null,
            empty(
              "certificates",
              "No certificate",
              "This server speaks plain HTTP on both planes. --auto-tls makes certificates of its own; --letsencrypt-domain gets public ones.",
            ),
          ),
    );
  });
  return { keys: {} };
}

function one(certificate) {
  const left = (Date.parse(certificate.expires) - Date.now()) / 1000;
  const { names, fingerprint } = certificate;
  return card(
    null,
    h(
      "header.view-head",
      h("div", h("h2", certificate.name), h("p.lead", planeWords(certificate.plane))),
      verdict(left),
    ),
    facts([
      ["Ends", time(certificate.expires, "day")],
      names.length ? ["Names", h("span.mono", names.join(", "))] : null,
      certificate.issuer ? ["Issued by", String(certificate.issuer)] : null,
      certificate.source ? ["Comes from", h("span.mono", String(certificate.source))] : null,
      certificate.renews ? ["Renewal", time(certificate.renews)] : null,
      fingerprint
        ? [
            "Fingerprint (SHA-256)",
            h(
              "span.target",
              h("span.mono", fingerprint),
              iconButton("Copy the fingerprint", "copy", () => copy(fingerprint, "Fingerprint")),
            ),
            true,
          ]
        : null,
    ]),
  );
}

/** A name whose issuer has not given it what it wants, so far. */
function late(name) {
  const lead = name.expires ? "Waits for a new certificate" : "Waits for its first certificate";
  return card(
    null,
    h(
      "header.view-head",
      h("div", h("h2", name.name), h("p.lead", lead)),
      name.expires ? badge("not renewed", "warn") : badge("no certificate", "bad"),
    ),
    name.reason ? note("warn", h("p", name.reason)) : null,
    facts([
      ["Tried", name.failures ? times(name.failures) : "not yet"],
      name.since ? ["Last try", time(name.since)] : null,
      ["Next try", name.nextTry ? time(name.nextTry) : "now"],
      name.expires ? ["The one in use ends", time(name.expires, "day")] : null,
    ]),
  );
}

const times = (count) => (count === 1 ? "once" : `${count} times in a row`);

const planeWords = (plane) =>
  ({ control: "Control plane: clients and this page", data: "Data plane: visitors" })[plane] ?? String(plane ?? "");

function verdict(left) {
  if (Number.isNaN(left)) return badge("end unknown");
  if (left < 0) return badge(`ended ${span(-left)} ago`, "bad");
  return badge(
    `${left > DAYS_ONLY ? `${Math.floor(left / 86400)} days` : span(left)} left`,
    left < SOON_SECONDS ? "warn" : "good",
  );
}
