"""Forms in parts (RFC 7578): their fields, and the same bytes without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_plus

from appliance.admin.inspection import masking
from appliance.admin.inspection.content import Body, parameter

MOST_FIELDS = 1000

_blank_line = re.compile(rb"\r?\n\r?\n").search


@dataclass(frozen=True, slots=True)
class Piece:
    """`start`, `end`: where its content stands. `odd`: it is not a field that could be read, or all that follows the
    last one that was looked at: nobody knows what is in it."""

    start: int
    end: int
    name: str = ""
    file: str = ""
    mime: str = ""
    odd: bool = False

    @property
    def secret(self) -> bool:
        return self.odd or masking.is_secret(self.name)


def pieces(body: Body) -> list[Piece]:
    return list(_pieces(body))


def masked(body: Body) -> bytes:
    """With placeholders where secrets were; all else as it was sent."""
    out = []
    done = 0
    for piece in pieces(body):
        if piece.secret and piece.end > piece.start:
            content = body.data[piece.start : piece.end].decode("utf-8", "replace")
            out += [body.data[done : piece.start], masking.placeholder(content).encode()]
            done = piece.end
    return b"".join([*out, body.data[done:]])


def fields(body: Body, reveal: bool) -> list[list[str]]:
    """Names with texts; of files what they are."""
    found = []
    for piece in pieces(body):
        content = body.data[piece.start : piece.end]
        if piece.odd:
            continue
        if piece.file:
            cut = piece.end == len(body.data) and (body.cut or body.part.truncated)
            size = f"{'at least ' if cut else ''}{len(content)} bytes"
            text = f"file {piece.file}, {piece.mime or 'of no type'}, {size}"
        else:
            text = content.decode("utf-8", "replace")
            text = masking.placeholder(text) if piece.secret and not reveal else text
        found.append([piece.name, text])
    return found


def _pieces(body: Body) -> Iterator[Piece]:
    boundary = parameter(body.content_type, "boundary").encode("latin-1")
    delimiter_line = rb"(?:\A|\n)--" + re.escape(boundary) + rb"(?=--|[ \t]*\r?(?:\n|\Z))"
    delimiters = re.finditer(delimiter_line, body.data) if boundary else iter(())
    start = -1
    for count, delimiter in enumerate(delimiters):
        if start >= 0:
            yield _piece(body.data, start, delimiter.start())
        start = delimiter.end()
        if count == MOST_FIELDS:
            yield Piece(start, len(body.data), odd=True)
            return
    if start < 0:
        yield Piece(0, len(body.data), odd=True)
    elif body.data[start : start + 2] != b"--":
        yield _piece(body.data, start, len(body.data))


def _piece(data: bytes, start: int, end: int) -> Piece:
    """Between two delimiters; the line break before the second belongs to it."""
    if end < len(data) and data[end - 1 : end] == b"\r":
        end -= 1
    blank = _blank_line(data, start, end)
    if blank is None:
        return Piece(start, end, odd=True)
    lines = data[start : blank.start()].decode("utf-8", "replace")
    disposition = next((line for line in lines.splitlines() if line.lower().startswith("content-disposition:")), "")
    if not disposition:  # of another kind of multipart: no name says whether it is a secret
        return Piece(blank.end(), end, odd=True)
    mime = re.search(r"^content-type:\s*(\S+)", lines, re.IGNORECASE | re.MULTILINE)
    # The second form is RFC 5987's, which RFC 7578 4.2 does away with: charset'language'name.
    name = unquote_plus(parameter(disposition, "name") or parameter(disposition, "name*").rpartition("'")[2])
    return Piece(blank.end(), end, name, parameter(disposition, "filename"), mime[1] if mime else "")
