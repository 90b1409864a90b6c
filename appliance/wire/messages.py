"""The vocabulary of the control channel and of streams, version `sluice.v1`: JSON text, one object a message.

    control channel   client -> server   hello, update
                      server -> client   welcome, grow, drain, evicted
    stream            server -> client   open, finish
                      client -> server   refuse, finish

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
class Hello:
    kind: ClassVar[str] = "hello"
    client_id: str
    version: str
    upstreams: tuple[Offer, ...]


@dataclass(frozen=True)
class Update:
    """The client's upstreams have changed."""

    kind: ClassVar[str] = "update"
    upstreams: tuple[Offer, ...]


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
    """Carry the bytes that follow to `upstream` (an offered target) for `visitor` (address and port)."""

    kind: ClassVar[str] = "open"
    upstream: str
    visitor: str = ""


@dataclass(frozen=True)
class Refuse:
    """The upstream was not reached; `reason` is one of REASONS. Also ends the client's direction."""

    kind: ClassVar[str] = "refuse"
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Finish:
    """The end of this direction.

    `delivered`: from the client, how many payload bytes the upstream was given since `open`: a request of which none
    was delivered may be sent again elsewhere, whatever its method. `reset`: this direction was cut off, and what came
    may not be all.
    """

    kind: ClassVar[str] = "finish"
    delivered: int = 0
    reset: bool = False


UNREACHABLE, TIMED_OUT, NOT_ALLOWED, UNTRUSTED = "unreachable", "timeout", "not-allowed", "untrusted"
REASONS = frozenset((UNREACHABLE, TIMED_OUT, NOT_ALLOWED, UNTRUSTED))

Message = Hello | Update | Welcome | Grow | Drain | Evicted | Open | Refuse | Finish

TO_SERVER: dict[str, type] = {kind.kind: kind for kind in (Hello, Update)}
TO_CLIENT: dict[str, type] = {kind.kind: kind for kind in (Welcome, Grow, Drain, Evicted)}
STREAM_TO_SERVER: dict[str, type] = {kind.kind: kind for kind in (Refuse, Finish)}
STREAM_TO_CLIENT: dict[str, type] = {kind.kind: kind for kind in (Open, Finish)}


def encode(message: Message) -> bytes:
    """The message as compact JSON in UTF-8."""
    fields = dataclasses.asdict(message)
    fields["kind"] = message.kind
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def decode(data: bytes, vocabulary: dict[str, type]) -> Any:
    """The message in `data`, one of the classes in `vocabulary`. Raises MessageError."""
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


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or _control_characters(value):
        raise MessageError(f"{name} is not a short line of text")
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


def _offers(name: str, value: object) -> tuple[Offer, ...]:
    if not isinstance(value, list) or len(value) > MAX_UPSTREAMS:
        raise MessageError(f"{name} is not a list of at most {MAX_UPSTREAMS}")
    offers = []
    for item in value:
        if not isinstance(item, dict):
            raise MessageError(f"{name} has an entry that is not an object")
        texts = {key: _text(key, item.get(key, "")) for key in ("pattern", "target", "host_header")}
        offers.append(Offer(**texts))
    return tuple(offers)


_CHECKS = {
    "client_id": _identity,
    "session": _identity,
    "secret": _text,
    "version": _text,
    "reason": _text,
    "detail": _text,
    "upstream": _text,
    "visitor": _text,
    "upstreams": _offers,
    "heartbeat": _seconds,
    "streams": _stream_count,
    "count": _stream_count,
    "delivered": _count,
    "final": _flag,
    "reset": _flag,
}
