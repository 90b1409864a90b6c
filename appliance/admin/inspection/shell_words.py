"""Words of a command that people paste into a terminal: bytes of strangers must mean nothing there.

A terminal acts on control characters before any shell reads a quote: ^C ends the line, a tab asks for completions and
swallows what follows, and a line that is too long loses its end. Shells expand ! and ^ in lines of their own.
"""

from __future__ import annotations

import base64
import re
import shlex
import unicodedata
from collections.abc import Iterator

LONGEST_LINE = 1000  # of what comes from a stranger; a terminal's own limit is 4095 bytes (Linux), 1024 (macOS)
PIECE = 200  # letters of a word in one line: at most four bytes each, or as many for an escape
MOST_TEXT = 64 * 1024  # bytes; a system's limit for one word is 128 KiB (Linux)

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})  # categories: control, direction, halves, separators
_octal = re.compile(rb"\A-|[^A-Za-z0-9 #&()*+,./:;<=>?@\[\]^_{|}~-]")


def word(text: str) -> str:
    """One word of exactly these bytes: letters below U+0100 stand for one each."""
    data = bytes_of(text)
    try:
        shown = data.decode()
    except UnicodeDecodeError:
        shown = None
    # A backslash at the end of a line joins two words to one.
    if shown is not None and not any(map(_hidden, shown)):
        return "\\\n".join(map(shlex.quote, _pieces(shown) if shown else [""]))
    pieces = (data[at : at + PIECE] for at in range(0, len(data), PIECE))
    printed = (_octal.sub(lambda found: b"\\%03o" % ord(found[0]), piece) for piece in pieces)
    return "\\\n".join(f"\"$(printf '{piece.decode()}')\"" for piece in printed)


def bytes_of(text: str) -> bytes:
    """Of a head's text, where letters below U+0100 stand for one byte each; beyond that are only placeholders."""
    return b"".join(bytes((ord(letter),)) if letter <= "\xff" else letter.encode("utf-8", "replace") for letter in text)


def pasteable(data: bytes) -> str | None:
    """Text that may stand in a command as it is, or None: then it has to come in `base64_lines`."""
    if len(data) > MOST_TEXT:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    lines = text.split("\n")
    if len(lines) > 1 and any("!" in line or line.startswith("^") for line in lines):
        return None  # bash expands its history even within quotes, where those go over several lines
    if any(len(line.encode()) > LONGEST_LINE for line in lines):
        return None
    return None if any(map(_hidden, text.replace("\n", ""))) else text


def base64_lines(data: bytes) -> str:
    """What prints these bytes."""
    lines = base64.encodebytes(data).decode().rstrip("\n")
    return f"printf %s '{lines}' | base64 --decode"


def _hidden(letter: str) -> bool:
    return unicodedata.category(letter) in _HIDDEN


def _pieces(text: str) -> Iterator[str]:
    for at in range(0, len(text), PIECE):
        yield text[at : at + PIECE]
