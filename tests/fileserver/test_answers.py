"""Answers as values: what a file's state and a request's fields make of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.fileserver.answers import Answer, file_answer, plain, redirect
from appliance.fileserver.conditions import Validators
from appliance.fileserver.ranges import Extent


@pytest.fixture
def info(tmp_path: Path) -> os.stat_result:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return path.stat()


def answer(info: os.stat_result, method: bytes = b"GET", **fields: str) -> Answer:
    given = {name.replace("_", "-"): value for name, value in fields.items()}
    return file_answer(method, given, b"a.txt", 99, info)


def test_a_whole_file(info: os.stat_result) -> None:
    whole = answer(info)
    assert (whole.status, whole.pieces, whole.length, whole.descriptor) == (200, (Extent(0, 100),), 100, 99)
    head = whole.head(b"today", b"")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Type: text/plain; charset=utf-8\r\n")
    assert b"\r\nAccept-Ranges: bytes\r\n" in head
    assert b"\r\nLast-Modified: Sun, 13 Sep 2020 12:26:40 GMT\r\n" in head
    assert b"\r\nETag: " + Validators.of(info).tag.encode() + b"\r\n" in head
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in head
    assert head.endswith(b"\r\nContent-Length: 100\r\n\r\n")
    assert whole.head(b"today", b"close").endswith(b"\r\nConnection: close\r\n\r\n")


def test_a_part(info: os.stat_result) -> None:
    part = answer(info, range="bytes=10-19")
    assert (part.status, part.pieces) == (206, (Extent(10, 10),))
    assert b"Content-Range: bytes 10-19/100" in part.fields


def test_a_range_is_for_get(info: os.stat_result) -> None:
    assert answer(info, b"HEAD", range="bytes=10-19").status == 200
    assert answer(info, b"HEAD", range="bytes=500-").status == 200


def test_several_parts(info: os.stat_result) -> None:
    several = answer(info, range="bytes=10-19,0-4")
    assert several.status == 206
    assert [piece for piece in several.pieces if isinstance(piece, Extent)] == [Extent(10, 10), Extent(0, 5)]
    assert not any(field.startswith(b"Content-Range") for field in several.fields)
    kind = next(field for field in several.fields if field.startswith(b"Content-Type: "))
    boundary = kind.rpartition(b"boundary=")[2]
    assert kind.startswith(b"Content-Type: multipart/byteranges;")
    assert len(boundary) == 30
    assert several.pieces[-1] == b"\r\n--" + boundary + b"--\r\n"
    first = several.pieces[0]
    assert isinstance(first, bytes)
    assert b"Content-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 10-19/100\r\n\r\n" in first


def test_a_range_outside(info: os.stat_result) -> None:
    outside = answer(info, range="bytes=100-")
    assert outside.status == 416
    assert b"Content-Range: bytes */100" in outside.fields
    assert outside.descriptor == 99  # still to be closed


def test_conditions_come_before_ranges(info: os.stat_result) -> None:
    tag = Validators.of(info).tag
    assert answer(info, range="bytes=500-", if_none_match=tag).status == 304
    assert answer(info, range="bytes=0-1", if_match='"other"').status == 412
    assert answer(info, range="bytes=0-1", if_range='"other"').status == 200
    assert answer(info, range="bytes=500-", if_range='"other"').status == 200
    assert answer(info, range="bytes=0-1", if_range=tag).status == 206


def test_what_the_visitor_has_already(info: os.stat_result) -> None:
    head = answer(info, if_none_match="*").head(b"today", b"")
    assert head.startswith(b"HTTP/1.1 304 Not Modified\r\n")
    assert b"ETag: " in head
    assert b"Content-Length" not in head


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    empty = answer(path.stat(), range="bytes=0-")
    assert (empty.status, empty.length) == (200, 0)


def test_lines_of_text() -> None:
    assert plain(404, "é").length == 2
    assert b"Location: /a/" in redirect(b"/a/").fields
    assert b"Content-Length" not in Answer(204, []).head(b"today", b"")
