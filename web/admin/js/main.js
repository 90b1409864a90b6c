// Starts the page: who are we, which view; keeps the shell around the views.

import { loadSession, session } from "./api.js";
import * as events from "./events.js";
import { h, replace } from "./dom.js";
import { keepTimes } from "./format.js";
import { failed, heading, loading } from "./parts.js";
import { noticeRegion } from "./dialogs.js";
import { Scope } from "./scope.js";
import { Shell } from "./shell.js";
import { listenForKeys } from "./keys.js";

const app = document.getElementById("app");

/** route name -> [module, roles] */
const VIEWS = {
  overview: ["overview", "server"],
  requests: ["requests", "both"],
  compare: ["compare", "both"],
  clients: ["clients", "server"],
  routes: ["routes", "server"],
  certificates: ["certificates", "server"],
  add: ["add-client", "server"],
  log: ["log", "both"],
  settings: ["settings", "server"],
};

let shell = null;
let current = null; // {name, scope, view}
let visits = 0;

function parse() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(decode);
  return { name, rest, query: new URLSearchParams(query) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const allowed = (name) =>
  (session.inspect !== false || !["requests", "compare"].includes(name)) &&
  Object.hasOwn(VIEWS, name) &&
  (VIEWS[name][1] === "both" || session.role === "server");

async function route() {
  if (!session) return;
  const target = parse();
  if (!allowed(target.name)) {
    location.replace(session.role === "server" ? "#/overview" : "#/requests");
    return;
  }
  shell.mark(target.name);
  if (current?.name === target.name && current.view?.update?.(target)) return;
  await open(target);
}

async function open(target) {
  const visit = ++visits;
  current?.scope.end();
  const scope = new Scope();
  current = { name: target.name, scope, view: null };
  const main = h("div.view", { "data-view": target.name }, loading());
  replace(shell.main, main);
  try {
    const { default: start } = await import(`../views/${VIEWS[target.name][0]}.js`);
    if (visit !== visits) return;
    replace(main);
    current.view = (await start(main, scope, target)) ?? null;
  } catch (error) {
    if (visit !== visits || error.name === "AbortError") return;
    if (!(error.status >= 0)) console.error(error); // the API's refusals are shown; anything else is a fault of ours
    replace(
      main,
      heading("This did not work"),
      failed(error, () => open(parse())),
    );
  }
  if (visit !== visits) return;
  const title = main.querySelector("h1");
  document.title = `${title?.textContent ?? "Sluice"} · ${session?.hostname || "Sluice"}`;
  scrollTo(0, 0);
  if (visits > 1 && !main.contains(document.activeElement)) title?.focus({ preventScroll: true });
}

async function signedOut(text) {
  events.stop();
  current?.scope.end();
  current = null;
  visits = 0;
  shell = null;
  const { showLogin } = await import("../views/login.js");
  showLogin(app, { text, onlogin: begin });
}

function begin() {
  shell = new Shell(session, signedOut);
  replace(app, shell.element, noticeRegion());
  shell.start();
  events.start();
  route();
}

async function boot() {
  try {
    // The shell says so where nobody has logged in: asking would be refused, which browsers show as an error.
    if (!("logIn" in document.documentElement.dataset) && (await loadSession())) begin();
    else await signedOut();
  } catch (error) {
    replace(app, h("main.starting", failed(error, boot)));
  }
}

addEventListener("hashchange", route);
addEventListener("sluice-signed-out", () => shell && signedOut("Your session has ended. Log in again."));
listenForKeys(() => ({ session, view: current?.view }));
keepTimes();
boot();
