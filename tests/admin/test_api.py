"""The API as a whole: who gets in, how it answers, and that strangers' text is never more than text."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from appliance.admin.app import create_app
from appliance.admin.context import context_of
from appliance.admin.gate import OPEN_ENDPOINTS
from appliance.admin.log_ring import LogRing
from appliance.admin.logins import IDLE_SECONDS
from tests.admin.conftest import AUTHORIZED, TOKEN, FakeSession, FakeState
from tests.admin.records import HOSTILE, hostile_record

PROBLEM = "application/problem+json"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
LOOKED_AT = """session overview history clients routes settings certificates inspect requests log openapi.json
requests.har"""
WRONG: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": "Basic YTpi"},
    {"Cookie": "x=1"},
    {"Cookie": "sluice_session=guess"},
    {"Authorization": "", "Cookie": "sluice_session="},
)
VALUES = {"client_id": "0" * 32, "name": "a.example.com", "number": 1, "side": "request", "path": "js/main.js"}
BODIES = {"seconds": 1, "names": [{"name": "a", "target": "http://127.0.0.1:1"}]}


@pytest.fixture
def app(state: FakeState) -> Flask:
    return create_app(cast(Any, state), LogRing())


@pytest.fixture
def anybody(app: Flask) -> FlaskClient:
    return app.test_client()


def addresses(app: Flask) -> Iterator[tuple[Rule, str, str]]:
    """Every rule with each of its methods and an address that it fits."""
    for rule in app.url_map.iter_rules():
        wanted = {name: value for name, value in VALUES.items() if name in rule.arguments}
        built = rule.build(wanted)
        assert built is not None, rule
        for method in sorted(rule.methods or ()):
            yield rule, method, built[1]


class TestWhoGetsIn:
    def test_everything_is_closed_without_the_token_and_with_a_wrong_one(self, app: Flask, state: FakeState) -> None:
        state.guard._sleep = lambda seconds: None
        tried = 0
        for headers in WRONG:
            client = app.test_client()
            for rule, method, path in addresses(app):
                if rule.endpoint in OPEN_ENDPOINTS:
                    continue
                answer = client.open(path, method=method, headers=headers)
                assert answer.status_code == 401, (method, path, headers)
                expected = PROBLEM if path.startswith(("/api/", "/log")) else "text/plain"
                assert answer.mimetype == expected, path
                assert "Bearer" in answer.headers["WWW-Authenticate"]
                tried += 1
        assert tried > 300

    def test_open_is_what_is_meant_to_be(self, app: Flask) -> None:
        rules = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint in OPEN_ENDPOINTS}
        assert rules == {
            "/healthz", "/readyz", "/.well-known/ca.crt", "/login", "/assets/<path:path>", "/favicon.ico"
        }  # fmt: skip

    def test_paths_that_do_not_exist_tell_nothing(self, anybody: FlaskClient) -> None:
        for path in ("/api/v1/nothing", "/api/v1/", "/api/v2/x", "/api/v1/requests/abc"):
            answer = anybody.get(path)
            assert answer.status_code == 401 and answer.mimetype == PROBLEM
            answer = anybody.get(path, headers=AUTHORIZED)
            assert answer.status_code == 404 and answer.mimetype == PROBLEM
            assert set(answer.get_json()) == {"type", "title", "status", "detail"}

    def test_looking_whether_somebody_is_logged_in_is_no_guess(self, anybody: FlaskClient, state: FakeState) -> None:
        for _ in range(20):
            assert anybody.get("/api/v1/session").status_code == 401
        assert state.guard.denied == 0
        assert anybody.get("/api/v1/overview").status_code == 401
        anybody.set_cookie("sluice_session", "guess")
        assert anybody.get("/api/v1/session").status_code == 401
        assert state.guard.denied == 2

    def test_every_change_is_a_change(self, app: Flask) -> None:
        """And every GET only reads: a link, an image or a browser's guess at what comes next do nothing."""
        changing = {"POST", "PUT", "DELETE"}
        for rule in app.url_map.iter_rules():
            methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            assert methods == {"GET"} or (methods <= changing and len(methods) == 1), rule


class TestLoggingIn:
    def log_in(self, client: FlaskClient, **kwargs: Any) -> str:
        answer = client.post("/login", json={"token": TOKEN}, **kwargs)
        assert answer.status_code == 200 and answer.mimetype == "application/json"
        return cast(str, answer.get_json()["csrfToken"])

    def test_a_cookie_that_scripts_do_not_see(self, anybody: FlaskClient) -> None:
        answer = anybody.post("/login", json={"token": TOKEN})
        (cookie,) = answer.headers.getlist("Set-Cookie")
        assert re.match(r"sluice_session=[\w-]{43};", cookie)
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
        assert "Secure" not in cookie and "Domain" not in cookie
        answer = anybody.post("/login", json={"token": TOKEN}, base_url="https://localhost")
        assert "Secure" in answer.headers["Set-Cookie"]

    def test_the_cookie_opens_the_api(self, anybody: FlaskClient) -> None:
        token = self.log_in(anybody)
        session = anybody.get("/api/v1/session").get_json()
        assert session == {
            "csrfToken": token, "role": "server", "mode": "http", "version": "0.1.0", "hostname": "am1.local",
            "inspect": True,
        }  # fmt: skip
        assert anybody.get("/api/v1/overview").status_code == 200
        assert anybody.get("/metrics").status_code == 200

    def test_a_bearer_needs_no_csrf_token_and_gets_none(self, anybody: FlaskClient) -> None:
        assert anybody.get("/api/v1/session", headers=AUTHORIZED).get_json()["csrfToken"] is None
        assert anybody.delete("/api/v1/requests", headers=AUTHORIZED).status_code == 204

    def test_every_change_by_cookie_needs_the_csrf_token(self, app: Flask, anybody: FlaskClient) -> None:
        token = self.log_in(anybody)
        other = self.log_in(app.test_client())
        changes = [(method, path) for rule, method, path in addresses(app)
                   if method not in ("GET", "HEAD", "OPTIONS") and rule.endpoint not in OPEN_ENDPOINTS]  # fmt: skip
        assert len(changes) >= 7
        for method, path in changes:
            for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": other}, {"X-CSRF-Token": token + "x"}):
                answer = anybody.open(path, method=method, headers=headers, json=BODIES)
                assert answer.status_code == 403 and answer.mimetype == PROBLEM, path
            if path != "/logout":
                answer = anybody.open(path, method=method, headers={"X-CSRF-Token": token}, json=BODIES)
                assert answer.status_code != 403, path

    @pytest.mark.parametrize("sent", [{"token": "wrong"}, {"token": ""}, {"token": TOKEN + " x"}, {"token": "é\u2028"}])
    def test_a_wrong_token_is_refused_and_counted(self, anybody: FlaskClient, state: FakeState, sent: Any) -> None:
        answer = anybody.post("/login", json=sent)
        assert (answer.status_code, answer.mimetype, state.guard.denied) == (401, PROBLEM, 1)
        assert "Set-Cookie" not in answer.headers

    @pytest.mark.parametrize("sent", [{}, [], "x", {"token": 1}, {"token": "x" * 5000}, {"token": TOKEN, "more": 1}])
    def test_odd_log_ins(self, anybody: FlaskClient, sent: Any) -> None:
        answer = anybody.post("/login", json=sent)
        assert answer.status_code == 400 and answer.mimetype == PROBLEM

    def test_by_a_form_without_scripts(self, anybody: FlaskClient) -> None:
        answer = anybody.post("/login", data={"token": "wrong"})
        assert answer.status_code == 303 and answer.headers["Location"] == "./?refused=1"
        answer = anybody.post("/login", data={"token": TOKEN})
        assert answer.status_code == 303 and answer.headers["Location"] == "./"
        assert anybody.get("/api/v1/session").status_code == 200

    def test_large_bodies_are_not_read(self, anybody: FlaskClient) -> None:
        assert anybody.post("/login", json={"token": "x" * 10_000}).status_code == 413
        assert anybody.post("/login", data={"token": "x" * 10_000}).status_code == 413

    def test_guessing_is_slowed(self, anybody: FlaskClient, state: FakeState) -> None:
        slept: list[float] = []
        state.guard._sleep = slept.append
        for _ in range(12):
            anybody.post("/login", json={"token": "guess"})
        assert slept == [1.0, 2.0]
        assert anybody.post("/login", json={"token": TOKEN}).status_code == 200 and len(slept) == 2

    def test_a_log_in_is_refused_unseen_while_many_answers_are_held(
        self, anybody: FlaskClient, state: FakeState, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(state.guard, "turns_away", lambda address: address == "127.0.0.1")
        monkeypatch.setattr(state.guard, "check", lambda authorization: 1 // 0)
        for sent in ({"json": {"token": TOKEN}}, {"data": {"token": TOKEN}}):
            answer = anybody.post("/login", **sent)  # type: ignore[arg-type]
            assert (answer.status_code, answer.mimetype, answer.headers["Retry-After"]) == (429, PROBLEM, "10")
            assert "too many wrong tokens" in answer.get_json()["detail"]

    def test_logging_out(self, app: Flask, anybody: FlaskClient) -> None:
        token = self.log_in(anybody)
        cookie = anybody.get_cookie("sluice_session")
        assert cookie is not None
        answer = anybody.post("/logout", headers={"X-CSRF-Token": token})
        assert answer.status_code == 204 and "sluice_session=;" in answer.headers["Set-Cookie"]
        anybody.set_cookie("sluice_session", cookie.value)
        assert anybody.get("/api/v1/session").status_code == 401, "the server has forgotten it, too"

    def test_logging_out_ends_what_listens(self, app: Flask, anybody: FlaskClient) -> None:
        token = self.log_in(anybody)
        answer = anybody.get("/api/v1/events", buffered=False)
        stream = iter(answer.response)
        next(stream)
        anybody.post("/logout", headers={"X-CSRF-Token": token})
        assert list(stream) == [] and len(context_of(app).broadcast) == 0

    def test_it_ends_by_idleness(self, app: Flask, anybody: FlaskClient) -> None:
        self.log_in(anybody)
        logins = context_of(app).logins
        logins._clock = lambda clock=logins._clock: clock() + IDLE_SECONDS  # type: ignore[misc]
        assert anybody.get("/api/v1/overview").status_code == 401


class TestThePage:
    def test_a_browser_gets_the_shell_and_curl_its_line(self, anybody: FlaskClient) -> None:
        answer = anybody.get("/", headers=BROWSER)
        assert answer.status_code == 200 and answer.mimetype == "text/html"
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy and "*" not in policy
        assert anybody.get("/").status_code == 401
        assert anybody.get("/", headers=AUTHORIZED).text.startswith("sluice http server 0.1.0 on am1.local")

    def test_nothing_else_opens_for_a_browser(self, anybody: FlaskClient) -> None:
        for path in ("/status", "/metrics", "/api/v1/overview", "/nothing"):
            assert anybody.get(path, headers=BROWSER).status_code == 401

    def test_files_are_kept_and_asked_about(self, anybody: FlaskClient) -> None:
        answer = anybody.get("/assets/index.html")
        assert answer.status_code == 200
        again = anybody.get("/assets/index.html", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304 and not again.data
        assert "no-cache" in answer.headers["Cache-Control"]

    @pytest.mark.parametrize(
        "path",
        ["", "../error.html", "..%2ferror.html", "%2e%2e/error.html", "js/../../error.html", "/etc/passwd", "js",
         "index.html/", ".hidden", "js/.x", "a\\b", "%00", "index.html%00.js", "é", "x" * 5000],
    )  # fmt: skip
    def test_no_way_out_of_the_directory(self, anybody: FlaskClient, path: str) -> None:
        answer = anybody.get(f"/assets/{path}")
        assert answer.status_code in (401, 404)

    def test_types_are_ours(self, anybody: FlaskClient) -> None:
        found = anybody.get("/assets/js/api.js")
        assert found.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        packed = anybody.get("/assets/js/api.js", headers={"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip" and len(packed.data) < len(found.data)


class TestAnswers:
    @pytest.mark.parametrize("path", LOOKED_AT.split())
    def test_json_and_closed_to_guesses(self, app: Flask, state: FakeState, path: str) -> None:
        """Whatever clients and visitors are called and have sent: text in JSON, nothing that a browser runs."""
        state.connected = [FakeSession(client_id=HOSTILE, remote=HOSTILE, version=HOSTILE)]
        state.hostname = HOSTILE
        state.comings.refused(HOSTILE, HOSTILE, HOSTILE)
        assert state.inspector is not None
        hostile_record(state.inspector)
        answer = app.test_client().get(f"/api/v1/{path}", headers=AUTHORIZED)
        assert answer.status_code == 200 and answer.mimetype == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.data.isascii(), "escaped, so that no charset makes it something else"
        json.loads(answer.data)

    @pytest.mark.parametrize(
        ("path", "mimetype"),
        [("", "application/json"), ("/curl", "text/plain"), ("/body/request", "application/octet-stream"),
         ("/body/response", "application/octet-stream")],
    )  # fmt: skip
    def test_a_hostile_record(self, app: Flask, state: FakeState, path: str, mimetype: str) -> None:
        assert state.inspector is not None
        number = hostile_record(state.inspector).id
        for query in ("", "?reveal=1"):
            answer = app.test_client().get(f"/api/v1/requests/{number}{path}{query}", headers=AUTHORIZED)
            assert answer.status_code == 200 and answer.mimetype == mimetype
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "body" not in path or answer.headers["Content-Disposition"].startswith("attachment; ")

    def test_large_answers_are_compressed(self, app: Flask, state: FakeState) -> None:
        state.connected = [FakeSession() for _ in range(100)]
        client = app.test_client()
        plain = client.get("/api/v1/clients", headers=AUTHORIZED)
        packed = client.get("/api/v1/clients", headers=AUTHORIZED | {"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip" and len(packed.data) < len(plain.data) / 5

    def test_a_failure_shows_nothing(self, app: Flask, state: FakeState, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail() -> None:
            raise RuntimeError("an inner secret")

        monkeypatch.setattr(state, "certificates", fail)
        answer = app.test_client().get("/api/v1/certificates", headers=AUTHORIZED)
        assert answer.status_code == 500 and answer.mimetype == PROBLEM and "inner" not in answer.text

    def test_methods_that_are_not_there(self, app: Flask) -> None:
        answer = app.test_client().post("/api/v1/overview", headers=AUTHORIZED)
        assert answer.status_code == 405 and "GET" in answer.headers["Allow"] and answer.mimetype == PROBLEM

    @pytest.mark.parametrize(
        ("data", "content_type", "status"),
        [(b"{}", "text/plain", 415), (b"{", "application/json", 400), (b"[1]", "application/json", 400),
         (b"\xff", "application/json", 400), (b"[" * 30_000, "application/json", 400),
         (b"{}" + b" " * 70_000, "application/json", 413), (b'{"x":1}', "application/json", 400)],
    )  # fmt: skip
    def test_odd_bodies(self, app: Flask, data: bytes, content_type: str, status: int) -> None:
        answer = app.test_client().post("/api/v1/add-client", data=data, content_type=content_type, headers=AUTHORIZED)
        assert answer.status_code == status and answer.mimetype == PROBLEM
