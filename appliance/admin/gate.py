"""Who may see what: the token as a bearer, or the cookie of a log-in. Everything is closed that is not named here."""

from __future__ import annotations

from flask import Response, g, request

from appliance.admin.answers import line
from appliance.admin.context import context, state
from appliance.admin.logins import COOKIE, Login
from appliance.admin.problems import problem

OPEN_ENDPOINTS = frozenset(
    {"control.healthz", "control.readyz", "control.authority", "page.asset", "page.log_in", "page.favicon"}
)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FOR_CLIENTS = "this token lets a client connect, and nothing else: here the server's own token is needed"
CSRF_HEADER = "X-CSRF-Token"
# Where programs ask, and are answered in their way.
API_PATHS = ("/api/", "/login", "/logout")


def for_programs() -> bool:
    return request.path.startswith(API_PATHS)


def wants_page() -> bool:
    """A browser asks for the address itself."""
    return request.endpoint == "page.index" and "text/html" in request.headers.get("Accept", "")


def require_token() -> Response | None:
    """Paths that do not exist want the token too, so that strangers learn nothing from the difference."""
    g.login = None
    if request.endpoint in OPEN_ENDPOINTS:
        return None
    authorization = request.headers.get("Authorization")
    if authorization is None:
        cookie = request.cookies.get(COOKIE)
        login = context().logins.find(cookie) if cookie else None
        if login is not None:
            return _by_login(login)
        if wants_page():
            return None
        if cookie is None and request.endpoint == "shared.session":
            return _refused("nobody is logged in")  # a page asks for that first: it is no guess
    guard = state().guard
    if guard.admit(request.remote_addr or "", authorization):
        return None
    if guard.bearer(authorization) is not None:
        return _forbidden(FOR_CLIENTS)
    reason = "this token is refused" if authorization else "a token is needed"
    return _refused(f"{reason}: send the server's token as Authorization: Bearer TOKEN")


def _by_login(login: Login) -> Response | None:
    """What is done by a browser must be meant by the page that logged in."""
    if request.method not in SAFE_METHODS and not login.may_change(request.headers.get(CSRF_HEADER)):
        return problem(403, f"the {CSRF_HEADER} header is missing or wrong: it is the csrfToken of /api/v1/session")
    g.login = login
    return None


def _forbidden(text: str) -> Response:
    return problem(403, text) if for_programs() else line(text, 403)


def _refused(text: str) -> Response:
    headers = {"WWW-Authenticate": 'Bearer realm="sluice"'}
    if for_programs():
        return problem(401, text, headers)
    refusal = line(text, 401)
    refusal.headers.update(headers)
    return refusal
