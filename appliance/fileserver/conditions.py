"""Conditional requests (RFC 9110 13): what a visitor already has against what the file is now. No I/O."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.wire.dates import http_date, parse_http_date

_entity_tag = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_tag_list = re.compile(r'[ \t,]*(?:(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"[ \t]*(?:,[ \t,]*|$))+')


@dataclass(frozen=True)
class Validators:
    """What tells one content of a file from another."""

    tag: str  # quoted, strong: inode, time in nanoseconds and size change with the content
    modified: int  # Unix time

    @classmethod
    def of(cls, info: os.stat_result) -> Validators:
        tag = f'"{info.st_ino:x}-{info.st_mtime_ns:x}-{info.st_size:x}"'
        return cls(tag, info.st_mtime_ns // 1_000_000_000)

    @property
    def last_modified(self) -> bytes:
        """Never later than the answer itself (RFC 9110 8.8.2.1), whatever the file's clock said."""
        return http_date(min(self.modified, int(time.time())))


def precondition(fields: Mapping[str, str], validators: Validators) -> int:
    """200 to go on, 304 when the visitor's copy will do, 412 when its condition fails: 13.2.2's order."""
    if_match = fields.get("if-match")
    if if_match is not None:
        if not _names_tag(if_match, validators.tag, strong=True):
            return 412
    else:
        since = _date(fields, "if-unmodified-since")
        if since is not None and validators.modified > since:
            return 412
    if_none_match = fields.get("if-none-match")
    if if_none_match is not None:
        if _names_tag(if_none_match, validators.tag, strong=False):
            return 304
    else:
        since = _date(fields, "if-modified-since")
        if since is not None and validators.modified <= since:
            return 304
    return 200


def range_applies(fields: Mapping[str, str], validators: Validators, now: float) -> bool:
    """Whether If-Range, if it is there, lets the Range be used (13.1.5)."""
    condition = fields.get("if-range")
    if condition is None:
        return True
    if condition.startswith(('"', "W/")):
        return condition == validators.tag
    # A date proves nothing about a file that may change again within the same second (8.8.2.2).
    return (
        parse_http_date(condition, time.gmtime(now).tm_year) == validators.modified and now - validators.modified >= 1
    )


def _names_tag(value: str, tag: str, strong: bool) -> bool:
    if value == "*":
        return True
    if _tag_list.fullmatch(value) is None:
        return False
    return any(opaque == tag and not (strong and weak) for weak, opaque in _entity_tag.findall(value))


def _date(fields: Mapping[str, str], name: str) -> int | None:
    value = fields.get(name)
    return None if value is None else parse_http_date(value, time.gmtime().tm_year)
