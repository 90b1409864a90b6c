"""Records as an HTTP archive, HAR 1.2, which browsers' developer tools and others open."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from appliance.admin.inspection import copies, masking, multipart
from appliance.admin.inspection.content import Body, body_of
from appliance.admin.inspection.curl import url
from appliance.admin.inspection.detail import headers
from appliance.admin.inspection.shell_words import bytes_of
from appliance.tunnel.inspector.record import UPSTREAM, Part, Record


def archive(records: Iterable[Record], version: str, reveal: bool) -> Iterator[bytes]:
    """The file in pieces: all bodies together may be more than memory should hold twice."""
    creator = json.dumps({"name": "sluice", "version": version})
    yield f'{{"log":{{"version":"1.2","creator":{creator},"pages":[],"entries":['.encode()
    for number, record in enumerate(records):
        yield (b"," if number else b"") + json.dumps(entry(record, reveal), allow_nan=False).encode()
    yield b"]}}\n"


def entry(record: Record, reveal: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "startedDateTime": record.at.isoformat(timespec="milliseconds"),
        "time": _milliseconds(record.seconds),
        "request": _request(record, reveal),
        "response": _response(record, reveal),
        "cache": {},
        "timings": _timings(record),
        "comment": record.why,
    }
    if record.kind == "websocket":
        found["_webSocketMessages"] = [
            {
                "type": "receive" if message.sender == UPSTREAM else "send",
                "time": message.at.timestamp(),
                "opcode": 1 if message.kind == "text" else 2,
                "data": _message_text(message.kind, message.data, reveal),
            }
            for message in tuple(record.messages)
            if message.kind in ("text", "binary")
        ]
    return found


def _timings(record: Record) -> dict[str, float]:
    """They add up to `time`. The format allows no gap in `send`, `wait` and `receive`: what is not known to be another
    stage's was waited for. Of that, `_tunnel` and `_upstream` tell the shares, -1 where they are not known."""
    sent, answered = record.sending_seconds or 0.0, record.receiving_seconds or 0.0
    waited = (record.seconds or 0.0) - (record.wait_seconds or 0.0) - sent - answered
    return {
        "blocked": _milliseconds(record.wait_seconds, -1),
        "send": _milliseconds(sent),
        "wait": _milliseconds(max(0.0, waited)),
        "receive": _milliseconds(answered),
        "_tunnel": _milliseconds(record.tunnel_seconds, -1),
        "_upstream": _milliseconds(record.upstream_seconds, -1),
    }


def _request(record: Record, reveal: bool) -> dict[str, Any]:
    part = record.request
    address = bytes_of(url(record, reveal)).decode("utf-8", "replace")
    pairs = headers(part, reveal)
    query = address.partition("?")[2]
    found: dict[str, Any] = {
        "method": record.method,
        "url": address,
        "httpVersion": part.line.rpartition(b" ")[2].decode("latin-1") or "HTTP/1.1",
        "cookies": _cookies(pairs, "cookie"),
        "headers": _pairs(pairs),
        "queryString": _pairs(parse_qsl(query, keep_blank_values=True, errors="replace")),
        "headersSize": len(part.head) or -1,
        "bodySize": part.size,
    }
    if part.size:
        body = body_of(part)
        text, coding = _content(body, reveal)
        found["postData"] = {"mimeType": body.content_type, "text": text}
        if coding:
            found["postData"]["comment"] = "the text is in base64"
    return found


def _response(record: Record, reveal: bool) -> dict[str, Any]:
    part = record.response or Part()
    pairs = headers(part, reveal)
    words = part.line.decode("latin-1").split(" ", 2)
    body = body_of(part)
    text, coding = _content(body, reveal)
    content: dict[str, Any] = {
        "size": len(body.data),
        "mimeType": body.content_type or "application/octet-stream",
        "text": text,
    }
    if coding:
        content["encoding"] = coding
    return {
        "status": record.status or 0,
        "statusText": words[2] if len(words) == 3 else "",
        "httpVersion": words[0] or "HTTP/1.1",
        "cookies": _cookies(pairs, "set-cookie"),
        "headers": _pairs(pairs),
        "content": content,
        "redirectURL": next((value for name, value in pairs if name.lower() == "location"), ""),
        "headersSize": len(part.head) or -1,
        "bodySize": part.size,
    }


def _content(body: Body, reveal: bool) -> tuple[str, str]:
    """Text, and "base64" where it is not the body's own."""
    if body.kind == "none":
        return "", ""
    if not reveal and copies.withheld(body):
        return copies.hidden(body).data.decode(), ""
    if body.is_text and body.kind != "multipart":
        return copies.text_of(body, reveal), ""
    data = multipart.masked(body) if body.kind == "multipart" and not reveal else body.data
    if body.kind == "multipart":
        try:
            return data.decode(), ""
        except UnicodeDecodeError:
            pass  # files are in it
    return base64.b64encode(data).decode(), "base64"


def _cookies(pairs: list[tuple[str, str]], header: str) -> list[dict[str, str]]:
    """None where they are masked: a placeholder is no cookie."""
    cookies: SimpleCookie = SimpleCookie()
    for name, value in pairs:
        if name.lower() == header and not value.startswith("••••"):
            try:
                cookies.load(value)
            except CookieError:
                continue
    return [{"name": name, "value": morsel.value} for name, morsel in cookies.items()]


def _pairs(pairs: Iterable[Iterable[str]]) -> list[dict[str, str]]:
    return [dict(zip(("name", "value"), pair, strict=True)) for pair in pairs]


def _message_text(kind: str, data: bytes, reveal: bool) -> str:
    if kind != "text":
        return base64.b64encode(data).decode()
    text = data.decode("utf-8", "replace")
    return text if reveal else masking.message(text)


def _milliseconds(seconds: float | None, missing: float = 0.0) -> float:
    return missing if seconds is None else round(seconds * 1000, 3)
