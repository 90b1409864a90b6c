"""Aligned columns of text. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], least: Sequence[int]) -> Iterator[str]:
    """Lines; ``least``: how wide each column is at least."""
    lines = (headings, *rows)
    columns = zip(*lines, strict=True)
    widths = [max(wide, *(len(cell) for cell in column)) for wide, column in zip(least, columns, strict=True)]
    for line in lines:
        yield " ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def shown(value: Any) -> str:
    """A server, or a client of it, must not be able to move the cursor of who asks."""
    text = "unknown" if value is None or value == "" else str(value)
    return "".join(sign if sign.isprintable() else "?" for sign in text)
