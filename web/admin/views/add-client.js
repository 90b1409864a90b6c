// From names to a command that runs: what to serve, how to start it, and whether it has arrived.

import { get, post, session } from "../js/api.js";
import { attempt, copy, notice } from "../js/dialogs.js";
import { h, replace } from "../js/dom.js";
import { button, card, facts, field, heading, iconButton, link, note, segmented, tabs } from "../js/parts.js";
import { icon } from "../js/icons.js";
import { qrCode } from "../js/qr.js";

const LOOK_SECONDS = 3;
const WAYS = [
  ["shell", "Shell"],
  ["systemd", "systemd"],
  ["docker", "Docker"],
  ["kubernetes", "Kubernetes"],
];
const KINDS = {
  names: {
    title: "Names",
    name: ["Name", "app.example.com"],
    target: ["Leads to", "http://127.0.0.1:3000"],
    more: "Another name",
    hint: "Each name's visitors are led to a service that the client reaches. A * as the name stands for every name.",
  },
  ports: {
    title: "Ports",
    name: ["Public port", "2222"],
    target: ["Leads to", "127.0.0.1:22"],
    more: "Another port",
    hint: "What connects to the port here comes out at the address there.",
  },
};

export default async function addClient(root, scope) {
  const kinds = session.mode === "http" ? ["names"] : session.mode === "tcp" ? ["ports"] : ["names", "ports"];
  const forms = Object.fromEntries(kinds.map((kind) => [kind, new Rows(KINDS[kind], kinds.length === 1)]));
  const result = h("div.step-results");
  const url = h("input.mono", {
    type: "text",
    value: ownAddress(),
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
  });
  const name = h("input", { type: "text", maxlength: 64, placeholder: "the Pi in the attic", autocomplete: "off" });
  const tokens = new TokenChoice();
  const said = h("div", { role: "alert" });
  const form = h(
    "form.form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        make();
      },
    },
    kinds.map((kind) => forms[kind].element),
    field("What it is called", name, "For you to know it by. Left empty: what its machine is called."),
    tokens.element,
    field("This server's address, as the client's machine reaches it", url, "wss:// and a host, or a host and a port."),
    said,
    h("div.actions", h("button.button.primary", { type: "submit" }, "Make the command")),
  );
  replace(
    root,
    heading(
      "Add a client",
      "A client runs beside your services, dials out to this server, and needs no open port of its own.",
    ),
    h("div.steps", stepCard("What shall it serve?", form), result),
  );
  let waiting = null;

  async function make() {
    replace(said);
    try {
      const body = { names: [], ports: [] };
      if (url.value.trim()) body.url = url.value.trim();
      if (forms.names) body.names = forms.names.values().map(([name, target]) => ({ name, target }));
      if (forms.ports) body.ports = forms.ports.values().map(([port, target]) => ({ port: Number(port), target }));
      if (!body.names.length && !body.ports.length)
        throw new Error("Say at least one name or port, and where it leads.");
      if (name.value.trim()) body.name = name.value.trim();
      const [made, token] = await tokens.make(body);
      waiting?.end();
      waiting = new Arrival(made, scope);
      replace(
        result,
        token ? stepCard("Put its token into a file, on the machine that has the services", tokenPart(made, token)) : null,
        stepCard("Start it, on the machine that has the services", commandPart(made, token)),
        stepCard("Wait for it", waiting.element),
      );
      result.firstElementChild.querySelector("h2").focus();
      result.scrollIntoView({ block: "start", behavior: "auto" });
    } catch (error) {
      replace(said, note("bad", h("p", error.message)));
    }
  }
  scope.defer(() => waiting?.end());
  return { keys: {} };
}

const ownAddress = () => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;

const stepCard = (title, ...children) =>
  h("section.card.step", h("h2.card-title", { tabindex: -1 }, title), ...children);

class Rows {
  #kind;

  constructor(kind, needed) {
    this.#kind = kind;
    this.rows = h("div.add-rows");
    this.element = h(
      "fieldset.form",
      h("legend.unseen", kind.title),
      h("div", needed ? null : h("h3", kind.title), h("p.hint", kind.hint)),
      this.rows,
      h(
        "div.actions",
        button(kind.more, () => this.add(true), { kind: "quiet", icon: "add" }),
      ),
    );
    this.add(false);
  }

  add(focus) {
    const [name, target] = [this.#kind.name, this.#kind.target].map(([, example]) =>
      h("input.mono", {
        type: "text",
        placeholder: example,
        autocomplete: "off",
        autocapitalize: "off",
        spellcheck: "false",
      }),
    );
    const row = h(
      "div.add-row",
      field(this.#kind.name[0], name),
      field(this.#kind.target[0], target),
      iconButton("Remove this line", "trash", () => {
        if (this.rows.childElementCount > 1) row.remove();
        else name.value = target.value = "";
      }),
    );
    row.sluiceInputs = [name, target];
    this.rows.append(row);
    if (focus) name.focus();
  }

  /** [[name, target], …] of the lines that say anything. */
  values() {
    return [...this.rows.children]
      .map((row) => row.sluiceInputs.map((input) => input.value.trim()))
      .filter(([name, target]) => name || target);
  }
}

/** Whose token the client is to use. Its own is made once all else is known to be right. */
class TokenChoice {
  constructor() {
    this.own = true;
    this.element = h(
      "div.field",
      segmented(
        "The client's token",
        [
          ["own", "A token of its own (recommended)"],
          ["server", "The server's token"],
        ],
        "own",
        (choice) => (this.own = choice === "own"),
      ),
      h(
        "p.hint",
        "Its own lets it connect and serve what stands above, and nothing else; you can revoke it by itself. " +
          "The server's opens all of it, this page too.",
      ),
    );
  }

  /** [what add-client made, the token or ""]. */
  async make(body) {
    if (!this.own) return [await post("add-client", body), ""];
    const wished = tokenName(body.name);
    const derived = tokenName(body.names[0]?.name.replace("*", "") || (body.ports[0] && `port-${body.ports[0].port}`));
    let token = wished || derived || "client";
    const limits = { names: body.names.map(({ name }) => name || "*"), ports: body.ports.map(({ port }) => String(port)) };
    await post("add-client", { ...body, tokenName: token }); // what is wrong is said before there is a token
    let made;
    try {
      made = await post("tokens", { name: token, ...limits });
    } catch (error) {
      if (error.status !== 409) throw error;
      token = `${token.slice(0, 55)}-${randomDigits()}`; // another client's is called so
      made = await post("tokens", { name: token, ...limits });
    }
    return [await post("add-client", { ...body, tokenName: token }), made.token];
  }
}

const tokenName = (text) =>
  (text ?? "")
    .normalize("NFKD")
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, "")
    .slice(0, 64);

const randomDigits = () => crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, "0");

/** The command that keeps the token: a shell's own, so that it stands in no list of processes. */
function tokenPart(made, token) {
  const text = `(umask 077; cat > ${made.tokenFile}) <<'END'\n${token}\nEND\n`;
  return h(
    "div.form",
    note("warn", h("p", "It is shown this once: the server keeps only what it needs to know it again.")),
    command(text, "the token's file"),
  );
}

function commandPart(made, token) {
  const items = WAYS.filter(([key]) => made.commands[key]).map(([key, label]) => ({
    key,
    label,
    make: () => command(made.commands[key], label),
  }));
  return h(
    "div.form",
    (made.notes ?? []).map((text) => note("warn", h("p", text))),
    note(
      "plain",
      h(
        "p",
        token
          ? `Its token does not stand in these: they read it from the file ${made.tokenFile}.`
          : "The server's token does not stand in these: put it into the file that they name, readable by you alone.",
      ),
    ),
    tabs("Ways to start it", items),
  );
}

const command = (text, label) =>
  h(
    "div.command",
    h("pre", { tabindex: 0, "aria-label": `Command for ${label}` }, text),
    button("Copy", () => copy(text, "Command"), { icon: "copy" }),
  );

class Arrival {
  constructor(made, scope) {
    this.made = made;
    this.status = h("p.waiting", { role: "status" }, h("span.pulse"), h("span", "Waiting for the client…"));
    this.next = h("div.actions");
    const known = facts([
      ["Server", h("span.mono", made.url)],
      ["Client id", h("span.mono", made.clientId)],
      made.fingerprint ? ["Certificate's fingerprint, pinned in the command", h("span.mono", made.fingerprint)] : null,
    ]);
    this.element = h(
      "div.arrival",
      h("div", this.status, this.next, known),
      h("figure", qrCode(made.url, "The server's address as a QR code"), h("figcaption.hint", "The server's address")),
    );
    scope.event("client", (event) => event.clientId === made.clientId && this.#event(event));
    this.timer = setInterval(() => this.#look(), LOOK_SECONDS * 1000);
  }

  end() {
    clearInterval(this.timer);
    this.ended = true;
  }

  #event(event) {
    if (this.ended) return;
    if (event.kind === "connected") this.#here();
    else if (event.kind === "refused") this.#refused(event);
  }

  /** Events may be missed while the connection is lost. */
  async #look() {
    if (this.ended || document.hidden) return;
    await attempt(async () => {
      const { clients } = await get("clients");
      if (clients.some((client) => client.clientId === this.made.clientId)) this.#here();
    });
  }

  #here() {
    if (this.ended) return;
    this.end();
    this.status.classList.add("here");
    replace(this.status, icon("ok"), h("span", "The client has arrived. It is connected and serves what you chose."));
    replace(
      this.next,
      link("See it", `#/clients/${encodeURIComponent(this.made.clientId)}`, { kind: "primary" }),
      link("Names and ports", "#/routes", { kind: "plain" }),
    );
    notice("The new client has arrived.", "good", {
      href: `#/clients/${encodeURIComponent(this.made.clientId)}`,
      label: "See it",
    });
  }

  #refused(event) {
    replace(this.next, note("warn", h("p", `It came, but was refused: ${event.detail}`)));
  }
}
