"""Forms in parts: what is a field, and that no secret is left in the bytes."""

from __future__ import annotations

import time

import pytest

from appliance.admin.inspection import multipart
from appliance.admin.inspection.content import Body, body_of
from tests.admin.records import part


def field(name: str, content: bytes, more: str = "") -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


def form(data: bytes) -> Body:
    return body_of(part("POST / HTTP/1.1", [("Content-Type", "multipart/form-data; boundary=x")], data))


def test_only_secrets_are_replaced() -> None:
    before, after = field("a", b"1\r\n--xy"), field("f", b"\x00\xff", '; filename="f.bin"') + b"--x--\r\n"
    body = form(before + field("password", b"hush\xff") + after)
    assert multipart.masked(body) == before + field("password", "•••• (5 characters)".encode()) + after
    assert multipart.fields(body, reveal=False) == [
        ["a", "1\r\n--xy"],
        ["password", "•••• (5 characters)"],
        ["f", "file f.bin, of no type, 2 bytes"],
    ]


def test_a_file_that_was_cut_is_at_least_so_long() -> None:
    file = field("f", b"12345678", '; filename="f.bin"')
    last, first = form(file[:-2]).part, form(file + field("g", b"1")).part
    for kept, size in ((last, "at least 8 bytes"), (first, "8 bytes")):
        kept.size += 1000
        assert multipart.fields(body_of(kept), reveal=False)[0] == ["f", f"file f.bin, of no type, {size}"]


@pytest.mark.parametrize(
    "data",
    [
        field("password", b"hush"),  # cut off
        field("password", b"hush").replace(b"\r\n", b"\n") + b"--x--\n",
        field("key", b"hush", '; filename="id_ed25519"') + b"--x--\r\n",
        field("a", b"1") * multipart.MOST_FIELDS + field("password", b"hush") * 3 + b"--x--\r\n",
        b"--x\r\npassword hush\r\n--x--\r\n",
        field("password", b"a--xhush") + b"--x--\r\n",
        b"--x--\r\n" + field("password", b"hush"),
        b'Content-Disposition: form-data; name="password"\r\n\r\nhush',
        b"--x\r\nContent-Disposition: form-data; name*=utf-8''pass%77ord\r\n\r\nhush\r\n--x--\r\n",
        b'--x\r\nContent-Type: application/json\r\n\r\n{"token": "hush"}\r\n--x--\r\n',  # of multipart/mixed
    ],
    ids=range(10),
)
def test_no_secret_is_left(data: bytes) -> None:
    body = form(data)
    assert b"hush" not in multipart.masked(body)
    assert "hush" not in str(multipart.fields(body, reveal=False))


def test_nothing_to_hide() -> None:
    for data in (b"--x--\r\n", field("a", b"1") + b"--x--\r\n", field("password", b"") + b"--x--\r\n"):
        assert multipart.masked(form(data)) == data


def test_hostile_ones_take_no_time() -> None:
    began = time.process_time()
    for piece in (b"--x", b"\n--x", b"\r\n", b"--x\r\n\r\n", b"\n--x\r\n\r\n"):
        multipart.masked(form(piece * (1_000_000 // len(piece))))
    assert time.process_time() - began < 5
