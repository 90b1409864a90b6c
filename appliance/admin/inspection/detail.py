"""One record as the API shows it. What strangers sent is text in it, and nothing else."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from appliance.admin.inspection import bodies, masking
from appliance.tunnel.inspector.record import Message, Part, Record


def summary(record: Record, reveal: bool = False) -> dict[str, Any]:
    """As lists have it."""
    found = record.summary()
    if not reveal:
        found["path"] = masking.target(found["path"])
    return found


def detail(record: Record, reveal: bool) -> dict[str, Any]:
    return summary(record, reveal) | {
        "timing": {
            "waitSeconds": record.wait_seconds,
            "tunnelSeconds": record.tunnel_seconds,
            "upstreamSeconds": record.upstream_seconds,
            "answerSeconds": record.answer_seconds,
            "transferSeconds": record.transfer_seconds,
        },
        "request": part(record.request, reveal),
        "response": part(record.response, reveal) if record.response is not None else None,
        "messages": [_message(message, reveal) for message in tuple(record.messages)],
        "messagesDropped": record.messages_dropped,
        "host": record.host.decode("latin-1"),
        "scheme": record.scheme,
        "target": record.target,
        "requestId": record.request_id,
        "edge": record.edge,
        "interim": list(record.interim),
        "tries": list(record.tries),
        "note": record.why,
    }


def part(found: Part, reveal: bool) -> dict[str, Any]:
    return {
        "line": line(found, reveal),
        "headers": [[name, value] for name, value in headers(found, reveal)],
        "body": bodies.view(found, reveal),
    }


def line(found: Part, reveal: bool) -> str:
    """The request or status line."""
    text = found.line.decode("latin-1")
    if reveal or text.startswith("HTTP/"):
        return text
    method, _, rest = text.partition(" ")
    target, space, version = rest.rpartition(" ")
    return f"{method} {masking.target(target)}{space}{version}"


def headers(found: Part, reveal: bool) -> list[tuple[str, str]]:
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in found.fields]
    return pairs if reveal else [(name, masking.header(name, value)) for name, value in pairs]


def _message(message: Message, reveal: bool) -> dict[str, Any]:
    text = message.data.decode("utf-8", "replace") if message.kind == "text" else None
    if text is not None and not reveal:
        text = masking.message(text)
    return {
        "at": _iso(message.at),
        "direction": message.sender,
        "kind": message.kind,
        "size": message.size,
        "truncated": message.truncated,
        "text": text,
        "base64": base64.b64encode(message.data).decode() if text is None else None,
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
