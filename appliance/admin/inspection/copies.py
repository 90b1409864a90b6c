"""What of a body leaves the page, to be saved, pasted or sent on: as it was recorded, or without its secrets."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.admin.inspection import masking, multipart
from appliance.admin.inspection.content import Body, body_of, kind_of
from appliance.tunnel.inspector.record import Part


@dataclass(frozen=True, slots=True)
class Copy:
    """`plain`: without the content coding that the part names. `masked`: secrets were left out of it. `withheld`: there
    may be some in it, but it cannot be decoded here: a placeholder stands for all of it."""

    data: bytes
    plain: bool = False
    masked: bool = False
    withheld: bool = False


def copy_of(part: Part, reveal: bool) -> Copy:
    return Copy(bytes(part.body)) if reveal else hidden(body_of(part))


def hidden(body: Body) -> Copy:
    """Without secrets. Where there are none it stays in its coding, unless more is in there than was looked at."""
    raw = bytes(body.part.body)
    if withheld(body):
        return Copy(masking.placeholder_of_bytes(len(raw)).encode(), plain=True, masked=True, withheld=True)
    data = _masked(body)
    if data is not None:
        return Copy(data, plain=True, masked=True)
    if body.rules and body.coding and body.cut:
        return Copy(body.data, plain=True)
    return Copy(raw)


def withheld(body: Body) -> bool:
    return bool(body.note) and kind_of(body.content_type, b"") in ("json", "form", "multipart", "text")


def text_of(body: Body, reveal: bool) -> str:
    if reveal:
        return body.text
    if body.rules == "json":
        return masking.json_text(body.text)
    return masking.parameters(body.text) if body.rules == "form" else body.text


def _masked(body: Body) -> bytes | None:
    """None where there is nothing to hide."""
    if body.rules == "multipart":
        data = multipart.masked(body)
        return None if data == body.data else data
    if not body.rules:
        return None
    text = text_of(body, reveal=False)
    if text == body.text:
        return None
    # A charset may lack the placeholder's letter; within JSON an escape says the same.
    return text.encode(body.charset, "backslashreplace" if body.rules == "json" else "replace")
