"""The vocabulary of the control channel and of streams, version `sluice.v1`: JSON text, one object a message.

    control channel   client -> server    hello, update
                      server -> client    welcome, served, grow, drain, evicted
    stream            opener -> carrier   open, finish
                      carrier -> opener   opened, refuse, finish

The opener of a stream is the server for its visitors, and the client for its local forwards.

Fields that are not known are passed over, so that a newer peer may say more; kinds that are not known are an error.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any, ClassVar

PROTOCOL = "sluice.v1"

MAX_CONTROL_BYTES = 65536  # a control message: some hundred upstreams fit
MAX_STREAM_BYTES = 8192  # a stream message: names one upstream and one visitor
MAX_UPSTREAMS = 1000
MAX_TEXT = 2048
MAX_NAME = 64  # letters of what a client is called

_client_id = re.compile(r"[0-9a-f]{32}").fullmatch
# Surrogates, too: JSON can write half of a pair, which nothing afterwards can encode.
_control_characters = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]").search


class MessageError(ValueError):
    """The peer sent a message that this version does not understand."""


@dataclass(frozen=True)
class Offer:
    """One upstream that a client offers. `pattern`: the names it serves ("" is every host)."""

    pattern: str
    target: str
    host_header: str = ""  # the Host sent to the upstream; "" is the visitor's own


@dataclass(frozen=True)
class OfferedPort:
    """One upstream that a client offers on a port of the server."""

    port: int
    target: str


@dataclass(frozen=True)
class Hello:
    """`name`: what people call the client, which need not be its alone; "" of clients that are older than names."""

    kind: ClassVar[str] = "hello"
    client_id: str
    version: str
    upstreams: tuple[Offer, ...] = ()
    ports: tuple[OfferedPort, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Update:
    """The client's upstreams, or its name, have changed. Says all of both."""

    kind: ClassVar[str] = "update"
    upstreams: tuple[Offer, ...] = ()
    ports: tuple[OfferedPort, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Refusal:
    """An offer that the server does not serve, and why."""

    offer: str
    reason: str


@dataclass(frozen=True)
class Served:
    """The server serves what was offered, but for `refused`. Not sent where it serves all; again when that changes."""

    kind: ClassVar[str] = "served"
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True)
class Welcome:
    """`session` and `secret` admit this session's streams; `heartbeat`: seconds between pings; `streams`: keep warm."""

    kind: ClassVar[str] = "welcome"
    session: str
    secret: str
    heartbeat: float
    streams: int
    version: str = ""


@dataclass(frozen=True)
class Grow:
    kind: ClassVar[str] = "grow"
    count: int


@dataclass(frozen=True)
class Drain:
    kind: ClassVar[str] = "drain"
    reason: str = ""


@dataclass(frozen=True)
class Evicted:
    """The session is over; `final`: coming back as it is would not help (the same client id is used elsewhere)."""

    kind: ClassVar[str] = "evicted"
    reason: str = ""
    final: bool = False


@dataclass(frozen=True)
class Open:
    """Carry the bytes that follow to `upstream` (an offered target) for `visitor` (address and port).

    `confirm`: say `opened` once the upstream is reached, so that the bytes sent until then need be kept no longer.
    """

    kind: ClassVar[str] = "open"
    upstream: str
    visitor: str = ""
    confirm: bool = False


@dataclass(frozen=True)
class Opened:
    """The upstream is reached."""

    kind: ClassVar[str] = "opened"


@dataclass(frozen=True)
class Refuse:
    """The upstream was not reached; `reason` is one of REASONS. Also ends the carrier's direction."""

    kind: ClassVar[str] = "refuse"
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Finish:
    """The end of this direction.

    `delivered`: from the carrier, how many payload bytes the upstream was given since `open`: a request of which none
    was delivered may be sent again elsewhere, whatever its method. `reset`: this direction was cut off, and what came
    may not be all.
    """

    kind: ClassVar[str] = "finish"
    delivered: int = 0
    reset: bool = False


UNREACHABLE, TIMED_OUT, NOT_ALLOWED, UNTRUSTED = "unreachable", "timeout", "not-allowed", "untrusted"
REASONS = frozenset((UNREACHABLE, TIMED_OUT, NOT_ALLOWED, UNTRUSTED))

Message = Hello | Update | Welcome | Served | Grow | Drain | Evicted | Open | Opened | Refuse | Finish

TO_SERVER: dict[str, type] = {kind.kind: kind for kind in (Hello, Update)}
TO_CLIENT: dict[str, type] = {kind.kind: kind for kind in (Welcome, Served, Grow, Drain, Evicted)}
STREAM_TO_OPENER: dict[str, type] = {kind.kind: kind for kind in (Opened, Refuse, Finish)}
STREAM_TO_CARRIER: dict[str, type] = {kind.kind: kind for kind in (Open, Finish)}


# The messages that every connection needs, as they are written here: the general way costs ten times as much.
_quote = json.encoder.encode_basestring
_PLAIN = rb"[ !#-\[\]-~]{0,%d}" % MAX_TEXT  # of a JSON text: what stands for itself
_opened = Opened()
_OPENED_TEXT = b'{"kind":"opened"}'
_OPEN = rb'\{"upstream":"(%b)","visitor":"(%b)",("confirm":true,)?"kind":"open"\}' % (_PLAIN, _PLAIN)
_open_text = re.compile(_OPEN).fullmatch
_finish_text = re.compile(rb'\{"delivered":(0|[1-9][0-9]{0,17}),"reset":(true|false),"kind":"finish"\}').fullmatch


def encode(message: Message) -> bytes:
    """The message as compact JSON in UTF-8."""
    if isinstance(message, Finish):
        reset = b"true" if message.reset else b"false"
        return b'{"delivered":%d,"reset":%b,"kind":"finish"}' % (message.delivered, reset)
    if isinstance(message, Open):
        confirm = '"confirm":true,' if message.confirm else ""  # what has no such field leaves it at its default
        upstream, visitor = _quote(message.upstream), _quote(message.visitor)
        return f'{{"upstream":{upstream},"visitor":{visitor},{confirm}"kind":"open"}}'.encode()
    if isinstance(message, Opened):
        return _OPENED_TEXT
    fields = dataclasses.asdict(message)
    fields["kind"] = message.kind
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def decode(data: bytes, vocabulary: dict[str, type]) -> Any:
    """The message in `data`, one of the classes in `vocabulary`. Raises MessageError."""
    message = _usual(data)
    if message is not None and message.kind in vocabulary:
        return message
    try:
        fields = json.loads(data.decode())
    except UnicodeDecodeError:
        raise MessageError("a message is not UTF-8") from None
    except (ValueError, RecursionError):
        raise MessageError("a message is not JSON") from None
    if not isinstance(fields, dict):
        raise MessageError("a message is not an object")
    kind = fields.get("kind")
    message_type = vocabulary.get(kind) if isinstance(kind, str) else None
    if message_type is None:
        raise MessageError("a message is of an unknown kind")
    values = {}
    for field in dataclasses.fields(message_type):
        if field.name in fields:
            values[field.name] = _CHECKS[field.name](field.name, fields[field.name])
        elif field.default is dataclasses.MISSING:
            raise MessageError(f"{kind} lacks {field.name}")
    return message_type(**values)


def _usual(data: bytes) -> Open | Opened | Finish | None:
    """The message in `data` where it is written as here; anything else goes the general way."""
    found = _finish_text(data)
    if found is not None:
        return Finish(int(found[1]), found[2] == b"true")
    found = _open_text(data)
    if found is not None:
        return Open(found[1].decode(), found[2].decode(), found[3] is not None)
    return _opened if data == _OPENED_TEXT else None


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or _control_characters(value):
        raise MessageError(f"{name} is not a short line of text")
    return value


def _name(name: str, value: object) -> str:
    """It is shown to people: nothing that turns the direction of writing, or cannot be seen."""
    if not isinstance(value, str) or len(value) > MAX_NAME or not value.isprintable():
        raise MessageError(f"{name} is not text of at most {MAX_NAME} printable characters")
    return value


def _identity(name: str, value: object) -> str:
    if not isinstance(value, str) or not _client_id(value):
        raise MessageError(f"{name} is not 32 hexadecimal digits")
    return value


def _count(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise MessageError(f"{name} is not a count")
    return value


def _stream_count(name: str, value: object) -> int:
    return min(_count(name, value), 1024)  # what one message may ask of a client


def _seconds(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.05 <= value <= 3600:
        raise MessageError(f"{name} is not a number of seconds")
    return float(value)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise MessageError(f"{name} is not true or false")
    return value


def _items(name: str, value: object, most: int) -> list[dict[str, Any]]:
    if not isinstance(value, list) or len(value) > most:
        raise MessageError(f"{name} is not a list of at most {most}")
    if not all(isinstance(item, dict) for item in value):
        raise MessageError(f"{name} has an entry that is not an object")
    return value


def _offers(name: str, value: object) -> tuple[Offer, ...]:
    return tuple(
        Offer(**{field: _text(field, item.get(field, "")) for field in ("pattern", "target", "host_header")})
        for item in _items(name, value, MAX_UPSTREAMS)
    )


def _ports(name: str, value: object) -> tuple[OfferedPort, ...]:
    offers = tuple(
        OfferedPort(_count("port", item.get("port")), _text("target", item.get("target")))
        for item in _items(name, value, MAX_UPSTREAMS)
    )
    if not all(0 < offer.port < 65536 for offer in offers):
        raise MessageError("a port is not between 1 and 65535")
    return offers


def _refusals(name: str, value: object) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(_text("offer", item.get("offer")), _text("reason", item.get("reason")))
        for item in _items(name, value, 2 * MAX_UPSTREAMS)
    )


_CHECKS = {
    "client_id": _identity,
    "name": _name,
    "session": _identity,
    "secret": _text,
    "version": _text,
    "reason": _text,
    "detail": _text,
    "upstream": _text,
    "visitor": _text,
    "upstreams": _offers,
    "ports": _ports,
    "refused": _refusals,
    "confirm": _flag,
    "heartbeat": _seconds,
    "streams": _stream_count,
    "count": _stream_count,
    "delivered": _count,
    "final": _flag,
    "reset": _flag,
}
