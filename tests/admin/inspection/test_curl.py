"""Commands for curl, run by a real shell and a real curl, and what arrives."""

from __future__ import annotations

import gzip
import subprocess

import pytest

from appliance.admin.inspection.curl import curl
from appliance.tunnel.inspector.store import Inspector
from tests.admin.records import HOSTILE_BYTES, record
from tests.stage.upstream import Upstream

FORM = ("Content-Type", "application/x-www-form-urlencoded")


def sent(upstream: Upstream, command: str) -> None:
    done = subprocess.run(
        ["sh", "-eu"],
        input=command.encode(),
        capture_output=True,
        timeout=20,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/"},
    )
    assert done.returncode == 0, (command, done.stderr)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("GET", "/", [], b""),
        ("GET", "/a/../b/%2e?x=[1-3]&y={a,b}&z='\"$HOME`id`", [("X-Odd", "'\"$(id)`id`\\ !"), ("X-Empty", "")], b""),
        ("HEAD", "/h", [], b""),
        ("OPTIONS", "*", [], b""),
        ("POST", "/p", [FORM], b"a=b&c=%20'\""),
        ("POST", "/p", [("Content-Type", "application/json")], '{"a": "é\n\\n\'@x"}'.encode()),
        ("PUT", "/p", [("Content-Type", "text/plain")], b"@/etc/passwd"),
        ("PATCH", "/p", [], b"untyped"),
        ("POST", "/p", [("Content-Type", "image/png")], bytes(range(256)) * 10),
        ("POST", "/p", [("Content-Type", "text/html")], HOSTILE_BYTES),
        ("POST", "/p", [("Content-Type", "text/plain")], b"a\x03\r\n\ttouch /tmp/x\x1b\n!!\n"),
        ("POST", "/p", [("Content-Type", "text/plain")], b"long " * 100_000),
        ("PUT", "/long?" + "x" * 3000, [("X-Odd", "a\tb\u00ff\u0080c"), ("X-Long", "y" * 5000)], b""),
        ("DELETE", "/p", [("Authorization", "Basic YTpi"), ("Cookie", "a=b; c='d'")], b""),
        ("OPTIONS", "/p", [], b""),
    ],
)
def test_curl_sends_the_same(method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> None:
    upstream = Upstream()
    try:
        host = f"127.0.0.1:{upstream.port}"
        kept = record(Inspector(), method, path, [("Host", host), *headers], body, host=host.encode())
        sent(upstream, curl(kept, reveal=True))
        (got,) = upstream.requests("")
        assert got.message.first_line.decode() == f"{method} {path} HTTP/1.1" and got.message.body == body
        for name, value in headers:
            assert got.message.one(name.lower()) == value
        if body and FORM not in headers and not headers:
            assert not got.message.all("content-type")
    finally:
        upstream.close()


def test_letters_of_an_address() -> None:
    command = curl(record(Inspector(), path="/caf\u00c3\u00a9"), reveal=True)
    assert command.endswith("'http://app.example.com/caf\u00e9'\n")


def test_secrets_are_masked_unless_revealed() -> None:
    kept = record(
        Inspector(), "POST", "/?token=hush1", [("Authorization", "hush2"), FORM], b"a=b&password=hush3", host=b"h"
    )
    assert "hush" not in curl(kept, reveal=False) and curl(kept, reveal=False).endswith(
        "placeholders stand for them.\n"
    )
    assert all(f"hush{number}" in curl(kept, reveal=True) for number in (1, 2, 3))


def test_a_body_that_was_not_kept_whole_is_remarked() -> None:
    kept = record(Inspector(), "POST", "/", [FORM], b"abc")
    kept.request.size = 100
    assert "3 of 100 bytes" in curl(kept, reveal=False)


PARTS = b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\nhush\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("content_type", "coding", "body"),
    [
        ("multipart/form-data; boundary=x", "", PARTS),
        ("application/json", "gzip", gzip.compress(b'{"password":"hush"}', mtime=0)),
        ("application/json; charset=utf-16", "", '{"password":"hush"}'.encode("utf-16")),
        ("application/json; charset=iso-8859-1", "", b'{"password":"hush","n":"\xe9"}'),
        ("application/x-www-form-urlencoded; charset=iso-8859-1", "", b"n=\xe9&password=hush"),
        ("multipart/form-data; boundary=x", "gzip", gzip.compress(PARTS + b"\xff", mtime=0)),
        ("application/json", "compress", b'{"password":"hush"}'),
        ("text/plain", "", b'{"password":"hush"}'),
    ],
)
def test_no_coding_hides_a_secret(content_type: str, coding: str, body: bytes) -> None:
    upstream = Upstream()
    try:
        host = f"127.0.0.1:{upstream.port}"
        headers = [("Host", host), ("Content-Type", content_type)] + [("Content-Encoding", coding)] * bool(coding)
        kept = record(Inspector(), "POST", "/", headers, body, host=host.encode())
        command = curl(kept, reveal=False)
        assert "hush" not in command
        sent(upstream, command)
        sent(upstream, curl(kept, reveal=True))
        masked, revealed = (got.message for got in upstream.requests())
        assert b"hush" not in masked.body.replace(b"\0", b"") and masked.all("content-encoding") == []
        assert masked.one("content-type") == content_type
        assert revealed.body == body and revealed.all("content-encoding") == ([coding] if coding else [])
    finally:
        upstream.close()


def test_a_websocket_is_asked_for() -> None:
    upstream = Upstream()
    try:
        host = f"127.0.0.1:{upstream.port}"
        headers = [("Host", host), ("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket"),
                   ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]  # fmt: skip
        kept = record(Inspector(), "GET", "/talk", headers, host=host.encode(), kind="websocket")
        kept.request.size = 638
        command = curl(kept, reveal=False)
        assert "#" not in command
        sent(upstream, command)
        (got,) = upstream.requests("")
        assert got.message.all("upgrade") == ["websocket"] and got.message.all("connection") == ["Upgrade"]
    finally:
        upstream.close()


def test_a_name_that_is_none_is_no_order_to_curl() -> None:
    assert "passwd" not in curl(record(Inspector(), headers=[("@/etc/passwd", "x")]), reveal=True)
