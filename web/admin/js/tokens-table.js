// Tokens of their own for clients: what each allows, who uses it, and how it is revoked.

import { remove } from "./api.js";
import { attempt, confirm, notice } from "./dialogs.js";
import { h, setText } from "./dom.js";
import { count, plural, setTime } from "./format.js";
import { empty, iconButton, link } from "./parts.js";
import { Table, textCell } from "./table.js";

/** What a token, or a client by it, is said to be called. */
export const tokenWords = (name) => (name === null || name === undefined ? "the server's" : name);

/** `changed`: called once one was revoked. */
export function tokensTable(changed) {
  return new Table(
    [
      {
        key: "name",
        width: "18%",
        label: "Token",
        class: "lead-cell",
        sort: (token) => token.name.toLowerCase(),
        make: textCell((token) => token.name, "span.row-title"),
      },
      { key: "allows", label: "Lets clients serve", class: "wide", make: textCell(allows) },
      {
        key: "clients",
        width: "8.5rem",
        label: "Connected by it",
        align: "end",
        down: true,
        sort: (token) => token.clients,
        make: textCell((token) => count(token.clients)),
      },
      {
        key: "made",
        width: "7.5rem",
        label: "Made",
        align: "end",
        down: true,
        sort: (token) => Date.parse(token.created),
        make: madeCell,
      },
      {
        key: "act",
        width: "4rem",
        label: "Actions",
        unlabelled: true,
        class: "bare",
        make: () => actionCell(changed),
      },
    ],
    {
      label: "Tokens of clients",
      what: "tokens",
      search: "Search by token, name, port",
      key: (token) => token.name,
      text: (token) => [token.name, ...token.names, ...token.ports].join(" "),
      empty: () =>
        empty(
          "certificates",
          "No client has a token of its own",
          "Whoever has the server's token can do all that you can do here. A client with a token of its own can connect, " +
            "serve what it was made for, and nothing else; when its machine is lost or stolen, you revoke that one.",
          link("Make one with its client", "#/add", { picture: "add", kind: "plain" }),
        ),
    },
  );
}

function allows(token) {
  const forward = token.forward ? "; may use local forwards" : "";
  if (!token.names.length && !token.ports.length) return `any name and port${forward}`;
  const ports = token.ports.map((port) => `port ${port}`);
  const names = token.names.map((name) => (name === "*" ? "every name" : name));
  return [...names, ...ports].join(", ") + forward;
}

function madeCell() {
  const element = h("time");
  return { element, fill: (token) => setTime(element, token.created, "ago") };
}

function actionCell(changed) {
  let token = null;
  const press = iconButton("Revoke", "close", () => revoke(token, changed), { "data-word": "Revoke" });
  return {
    element: h("div.row-actions", press),
    fill(next) {
      token = next;
      const label = `Revoke ${next.name}`;
      if (press.title !== label) {
        press.title = label;
        press.setAttribute("aria-label", label);
      }
    },
  };
}

async function revoke(token, changed) {
  const now = token.clients ? `${plural(token.clients, "client")} connected by it` : "No client is connected by it now";
  const sure = await confirm(
    `Revoke ${token.name}?`,
    token.clients
      ? `${now}: cut off at once, with all that goes through, and not let in again until it has another token.`
      : `${now}. Whoever has it is not let in any more.`,
    "Revoke",
  );
  if (!sure) return;
  await attempt(async () => {
    await remove(`tokens/${encodeURIComponent(token.name)}`);
    notice(`The token ${token.name} was revoked.`);
    await changed();
  });
}
