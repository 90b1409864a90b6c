// The log-in page: one field, clear refusals.

import { logIn } from "../js/api.js";
import { h, replace, setText } from "../js/dom.js";
import { mark } from "../js/icons.js";
import { field, note } from "../js/parts.js";

export function showLogin(app, { text, onlogin }) {
  document.title = "Log in · Sluice";
  const token = h("input", {
    type: "password",
    name: "token",
    autocomplete: "current-password",
    required: true,
    autocapitalize: "off",
    spellcheck: "false",
  });
  const said = h("div", { role: "alert" });
  const submit = h("button.button.primary", { type: "submit" }, "Log in");
  const form = h(
    "form.card",
    { onsubmit: (event) => enter(event) },
    h("h1", "Log in"),
    text ? note("plain", h("p", text)) : null,
    // Password managers want a user name to go with a secret.
    h("input", { type: "text", name: "username", value: "admin", autocomplete: "username", hidden: true }),
    field("Server's token", token, [
      "What the server was started with: ",
      ...["--token", ", ", "--token-file", " or ", "--token-env"].map((word) =>
        word.startsWith("--") ? h("code", word) : word,
      ),
      ".",
    ]),
    said,
    submit,
  );

  async function enter(event) {
    event.preventDefault();
    submit.disabled = true;
    setText(submit, "Logging in…");
    replace(said);
    token.removeAttribute("aria-invalid");
    try {
      if (await logIn(token.value.trim())) {
        onlogin();
        return;
      }
      throw new Error("The browser did not keep the session's cookie. Are cookies blocked for this address?");
    } catch (error) {
      replace(said, note("bad", h("p", refusal(error))));
      if (error.status !== 429) token.setAttribute("aria-invalid", "true");
      token.focus();
      token.select();
    } finally {
      submit.disabled = false;
      setText(submit, "Log in");
    }
  }

  replace(
    app,
    h(
      "main.login",
      h(
        "div.login-box",
        h("p.brand", mark(), h("span", "Sluice")),
        form,
        h(
          "p.foot",
          "The token stays with the server: this browser keeps a session cookie only, for twelve idle hours.",
        ),
      ),
    ),
  );
  token.focus();
}

function refusal(error) {
  if (error.status === 401)
    return "This token is not the server's. Check it, and mind spaces and line ends.";
  if (error.status === 429)
    return "Too many wrong tokens come from your address, so nobody can log in from there now. Wait ten seconds, then try again.";
  return error.message;
}
