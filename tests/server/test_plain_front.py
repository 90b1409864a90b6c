"""The plain port beside HTTPS: to where it leads, for whom it does not, and what ACME authorities find there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.certificates.challenges import Challenges
from appliance.certificates.store import Store
from appliance.server.plain_front import location
from appliance.wire.http1 import parse_request
from tests.end_to_end.house import House
from tests.end_to_end.secured import a_secure_house, put
from tests.stage.authority import Authority
from tests.stage.visitor import get, request

A = "a.example"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store()
    put(store, Authority(tmp_path_factory.mktemp("authority")).issue(A))
    return store


@pytest.fixture
def challenges() -> Challenges:
    return Challenges()


@pytest.fixture
def house(store: Store, challenges: Challenges) -> Iterator[House]:
    with a_secure_house(store, challenges) as house:
        house.client(f"{A}={house.upstream().url}")
        yield house


@pytest.mark.parametrize(
    ("host", "target", "ports", "expected"),
    [
        (b"a.example", b"/x?y=1", (80, 443), b"https://a.example/x?y=1"),
        (b"a.example:80", b"/", (80, 443), b"https://a.example/"),
        (b"a.example", b"/", (80, 8443), b"https://a.example:8443/"),
        (b"a.example:8000", b"/", (8000, 8443), b"https://a.example:8443/"),
        # The ports outside are not ours: who maps 80 to 8080 maps 443, too.
        (b"a.example", b"/", (8080, 8443), b"https://a.example/"),
        (b"a.example:81", b"/", (8080, 8443), b"https://a.example/"),
        (b"[2001:db8::1]:8000", b"/", (8000, 443), b"https://[2001:db8::1]/"),
        (b"192.0.2.1", b"*", (80, 443), b"https://192.0.2.1/"),
        (b"a.example:", b"/", (80, 443), b"https://a.example/"),
        (b"", b"/", (80, 443), None),
    ],
)
def test_location(host: bytes, target: bytes, ports: tuple[int, int], expected: bytes | None) -> None:
    head = parse_request(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert head is not None
    head.target = target
    assert location(head, *ports) == expected


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 301), ("HEAD", 301), ("POST", 308), ("PUT", 308), ("DELETE", 308), ("OPTIONS", 308)]
)
def test_everything_is_led_to_https(house: House, method: str, status: int) -> None:
    with house.visitor() as visitor:
        visitor.send(request(f"{method} /x?y=%20z HTTP/1.1", f"Host: {A}:{house.port}", "X-Forwarded-Proto: https"))
        answer = visitor.answer(method)
        assert (answer.status, answer.one("location")) == (status, f"https://{A}:{house.https_port}/x?y=%20z")
        assert answer.one("connection") == "close"
        assert visitor.rest() == b""
    assert not house.upstreams[0].recorded
    counted = [series for series in house.server.state.http.series if series[2] == status]
    assert [series[0] for series in counted] == [A]


def test_names_that_nobody_offers_count_as_unknown(house: House) -> None:
    assert house.ask(get("/", "made-up.example")).status == 301
    assert [series[0] for series in house.server.state.http.series] == ["unknown"]


def test_an_upload_is_heard_out(house: House) -> None:
    """The answer must not be lost to a reset."""
    with house.visitor() as visitor:
        visitor.send(request("POST / HTTP/1.1", f"Host: {A}", "Content-Length: 3000000"))
        visitor.send(bytes(3_000_000))
        assert visitor.answer().status == 308


def test_who_names_no_host_cannot_be_led(house: House) -> None:
    answer = house.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert answer.status == 400 and b"names no host" in answer.body


def test_malformed_requests_are_refused_as_ever(house: House) -> None:
    assert house.ask(b"GET /\r\n\r\n").status == 400


def test_a_proxy_that_has_done_tls_already(store: Store) -> None:
    """To send its visitors to https, where they are, would go on for ever."""
    with a_secure_house(store, trusted_proxies=("127.0.0.1",)) as house:
        house.client(f"{A}={house.upstream().url}")
        assert house.ask(get("/", A, "X-Forwarded-Proto: HTTPS")).status == 200
        assert house.ask(get("/", A, "X-Forwarded-Proto: http")).status == 301
        assert house.ask(get("/", A)).status == 301


@pytest.mark.parametrize("plain_http", ["redirect", "serve"])
def test_challenges(store: Store, challenges: Challenges, plain_http: str) -> None:
    path = "/.well-known/acme-challenge/token-1"
    with a_secure_house(store, challenges, plain_http=plain_http) as house:
        house.client(f"{A}={house.upstream().url}")
        before = house.ask(get(path, A)).status
        assert before == (301 if plain_http == "redirect" else 200)
        challenges.http["token-1"] = b"token-1.thumbprint"
        answer = house.ask(get(path, A))  # also for names that nobody offers
        assert (answer.status, answer.body) == (200, b"token-1.thumbprint")
        assert answer.one("content-type") == "application/octet-stream"
        with house.visitor() as visitor:
            visitor.send(request(f"HEAD {path} HTTP/1.1", f"Host: {A}"))
            assert visitor.answer("HEAD").one("content-length") == "18"
        assert house.ask(get(path + "x", A)).status == before
        assert house.ask(request(f"POST {path} HTTP/1.1", f"Host: {A}")).status in (308, 200)
        with house.visitor() as visitor:  # other requests go on beside it
            for _ in range(2):
                assert visitor.ask(get("/other", A)).status == before
                if before == 301:
                    break


def test_serving_both(store: Store) -> None:
    with a_secure_house(store, plain_http="serve") as house:
        upstream = house.upstream()
        house.client(f"{A}={upstream.url}")
        assert house.ask(get("/", A)).status == 200
        assert upstream.recorded[0].message.one("x-forwarded-proto") == "http"


def test_authorities_come_from_addresses_that_are_not_let_in(store: Store, challenges: Challenges) -> None:
    path = "/.well-known/acme-challenge/token-1"
    with a_secure_house(store, challenges, allow_ips=("127.0.0.2",)) as house:
        assert house.ask(get(path, A)).status == 403
        challenges.http["token-1"] = b"token-1.thumbprint"
        assert house.ask(get(path, A)).body == b"token-1.thumbprint"
        for other in (get("/", A), get(path + "x", A), request(f"POST {path} HTTP/1.1", f"Host: {A}")):
            assert house.ask(other).status == 403  # and nothing else is there for them
        assert house.server.state.http.refused["address not allowed"] == 4
