"""The Range field (RFC 9110 14.2): which bytes of a file of known size are wanted. No I/O."""

from __future__ import annotations

import re
from typing import NamedTuple

# More than this is no player and no download tool, but somebody who wants a large answer for a small question
# (CVE-2011-3192): the field is ignored then, which 14.2 allows.
MAX_RANGES = 16

_set = re.compile(r"bytes[ \t]*=[ \t,]*([0-9, \t-]+)", re.IGNORECASE)
_one = re.compile(r"([0-9]{0,30})-([0-9]{0,30})")


class Extent(NamedTuple):
    """A piece of a file."""

    start: int
    length: int

    @property
    def last(self) -> int:
        return self.start + self.length - 1


class Unsatisfiable(Exception):
    """None of the ranges touches the file: 416."""


def parse_range(value: str, size: int) -> list[Extent] | None:
    """The extents to send, in the order asked for; None when the whole file is to be sent instead.

    Overlapping ranges are joined, which puts them all in the file's order. Raises Unsatisfiable.
    """
    match = _set.fullmatch(value)
    if match is None or size == 0:  # an empty file has no range to give, and nothing to withhold either
        return None
    specs = [spec for spec in (text.strip(" \t") for text in match.group(1).split(",")) if spec]
    if not specs or len(specs) > MAX_RANGES:
        return None
    extents = []
    for spec in specs:
        one = _one.fullmatch(spec)
        if one is None or spec == "-":
            return None
        first, last = one.groups()
        if first and last and int(last) < int(first):
            return None
        extent = _clip(first, last, size)
        if extent is not None:
            extents.append(extent)
    if not extents:
        raise Unsatisfiable
    return _without_overlap(extents)


def _clip(first: str, last: str, size: int) -> Extent | None:
    if not first:
        count = min(int(last), size)
        return Extent(size - count, count) if count else None
    start = int(first)
    if start >= size:
        return None
    end = min(int(last), size - 1) if last else size - 1
    return Extent(start, end - start + 1)


def _without_overlap(extents: list[Extent]) -> list[Extent]:
    ordered = sorted(extents)
    joined = ordered[:1]
    for extent in ordered[1:]:
        before = joined[-1]
        if extent.start <= before.last:
            joined[-1] = Extent(before.start, max(extent.last, before.last) - before.start + 1)
        else:
            joined.append(extent)
    return joined if len(joined) < len(extents) else extents
