"""What an editor wants to send again: checked, and with the secrets that it was shown as placeholders."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from appliance.admin import arguments
from appliance.admin.inspection import masking
from appliance.admin.inspection.bodies import pretty
from appliance.admin.inspection.content import body_of
from appliance.admin.inspection.detail import headers
from appliance.admin.problems import Problem
from appliance.tunnel.inspector.edits import Edits
from appliance.tunnel.inspector.record import Record

MOST_HEADERS = 200
MOST_LETTERS = 16384  # of one header, or of the path
MOST_BYTES = 8 * 1024 * 1024  # of the JSON that carries it all


def edits(record: Record, data: dict[str, Any]) -> Edits:
    """Of `data`, as it was sent to the API. Raises Problem."""
    method = arguments.string(data, "method", most=100) if data.get("method") is not None else None
    path = arguments.string(data, "path", most=MOST_LETTERS) if data.get("path") is not None else None
    if path is not None:
        path = masking.target_again(path, record.path)
    fields = None if data.get("headers") is None else _headers(record, data["headers"])
    body = None if data.get("body") is None else _body(record, data["body"])
    if body is not None and not body_of(record.request).note:
        # The editor was shown it without its coding, and sends it so.
        kept = record.request.fields if fields is None else fields
        fields = tuple((name, value) for name, value in kept if name.lower() != b"content-encoding")
    return Edits(
        None if method is None else _latin(method, "method"),
        None if path is None else _latin(path, "path"),
        fields,
        body,
    )


def _headers(record: Record, fields: Any) -> tuple[tuple[bytes, bytes], ...]:
    if not isinstance(fields, list) or len(fields) > MOST_HEADERS:
        raise Problem(400, f"headers: a list of names with values, {MOST_HEADERS} at most")
    originals = headers(record.request, reveal=True)
    found = []
    for pair in fields:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise Problem(400, "headers: each is a list of a name and a value")
        name, value = pair
        if len(name) + len(value) > MOST_LETTERS:
            raise Problem(400, f"headers: {MOST_LETTERS} letters at most in one")
        value = masking.header_again(name, value, originals)
        found.append((_latin(name, "headers"), _latin(value, "headers")))
    return tuple(found)


def _body(record: Record, data: Any) -> bytes:
    if not isinstance(data, dict) or len(data) != 1 or not data.keys() <= {"text", "base64"}:
        raise Problem(400, "body: either text or base64")
    if "base64" in data:
        try:
            return base64.b64decode(arguments.string(data, "base64", most=MOST_BYTES), validate=True)
        except (binascii.Error, ValueError):
            raise Problem(400, "body: that is no base64") from None
    text = arguments.string(data, "text", most=MOST_BYTES)
    body = body_of(record.request)
    if body.kind == "json":
        shown = pretty(masking.json_text(body.text))
        if text == shown or text == masking.json_text(body.text):
            return _as_it_was(record)
        text = masking.json_again(text, body.text)
    elif body.rules == "json":
        text = masking.json_again(text, body.text)
    elif body.kind == "form":
        text = masking.parameters_again(text, body.text)
    charset = body.charset if body.kind != "none" else "utf-8"
    try:
        return text.encode(charset)
    except UnicodeEncodeError as error:
        letter = text[error.start]
        raise Problem(400, f"body: {letter!r} is not in {charset}, which its Content-Type says") from None


def _as_it_was(record: Record) -> bytes:
    """An editor that changed nothing gets no line breaks into its body, either."""
    if record.request.field(b"content-encoding"):
        return body_of(record.request).data
    return bytes(record.request.body)


def _latin(text: str, name: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        if "••••" in text:
            raise Problem(400, f"{name}: a placeholder is left that stands for nothing recorded") from None
        raise Problem(400, f"{name}: letters beyond Latin-1 cannot be sent as they are: encode them") from None
