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
    const list = Array.isArray(found) ? found : (found.certificates ?? []);
    replace(
      body,
      list.length
        ? list.map(one)
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
  const ends = certificate.expires ?? certificate.notAfter;
  const left = (Date.parse(ends) - Date.now()) / 1000;
  const names = certificate.names ?? certificate.subjects ?? [];
  const print = certificate.fingerprint ?? certificate.sha256;
  return card(
    null,
    h(
      "header.view-head",
      h("div", h("h2", certificate.name ?? names[0] ?? "Certificate"), h("p.lead", planeWords(certificate.plane))),
      verdict(left),
    ),
    facts([
      ["Ends", time(ends, "day")],
      names.length ? ["Names", h("span.mono", names.join(", "))] : null,
      certificate.issuer ? ["Issued by", String(certificate.issuer)] : null,
      certificate.source ? ["Comes from", h("span.mono", String(certificate.source))] : null,
      certificate.renews || certificate.nextRenewal
        ? ["Renewed", time(certificate.renews ?? certificate.nextRenewal)]
        : null,
      print
        ? [
            "Fingerprint (SHA-256)",
            h(
              "span.target",
              h("span.mono", print),
              iconButton("Copy the fingerprint", "copy", () => copy(print, "Fingerprint")),
            ),
            true,
          ]
        : null,
    ]),
    certificate.problem || certificate.error
      ? note("warn", h("p", String(certificate.problem ?? certificate.error)))
      : null,
  );
}

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
