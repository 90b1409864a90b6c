"""Content types that do not depend on the machine or on Python's version."""

from __future__ import annotations

import pytest

from appliance.fileserver.content_types import content_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"index.html", b"text/html; charset=utf-8"),
        (b"INDEX.HTML", b"text/html; charset=utf-8"),
        (b"a.css", b"text/css; charset=utf-8"),
        (b"a.js", b"text/javascript; charset=utf-8"),
        (b"a.mjs", b"text/javascript; charset=utf-8"),
        (b"a.json", b"application/json"),
        (b"a.svg", b"image/svg+xml"),
        (b"a.jpg", b"image/jpeg"),
        (b"a.woff2", b"font/woff2"),
        (b"a.mp4", b"video/mp4"),
        (b"a.pdf", b"application/pdf"),
        (b"a.wasm", b"application/wasm"),
        (
            b"backup.tar.gz",
            b"application/gzip",
        ),  # what it is, not what is in it: nobody unpacks it on the way
        (b"README", b"application/octet-stream"),
        (b"a.unheard-of", b"application/octet-stream"),
        (b"trailing.", b"application/octet-stream"),
        (b"a.\xff\xfe", b"application/octet-stream"),
    ],
)
def test_types(name: bytes, expected: bytes) -> None:
    assert content_type(name) == expected
