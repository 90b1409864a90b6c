"""Orders, against a server that a test has written; with a real one they are in tests/process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives import serialization

from appliance.certificates import acme_order
from appliance.certificates.acme_files import AcmeFiles, Record, prepare
from appliance.certificates.acme_order import Issuer
from appliance.certificates.acme_problems import Failed, Window
from appliance.certificates.challenges import Challenges
from tests.certificates.issuing import START, issue

URL = "https://ca.example/dir"
A = "a.example"


class Answer(NamedTuple):
    headers: dict[str, str]
    content: bytes = b""


class Server:
    """Stands in for `acme_client.Client`. `objects`: answers by URL, or functions of what was sent."""

    def __init__(self) -> None:
        self.directory: dict[str, Any] = {"newAccount": "new-account", "newOrder": "new-order"}
        self.account: str | None = ""
        self.sent: list[tuple[str, Any]] = []
        self.objects: dict[str, Any] = {
            "account": {},
            "order": {"status": "pending", "authorizations": ["authorization"], "finalize": "finalize"},
            "authorization": {
                "status": "pending",
                "challenges": [{"type": "http-01", "token": "T", "url": "challenge"}],
            },
        }
        self.locations = {"new-account": "account", "new-order": "order"}
        self.told: float | None = None

    def url(self, resource: str) -> str:
        return str(self.directory[resource])

    def log_in(self, account: str | None) -> None:
        self.account = account

    def get(self, url: str) -> Any:
        return self.ask(url)

    def ask(self, url: str, content: Any = None) -> Any:
        self.sent.append((url, content))
        found = self.objects[url]
        found = found(content) if callable(found) else found
        if isinstance(found, Failed):
            raise found
        return found

    def post(self, url: str, content: Any) -> Answer:
        self.sent.append((url, content))
        found = self.objects.get(url)
        found = found(content) if callable(found) else found
        if isinstance(found, Failed):
            raise found
        return Answer({"Location": self.locations[url]} if url in self.locations else {}, found or b"")

    def await_status(self, url: str, pending: tuple[str, ...], seconds: float) -> Any:
        return self.ask(url)

    def retry_after(self) -> float | None:
        return self.told

    def key_authorization(self, token: str) -> str:
        return f"{token}.thumb"

    def close(self) -> None:
        pass

    def count(self, url: str) -> int:
        return sum(sent == url for sent, _ in self.sent)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(acme_order, "Client", lambda *_: server)
    return server


@pytest.fixture
def files(tmp_path: Path) -> AcmeFiles:
    return prepare(tmp_path, URL)


def obtain(files: AcmeFiles, record: Record | None = None, method: str = "http-01", **how: Any) -> Any:
    issuer = Issuer(URL, how.pop("email", None), None, files, how.pop("challenges", Challenges()))
    return issuer.obtain(A, method, record or Record(), how.pop("replaces", None), how.pop("keep", lambda: None))


def refused(files: AcmeFiles, **how: Any) -> str:
    with pytest.raises(Failed) as caught:
        obtain(files, **how)
    return str(caught.value)


def test_who_wants_an_account_made_beforehand(server: Server, files: AcmeFiles) -> None:
    server.directory["meta"] = {"externalAccountRequired": True}
    assert "external account binding): not supported" in refused(files)


def test_the_account_is_kept_before_it_is_asked_for(server: Server, files: AcmeFiles) -> None:
    server.objects["new-account"] = Failed("the connection broke", whole=True)
    refused(files)
    first = files.account()
    assert first is not None and first.uri == ""
    refused(files)
    assert files.account() == first  # the same key, by which the server knows it again
    del server.objects["new-account"]
    server.objects["order"] = Failed("enough")
    refused(files)
    registered = files.account()
    assert registered is not None
    assert (registered.key, registered.uri) == (first.key, "account")


def test_another_address_is_told(server: Server, files: AcmeFiles) -> None:
    server.objects["order"] = Failed("enough")
    for email in ("me@example.com", "you@example.com", "you@example.com", None):
        refused(files, email=email)
    assert [content for url, content in server.sent if url == "account"] == [
        {"contact": ["mailto:you@example.com"]},
        {"contact": []},
    ]


def test_a_challenge_that_is_not_offered(server: Server, files: AcmeFiles) -> None:
    assert refused(files, method="tls-alpn-01") == "the issuer offers no tls-alpn-01 challenge, but http-01"


def test_the_answer_is_there_while_it_is_looked_for(server: Server, files: AcmeFiles) -> None:
    challenges = Challenges()
    seen: list[bytes | None] = []
    pending = {"type": "http-01", "token": "T", "url": "challenge", "status": "pending"}
    states = [
        {"status": "pending", "challenges": [pending]},
        {"status": "invalid", "challenges": [{**pending, "error": {"type": "x:dns", "detail": "no such name"}}]},
    ]

    def look(_: Any) -> Any:
        seen.append(challenges.answer("/.well-known/acme-challenge/T"))
        return states.pop(0)

    server.objects["authorization"] = look
    server.objects["challenge"] = {}
    said = refused(files, challenges=challenges)
    assert said == "the issuer has not found us by http-01: no such name (dns)"
    assert seen == [None, b"T.thumb"]
    assert challenges == Challenges()


def test_an_order_that_fails_is_forgotten_and_one_that_may_go_on_is_not(server: Server, files: AcmeFiles) -> None:
    record, kept = Record(), []
    keep: Callable[[], None] = lambda: kept.append(record.order)  # noqa: E731
    server.objects["order"] = {"status": "invalid", "error": {"type": "x:caa", "detail": "forbidden"}}
    assert refused(files, record=record, keep=keep) == "the order has failed: forbidden (caa)"
    assert kept == ["order", ""]
    server.objects["order"] = {"status": "ready", "finalize": "finalize"}
    server.objects["finalize"] = Failed("the connection broke", whole=True)
    refused(files, record=record, keep=keep)
    assert record.order == "order" and record.order_key
    before = server.count("new-order")
    refused(files, record=record, keep=keep)
    assert server.count("new-order") == before
    server.objects["order"] = lambda _: Failed("unknown", code="malformed")
    refused(files, record=record, keep=keep)
    assert server.count("new-order") == before + 1


def test_a_predecessor_is_named_and_left_out_where_that_is_refused(server: Server, files: AcmeFiles) -> None:
    predecessor = issue(A, START, timedelta(days=90))[0].certificate
    server.objects["order"] = Failed("enough")
    refused(files, replaces=predecessor)
    assert "replaces" not in server.sent[-2][1]  # without renewal information nobody would understand
    server.directory["renewalInfo"] = "renewal"
    server.objects["new-order"] = lambda sent: Failed("again", code="conflict") if "replaces" in sent else None
    refused(files, replaces=predecessor)
    orders = [content for url, content in server.sent if url == "new-order"][-2:]
    assert ["replaces" in order for order in orders] == [True, False]


@pytest.mark.parametrize(
    "answer, window",
    [
        (
            {
                "suggestedWindow": {"start": "2026-06-01T00:00:00Z", "end": "2026-06-02T00:00:00Z"},
                "explanationURL": "why",
            },
            Window(START.timestamp(), START.timestamp() + 86400, 60.0, "why"),
        ),
        ({"suggestedWindow": {"start": "2026-06-02T00:00:00Z", "end": "2026-06-01T00:00:00Z"}}, None),
        ({"suggestedWindow": {"start": "2026-06-02T00:00:00Z", "end": "2026-06-02T00:00:00Z"}}, None),
        ({"suggestedWindow": {"start": "soon", "end": "later"}}, None),
        ({"suggestedWindow": {"start": 5}}, None),
        ({"suggestedWindow": None}, None),
        ({}, None),
    ],
)
def test_windows(server: Server, files: AcmeFiles, answer: Any, window: Window | None) -> None:
    certificate = issue(A, START, timedelta(days=90))[0].certificate
    issuer = Issuer(URL, None, None, files, Challenges())
    assert issuer.window(certificate) is None  # not offered
    server.directory["renewalInfo"] = "renewal/"
    server.told = 60.0
    server.objects["renewal/" + str(acme_order.certificate_id(certificate))] = answer
    assert issuer.window(certificate) == window


def test_a_certificate_comes_with_its_chain(server: Server, files: AcmeFiles) -> None:
    record = Record()
    server.objects["order"] = {"status": "valid", "certificate": "certificate"}

    issued, chain = issue(A, START, timedelta(days=90))
    record.order_key = acme_order.pem_of(issued.key)
    content = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (issued.certificate, *chain))
    record.order = "order"
    server.objects["certificate"] = content
    pair, rest = obtain(files, record)
    assert (pair.certificate, rest) == (issued.certificate, chain)
    assert record.order == "order"  # for the caller to forget once the certificate is kept
