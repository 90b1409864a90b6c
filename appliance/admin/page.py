"""The admin page's own addresses: the shell, its files, log-in and log-out."""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from appliance.admin import arguments, gate, shell
from appliance.admin.answers import json_answer, line
from appliance.admin.context import context, state
from appliance.admin.logins import COOKIE
from appliance.admin.problems import Problem
from appliance.admin.shared_api import session_view
from appliance.server.access import MAX_DELAY_SECONDS
from appliance.server.client_tokens import OWN

MOST_LOGIN_BYTES = 8192  # twice the longest token

blueprint = Blueprint("page", __name__)


@blueprint.get("/")
def index() -> Response:
    if gate.wants_page():
        return shell.page(log_in=g.login is None)
    server = state()
    return line(f"sluice {server.mode} server {server.version} on {server.hostname}: see /status and /metrics")


@blueprint.get("/assets/<path:path>")
def asset(path: str) -> Response:
    return shell.asset(path)


@blueprint.get("/favicon.ico")
def favicon() -> Response:
    return shell.asset("icon.svg")


@blueprint.post("/login")
def log_in() -> Response:
    """Changes the token for a cookie. By a form or JSON."""
    guard, address = state().guard, request.remote_addr or ""
    if guard.turns_away(address):
        wait = f"{MAX_DELAY_SECONDS:g}"
        text = f"too many wrong tokens come from your address: log-ins from it are refused, try again in {wait} seconds"
        raise Problem(429, text, {"Retry-After": wait})
    request.max_content_length = MOST_LOGIN_BYTES
    by_form = request.mimetype == "application/x-www-form-urlencoded"
    given = request.form.to_dict() if by_form else arguments.body(("token",))
    token = arguments.string(given, "token", most=4096)
    if state().guard.bearer(f"Bearer {token.strip()}") not in (None, OWN):
        raise Problem(403, gate.FOR_CLIENTS)
    if not guard.admit(address, f"Bearer {token.strip()}"):
        if by_form:
            return _to_page("./?refused=1")
        raise Problem(401, "this token is refused")
    cookie, login = context().logins.begin()
    answer = _to_page("./") if by_form else json_answer(session_view(login))
    answer.set_cookie(COOKIE, cookie, path="/", secure=request.is_secure, httponly=True, samesite="Strict")
    return answer


@blueprint.post("/logout")
def log_out() -> Response:
    if g.login is not None:
        context().log_out(g.login)
    answer = Response(status=204)
    answer.delete_cookie(COOKIE, path="/", secure=request.is_secure, httponly=True, samesite="Strict")
    return answer


def _to_page(address: str) -> Response:
    answer = line("303 See Other", 303)
    answer.headers["Location"] = address
    return answer
