"""What leaves the page of a body."""

from __future__ import annotations

import gzip
import random

from appliance.admin.inspection.content import LIMIT
from appliance.admin.inspection.copies import Copy, copy_of
from appliance.tunnel.inspector.record import Part
from tests.admin.records import part

SECRET = b'{"password":"hush"}'


def sent(content_type: str, body: bytes, coding: str = "") -> Part:
    return part(
        "POST / HTTP/1.1", [("Content-Type", content_type)] + [("Content-Encoding", coding)] * bool(coding), body
    )


def test_what_has_no_secret_stays_as_it_was() -> None:
    packed = gzip.compress(b'{"a":1}')
    for kept in (sent("application/json", packed, "gzip"), sent("image/png", b"\x89PNG"), sent("text/html", SECRET)):
        assert copy_of(kept, reveal=False) == copy_of(kept, reveal=True) == Copy(bytes(kept.body))


def test_what_has_one_is_decoded() -> None:
    kept = sent("application/json", gzip.compress(SECRET), "gzip")
    assert copy_of(kept, False) == Copy('{"password":"•••• (4 characters)"}'.encode(), plain=True, masked=True)
    assert copy_of(kept, True) == Copy(bytes(kept.body))


def test_a_charset_without_the_placeholders_letter() -> None:
    kept = sent("application/json; charset=iso-8859-1", b'{"n":"\xe9","password":"hush"}')
    data = copy_of(kept, False).data
    assert data == b'{"n":"\xe9","password":"\\u2022\\u2022\\u2022\\u2022 (4 characters)"}'


def test_beyond_what_was_looked_at() -> None:
    filler = random.Random(1).randbytes(LIMIT // 2).hex().encode()
    kept = sent("application/json", gzip.compress(b'["' + filler + b'",' + SECRET + b"]"), "gzip")
    found = copy_of(kept, False)
    assert found.plain and len(found.data) == LIMIT and b"hush" not in found.data


def test_what_cannot_be_decoded() -> None:
    found = copy_of(sent("application/json", SECRET, "compress"), False)
    assert found.withheld and found.masked and found.data.decode() == "•••• (19 bytes)"
    assert not copy_of(sent("image/png", b"abc", "compress"), False).masked
