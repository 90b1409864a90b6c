"""Messages: round trips of every kind, and what is refused. Any bytes give a message or MessageError."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.wire import messages
from appliance.wire.messages import (
    MAX_TEXT,
    MAX_UPSTREAMS,
    STREAM_TO_CARRIER,
    STREAM_TO_OPENER,
    TO_CLIENT,
    TO_SERVER,
    Drain,
    Evicted,
    Finish,
    Grow,
    Hello,
    Message,
    MessageError,
    Offer,
    OfferedPort,
    Open,
    Opened,
    Refusal,
    Refuse,
    Served,
    Update,
    Welcome,
    decode,
    encode,
)

ID = "0123456789abcdef0123456789abcdef"
VOCABULARIES = (TO_SERVER, TO_CLIENT, STREAM_TO_OPENER, STREAM_TO_CARRIER)

lines = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40)
names = st.text(max_size=64).filter(str.isprintable)
ids = st.text("0123456789abcdef", min_size=32, max_size=32)
offers = st.lists(st.builds(Offer, lines, lines, lines), max_size=4).map(tuple)
ports = st.lists(st.builds(OfferedPort, st.integers(1, 65535), lines), max_size=4).map(tuple)
refusals = st.lists(st.builds(Refusal, lines, lines), max_size=4).map(tuple)
counts = st.integers(0, (1 << 62) - 1)
small_counts = st.integers(0, 1024)
seconds = st.floats(0.05, 3600)

any_message = st.one_of(
    st.tuples(st.just(TO_SERVER), st.builds(Hello, ids, lines, offers, ports, names)),
    st.tuples(st.just(TO_SERVER), st.builds(Update, offers, ports, names)),
    st.tuples(st.just(TO_CLIENT), st.builds(Welcome, ids, lines, seconds, small_counts, lines)),
    st.tuples(st.just(TO_CLIENT), st.builds(Served, refusals)),
    st.tuples(st.just(TO_CLIENT), st.builds(Grow, small_counts)),
    st.tuples(st.just(TO_CLIENT), st.builds(Drain, lines)),
    st.tuples(st.just(TO_CLIENT), st.builds(Evicted, lines, st.booleans())),
    st.tuples(st.just(STREAM_TO_CARRIER), st.builds(Open, lines, lines, st.booleans())),
    st.tuples(
        st.sampled_from((STREAM_TO_CARRIER, STREAM_TO_OPENER)), st.builds(Finish, delivered=counts, reset=st.booleans())
    ),
    st.tuples(st.just(STREAM_TO_OPENER), st.just(Opened())),
    st.tuples(st.just(STREAM_TO_OPENER), st.builds(Refuse, lines, lines)),
)


def text(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@given(any_message)
@settings(max_examples=300, deadline=None)
def test_every_kind_comes_back_as_it_went(case: tuple[dict[str, type], Message]) -> None:
    vocabulary, message = case
    data = encode(message)
    assert decode(data, vocabulary) == message
    for other in VOCABULARIES:
        if message.kind not in other:
            with pytest.raises(MessageError, match="unknown kind"):
                decode(data, other)


def test_the_written_form() -> None:
    """What programs of other versions will meet."""
    assert json.loads(encode(Finish(5)))["delivered"] == 5
    assert encode(Open("http://[::1]:80", "é")) == '{"upstream":"http://[::1]:80","visitor":"é","kind":"open"}'.encode()
    hello = Hello(ID, "0.1.0", (Offer("a.example", "http://b"),), (OfferedPort(2222, "tcp://c:22"),), "attic")
    assert json.loads(encode(hello)) == {
        "kind": "hello",
        "client_id": ID,
        "version": "0.1.0",
        "upstreams": [{"pattern": "a.example", "target": "http://b", "host_header": ""}],
        "ports": [{"port": 2222, "target": "tcp://c:22"}],
        "name": "attic",
    }
    served = Served((Refusal("22", "no right to"),))
    assert json.loads(encode(served)) == {"kind": "served", "refused": [{"offer": "22", "reason": "no right to"}]}
    assert encode(Open("tcp://c:22", "1.2.3.4:5", True)) == (
        b'{"upstream":"tcp://c:22","visitor":"1.2.3.4:5","confirm":true,"kind":"open"}'
    )
    assert encode(Opened()) == b'{"kind":"opened"}'


@given(any_message)
@settings(max_examples=300, deadline=None)
def test_the_messages_of_every_connection_are_written_and_read_as_json_is(
    case: tuple[dict[str, type], Message],
) -> None:
    """The messages of every connection have a way of their own."""
    vocabulary, message = case
    fields = json.loads(encode(message))
    assert set(fields) - {"kind"} <= set(dataclasses.asdict(message))
    for written in (json.dumps(fields), json.dumps(fields, indent=1), json.dumps(dict(reversed(fields.items())))):
        assert decode(written.encode(), vocabulary) == message


def test_fields_that_are_not_known_are_passed_over_and_others_have_defaults() -> None:
    assert decode(text(kind="drain", colour="red"), TO_CLIENT) == Drain("")
    assert decode(text(kind="finish"), STREAM_TO_OPENER) == Finish(0)
    assert decode(text(kind="open", upstream="x", proxy={"version": 2}), STREAM_TO_CARRIER) == Open("x")
    update = decode(text(kind="update", upstreams=[{"target": "http://b", "more": 1}]), TO_SERVER)
    assert update == Update((Offer("", "http://b"),))
    assert decode(text(kind="update", ports=[{"port": 22, "target": "t", "more": 1}]), TO_SERVER).ports == (
        OfferedPort(22, "t"),
    )
    assert decode(text(kind="served"), TO_CLIENT) == Served()
    assert decode(text(kind="opened", more=1), STREAM_TO_OPENER) == Opened()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"kind":"grow","count":' + b"9" * 5000 + b"}", "not JSON|not a count"),
        (b"[" * 60000, "not JSON"),
        (b'{"a":' * 10000, "not JSON"),
        (b"\xff{}", "not UTF-8"),
        (b'{"kind":"dr\xc3"}', "not UTF-8"),
        ("\ufeff{}".encode(), "not JSON"),
        (b"[]", "not an object"),
        (b'"grow"', "not an object"),
        (b"null", "not an object"),
        (b"{}", "unknown kind"),
        (b'{"kind":7}', "unknown kind"),
        (b'{"kind":["grow"]}', "unknown kind"),
        (b'{"kind":"hello"}', "unknown kind"),  # the other side's
        (b'{"kind":"grow"}', "grow lacks count"),
        (b'{"kind":"grow","count":-1}', "count is not a count"),
        (b'{"kind":"grow","count":1.0}', "count is not a count"),
        (b'{"kind":"grow","count":true}', "count is not a count"),
        (b'{"kind":"grow","count":"1"}', "count is not a count"),
        (b'{"kind":"grow","count":null}', "count is not a count"),
        (b'{"kind":"grow","count":4611686018427387904}', "count is not a count"),
        (b'{"kind":"drain","reason":"a\\nb"}', "reason is not a short line"),
        (b'{"kind":"drain","reason":"\\u0000"}', "reason is not a short line"),
        (b'{"kind":"drain","reason":"\\ud800"}', "reason is not a short line"),  # half a character
        (b'{"kind":"drain","reason":5}', "reason is not a short line"),
        (b'{"kind":"evicted","final":1}', "final is not true or false"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        decode(data, TO_CLIENT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("session", ID[:-1]),
        ("session", ID.upper()),
        ("session", ID + "\n"),
        ("session", 5),
        ("secret", ["a"]),
        ("secret", "x" * (MAX_TEXT + 1)),
        ("heartbeat", 0.04),
        ("heartbeat", 3600.1),
        ("heartbeat", float("nan")),
        ("heartbeat", float("inf")),
        ("heartbeat", True),
        ("heartbeat", "20"),
        ("streams", -1),
        ("streams", False),
        ("version", {}),
    ],
)
def test_a_welcome_that_is_nonsense(field: str, value: object) -> None:
    good: dict[str, object] = {
        "kind": "welcome", "session": ID, "secret": "s", "heartbeat": 20, "streams": 8, "version": "0.1.0",
    }  # fmt: skip
    assert decode(text(**good), TO_CLIENT) == Welcome(ID, "s", 20.0, 8, "0.1.0")
    with pytest.raises(MessageError, match=field):
        decode(text(**{**good, field: value}), TO_CLIENT)
    del good[field]
    if field == "version":
        assert decode(text(**good), TO_CLIENT).version == ""
    else:
        with pytest.raises(MessageError, match=f"welcome lacks {field}"):
            decode(text(**good), TO_CLIENT)


@pytest.mark.parametrize(
    "upstreams",
    [
        None,
        {},
        "http://a",
        ["http://a"],
        [None],
        [{"target": 5}],
        [{"target": "a\r\nb"}],
        [{"host_header": "a\x7f"}],
        [{"pattern": "x" * (MAX_TEXT + 1)}],
        [{}] * (MAX_UPSTREAMS + 1),
    ],
)
def test_offers_that_are_nonsense(upstreams: object) -> None:
    with pytest.raises(MessageError):
        decode(text(kind="update", upstreams=upstreams), TO_SERVER)


@pytest.mark.parametrize(
    "ports",
    [
        None,
        {},
        22,
        [22],
        [{"target": "t"}],
        [{"port": 22}],
        [{"port": 0, "target": "t"}],
        [{"port": 65536, "target": "t"}],
        [{"port": -22, "target": "t"}],
        [{"port": "22", "target": "t"}],
        [{"port": 22.0, "target": "t"}],
        [{"port": True, "target": "t"}],
        [{"port": 22, "target": "a\nb"}],
        [{"port": 22, "target": "x" * (MAX_TEXT + 1)}],
        [{"port": 22, "target": "t"}] * (MAX_UPSTREAMS + 1),
    ],
)
def test_ports_that_are_nonsense(ports: object) -> None:
    with pytest.raises(MessageError):
        decode(text(kind="update", ports=ports), TO_SERVER)


@pytest.mark.parametrize(
    "refused",
    [
        None,
        "22",
        ["22"],
        [{"offer": "22"}],
        [{"reason": "no"}],
        [{"offer": 22, "reason": "no"}],
        [{"offer": "22", "reason": "a\nb"}],
        [{"offer": "22", "reason": "no"}] * (2 * MAX_UPSTREAMS + 1),
    ],
)
def test_refusals_that_are_nonsense(refused: object) -> None:
    with pytest.raises(MessageError):
        decode(text(kind="served", refused=refused), TO_CLIENT)


@pytest.mark.parametrize("name", [7, None, ["a"], "x" * 65, "a\nb", "\x1b[2J", "a\u202eb", "a\ud800", "\x7f"])
@pytest.mark.parametrize("kind", ["hello", "update"])
def test_names_of_clients_that_are_nonsense(kind: str, name: object) -> None:
    with pytest.raises(MessageError, match="name is not text of at most 64 printable characters"):
        decode(text(kind=kind, client_id=ID, version="1", name=name), TO_SERVER)


def test_older_clients_have_no_name() -> None:
    assert decode(text(kind="hello", client_id=ID, version="1"), TO_SERVER).name == ""


def test_as_many_offers_as_allowed() -> None:
    ports = [{"port": 22, "target": "t"}] * MAX_UPSTREAMS
    update = decode(text(kind="update", upstreams=[{}] * MAX_UPSTREAMS, ports=ports), TO_SERVER)
    assert len(update.upstreams) == len(update.ports) == MAX_UPSTREAMS
    assert (update.ports[0].port, update.ports[0].target) == (22, "t")


def test_no_message_asks_a_client_for_too_much() -> None:
    assert decode(text(kind="grow", count=10**9), TO_CLIENT) == Grow(1024)
    welcome = text(kind="welcome", session=ID, secret="s", heartbeat=1, streams=10**9)
    assert decode(welcome, TO_CLIENT).streams == 1024


def test_the_largest_stream_messages_fit_into_their_limit() -> None:
    worst = '"' * MAX_TEXT  # each is written as two bytes
    assert len(encode(Open(worst))) + MAX_TEXT < messages.MAX_STREAM_BYTES
    assert len(encode(Finish((1 << 62) - 1))) < 125


any_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from([*messages._CHECKS, "kind", "pattern", "target", "host_header", "port", "offer", "other"]),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)
fields_of_a_kind = st.builds(
    lambda kind, fields: json.dumps({**fields, "kind": kind}).encode(),
    st.sampled_from([kind for vocabulary in VOCABULARIES for kind in vocabulary]),
    st.dictionaries(st.sampled_from([*messages._CHECKS]), any_json, max_size=6),
)


@given(
    st.one_of(st.binary(max_size=60), any_json.map(lambda value: json.dumps(value).encode()), fields_of_a_kind),
    st.sampled_from(VOCABULARIES),
)
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_message_or_an_error(data: bytes, vocabulary: dict[str, type]) -> None:
    try:
        message = decode(data, vocabulary)
    except MessageError as error:
        assert str(error).isprintable()
    else:
        assert decode(encode(message), vocabulary) == message
