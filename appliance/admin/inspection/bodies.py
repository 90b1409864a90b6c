"""A recorded body as the API shows it: its kind, its text or bytes, its fields."""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl

import gevent

from appliance.admin.inspection import copies, masking, multipart
from appliance.admin.inspection.content import Body, body_of
from appliance.tunnel.inspector.record import Part

PRETTY_LETTERS = 2 * 1024 * 1024  # of JSON with line breaks; what needs more stays as it was sent
DEEPEST = 40  # levels of indentation
MOST_FIELDS = 1000
TOKENS_AT_ONCE = 5000  # then visitors get their turn


def view(part: Part, reveal: bool) -> dict[str, object]:
    """For the API."""
    body = body_of(part)
    text, fields = _shown(body, reveal)
    binary = body.kind in ("image", "binary")
    copy = copies.copy_of(part, reveal)
    data = copy.data if copy.withheld else body.data
    return {
        "size": part.size,
        "captured": len(part.body),
        "truncated": part.truncated or body.cut,
        "contentType": body.content_type,
        "encoding": body.coding,
        "kind": body.kind,
        "text": text,
        "base64": base64.b64encode(data).decode() if binary else None,
        "fields": fields,
        "masked": copy.masked,
        "note": body.note,
    }


def _shown(body: Body, reveal: bool) -> tuple[str | None, list[list[str]] | None]:
    if body.kind == "image" and "svg" in body.content_type.lower():
        return body.text, None  # a picture in letters
    if not body.is_text:
        return None, None
    if body.kind == "multipart":
        fields = multipart.fields(body, reveal)
        # What is in no parts was not looked through for secrets.
        return (body.text if reveal and not fields else None), fields or None
    text = copies.text_of(body, reveal)
    if body.kind == "json" and not (body.part.truncated or body.cut):
        text = pretty(text)
    return text, form_fields(body.text, reveal) if body.kind == "form" else None


def form_fields(text: str, reveal: bool) -> list[list[str]] | None:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="replace")
    except ValueError:
        return None
    return [[name, _field(name, value, reveal)] for name, value in pairs]


def _field(name: str, value: str, reveal: bool) -> str:
    return value if reveal or not masking.is_secret(name) else masking.placeholder(value)


def pretty(text: str) -> str:
    """JSON with line breaks. Not read and written anew: numbers, letters and double names stay as they were sent."""
    out: list[str] = []
    depth = size = 0
    before = ""
    for count, token in enumerate(masking.JSON_TOKENS.findall(text), 1):
        if count % TOKENS_AT_ONCE == 0:
            gevent.sleep(0)
        if token.isspace():
            continue
        closes = token in ("}", "]")
        depth -= closes
        if before and token not in (",", ":") and before != ":" and not (closes and before in ("{", "[")):
            if before in (",", "{", "[") or closes:
                token = "\n" + "  " * max(0, min(depth, DEEPEST)) + token
            else:
                token = " " + token  # that is no JSON
        elif before == ":":
            token = " " + token
        before = token.strip()
        depth += before in ("{", "[")
        out.append(token)
        size += len(token)
        if size > PRETTY_LETTERS:
            return text
    return "".join(out)
