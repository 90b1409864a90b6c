// The server's API: one way in, problems as errors whose message may be shown.

// The page may lie below a path of a proxy: addresses are relative to where this module came from.
export const ROOT = new URL("../../", import.meta.url);
const API = new URL("api/v1/", ROOT);
const TIMEOUT_MS = 20000;

let csrfToken = "";
/** What GET /session said: {csrfToken, role, mode, version, hostname, inspect}. */
export let session = null;

/** As the page speaks; the API's details begin like an error of a command. */
const sentence = (text) => text[0].toUpperCase() + text.slice(1);

export class Problem extends Error {
  constructor(status, title, detail) {
    super(sentence(detail || title || `The server answered ${status}.`));
    this.status = status;
    this.title = title;
  }
}

/** The address of an API path, for links and EventSource. */
export const address = (path) => new URL(path, API).href;

export const get = (path, options) => call("GET", path, undefined, options);
export const post = (path, body = {}) => call("POST", path, body);
export const put = (path, body = {}) => call("PUT", path, body);
export const remove = (path) => call("DELETE", path);

async function call(method, path, body, options = {}) {
  const answer = await send(method, new URL(path, API), body, options);
  if (options.raw) return answer;
  if (answer.status === 204) return null;
  const type = answer.headers.get("Content-Type") ?? "";
  return type.includes("json") ? answer.json() : answer.text();
}

async function send(method, url, body, { signal } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["X-CSRF-Token"] = csrfToken;
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "no answer", "The server does not answer. Is it running, and is the network there?");
  }
  if (!answer.ok) throw await problem(answer, url);
  return answer;
}

async function problem(answer, url) {
  let said = {};
  try {
    const type = answer.headers.get("Content-Type") ?? "";
    said = type.includes("json") ? await answer.json() : { detail: (await answer.text()).trim().slice(0, 300) };
  } catch {
    // the status has to do
  }
  if (answer.status === 401 && session && !url.pathname.endsWith("/login"))
    dispatchEvent(new Event("sluice-signed-out"));
  return new Problem(answer.status, said.title ?? answer.statusText, said.detail);
}

/** Who we are to the server, or null without a session. */
export async function loadSession() {
  session = null;
  try {
    session = await get("session");
    csrfToken = session.csrfToken ?? "";
  } catch (error) {
    if (error.status !== 401) throw error;
  }
  return session;
}

export async function logIn(token) {
  await send("POST", new URL("login", ROOT), { token });
  return loadSession();
}

export async function logOut() {
  await send("POST", new URL("logout", ROOT), {});
  session = null;
}
