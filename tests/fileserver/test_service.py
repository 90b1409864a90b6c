"""The service from a visitor's side: what each address answers."""

from __future__ import annotations

import base64
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest

from appliance.fileserver import service as service_module
from appliance.fileserver.paths import MAX_SEGMENTS
from appliance.fileserver.service import FileService, open_directory

TEXT = b"0123456789abcdefghijklmnopqrstuvwxyz"
NOT_FOUND = b"unable to find requested file"
GIB = 1 << 30
Ask = Callable[..., Any]


@pytest.fixture
def service(site: Path) -> FileService:
    return FileService(str(site))


@pytest.fixture
def browsable(site: Path) -> FileService:
    return FileService(str(site), allow_browsing=True)


def test_a_file(service: FileService, ask: Ask) -> None:
    reply = ask(service, "/hello.txt")
    assert (reply.status, reply.body) == (200, TEXT)
    assert reply.fields["content-type"] == "text/plain; charset=utf-8"
    assert reply.fields["content-length"] == "36"
    assert reply.fields["last-modified"] == "Sun, 13 Sep 2020 12:26:40 GMT"
    assert reply.fields["accept-ranges"] == "bytes"
    assert reply.fields["x-content-type-options"] == "nosniff"
    assert reply.fields["date"]


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/hello.txt?v=2", TEXT),
        ("//hello.txt", TEXT),
        ("/docs/read%20me.md", b"# read"),
        ("/page/", b"<h1>page</h1>"),
        ("/page/?a=b", b"<h1>page</h1>"),
        ("/page/index.html", b"<h1>page</h1>"),
        ("/empty.txt", b""),
        ("/.well-known/security.txt", b"Contact: us"),
        ("http://files.example/hello.txt", TEXT),
    ],
)
def test_what_is_found(service: FileService, ask: Ask, target: str, body: bytes) -> None:
    reply = ask(service, target)
    assert (reply.status, reply.body) == (200, body)
    head = ask(service, target, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert {**head.fields, "date": ""} == {**reply.fields, "date": ""}


@pytest.mark.parametrize("browsing", [False, True])
@pytest.mark.parametrize(
    "target",
    [
        "/absent",
        "/absent/",
        "/hello.txt/",
        "/hello.txt/x",
        "/../secret.txt",
        "/docs/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/docs%2fread%20me.md",
        "/..%5csecret.txt",
        "/hello.txt%00",
        "/hello.txt%00.png",
        "/.env",
        "/%2eenv",
        "/.git/",
        "/.git/config",
        "/link/secret.txt",
        "/etc/passwd",
        "//etc/passwd",
        "/%",
        "/" + "a/" * (MAX_SEGMENTS + 1),
    ],
)
def test_what_is_not_found(site: Path, ask: Ask, target: str, browsing: bool) -> None:
    (site / "link").symlink_to("..")
    for method in ("GET", "HEAD"):
        reply = ask(FileService(str(site), browsing), target, method=method)
        assert (reply.status, reply.fields["content-type"]) == (404, "text/plain; charset=utf-8")
        assert reply.body == (NOT_FOUND if method == "GET" else b"")


def test_what_is_no_file_does_not_block(site: Path, ask: Ask, browsable: FileService) -> None:
    os.mkfifo(site / "pipe")
    (site / "tty").symlink_to("/dev/tty")
    for target in ("/pipe", "/tty", "/pipe/"):
        assert ask(browsable, target).status == 404


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/page", "/page/"),
        ("/page?a=b&c", "/page/?a=b&c"),
        ("//page", "/page/"),
        ("///evil.example", "/evil.example/"),
        ("//evil.example?//x", "/evil.example/?//x"),
        ("/%65vil.example", "/evil.example/"),
        ("/a%20b%0d%0aSet-Cookie:x", "/a%20b%0D%0ASet-Cookie%3Ax/"),
    ],
)
def test_directories_are_redirected_within_the_site(
    site: Path, service: FileService, ask: Ask, target: str, location: str
) -> None:
    for name in ("evil.example", "a b\r\nSet-Cookie:x"):
        (site / name).mkdir()
        (site / name / "index.html").touch()
    reply = ask(service, target)
    assert (reply.status, reply.fields["location"]) == (301, location)
    assert "set-cookie" not in reply.fields


def test_without_browsing_a_directory_is_not_even_admitted(service: FileService, ask: Ask) -> None:
    for target in ("/", "/docs", "/docs/"):
        reply = ask(service, target)
        assert (reply.status, reply.body) == (404, NOT_FOUND)


def test_browsing(site: Path, browsable: FileService, ask: Ask) -> None:
    assert ask(browsable, "/docs").fields["location"] == "/docs/"
    reply = ask(browsable, "/")
    assert (reply.status, reply.fields["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"hello.txt" in reply.body and b"docs/" in reply.body
    assert b".env" not in reply.body and b".git" not in reply.body
    assert reply.fields["content-security-policy"].startswith("default-src 'none'")
    assert b"read%20me.md" in ask(browsable, "/docs/").body
    assert ask(browsable, "/page/").body == b"<h1>page</h1>"
    head = ask(browsable, "/", method="HEAD")
    assert (head.body, head.fields["content-length"]) == (b"", str(len(reply.body)))


def test_an_index_that_is_no_file_is_no_index(site: Path, browsable: FileService, ask: Ask) -> None:
    (site / "docs" / "index.html").mkdir()
    assert b"read me.md" in ask(browsable, "/docs/").body
    (site / "page" / "index.html").unlink()
    (site / "page" / "index.html").symlink_to("../../secret.txt")
    assert b"outside" not in ask(browsable, "/page/").body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "get"])
def test_reading_only(service: FileService, ask: Ask, method: str) -> None:
    reply = ask(service, "/hello.txt", method=method)
    assert (reply.status, reply.fields["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_options(service: FileService, ask: Ask) -> None:
    for target in ("/hello.txt", "/absent", "*"):
        reply = ask(service, target, method="OPTIONS")
        assert (reply.status, reply.fields["allow"], reply.body) == (204, "GET, HEAD, OPTIONS", b"")
        assert "content-length" not in reply.fields


@pytest.mark.parametrize(
    ("value", "body", "place"),
    [
        ("bytes=0-3", TEXT[:4], "bytes 0-3/36"),
        ("bytes=30-", TEXT[30:], "bytes 30-35/36"),
        ("bytes=-4", TEXT[-4:], "bytes 32-35/36"),
        ("bytes=0-0,0-0", TEXT[:1], "bytes 0-0/36"),
    ],
)
def test_ranges(service: FileService, ask: Ask, value: str, body: bytes, place: str) -> None:
    reply = ask(service, "/hello.txt", f"Range: {value}")
    assert (reply.status, reply.body, reply.fields["content-range"]) == (206, body, place)


def test_several_ranges(service: FileService, ask: Ask) -> None:
    reply = ask(service, "/hello.txt", "Range: bytes=30-,0-3")
    boundary = reply.fields["content-type"].partition("boundary=")[2].encode()
    _, first, second, end = reply.body.split(b"--" + boundary)
    for part, place, body in ((first, b"bytes 30-35/36", TEXT[30:]), (second, b"bytes 0-3/36", TEXT[:4])):
        assert part == (
            b"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: " + place + b"\r\n\r\n" + body + b"\r\n"
        )
    assert end == b"--\r\n"
    assert int(reply.fields["content-length"]) == len(reply.body)


def test_ranges_that_cannot_be(service: FileService, ask: Ask) -> None:
    reply = ask(service, "/hello.txt", "Range: bytes=36-")
    assert (reply.status, reply.fields["content-range"]) == (416, "bytes */36")
    assert ask(service, "/hello.txt", "Range: bytes=1-0").status == 200
    assert ask(service, "/hello.txt", "Range: bytes=0-1", "Range: bytes=3-4").status == 200


def test_conditions(service: FileService, ask: Ask) -> None:
    whole = ask(service, "/hello.txt").fields
    tag, date = whole["etag"], whole["last-modified"]
    for field in (f"If-None-Match: {tag}", f"If-Modified-Since: {date}"):
        reply = ask(service, "/hello.txt", field)
        assert (reply.status, reply.body, reply.fields["etag"]) == (304, b"", tag)
        assert ask(service, "/hello.txt", field, method="HEAD").status == 304
    assert ask(service, "/hello.txt", 'If-None-Match: "x"', f"If-None-Match: {tag}").status == 304
    assert ask(service, "/hello.txt", 'If-Match: "x"').status == 412
    for condition, status in ((tag, 206), (date, 206), ('"x"', 200)):
        assert ask(service, "/hello.txt", "Range: bytes=0-1", f"If-Range: {condition}").status == status


def test_a_file_that_changed_is_sent_whole(site: Path, service: FileService, ask: Ask) -> None:
    tag = ask(service, "/hello.txt").fields["etag"]
    (site / "hello.txt").write_bytes(b"new")
    reply = ask(service, "/hello.txt", "Range: bytes=1-", f"If-Range: {tag}")
    assert (reply.status, reply.body) == (200, b"new")


def test_a_password(site: Path, ask: Ask) -> None:
    service = FileService(str(site), True, "right")

    def status(credentials: str) -> int:
        encoded = base64.b64encode(credentials.encode()).decode()
        return int(ask(service, "/hello.txt", f"Authorization: Basic {encoded}").status)

    assert status("admin:right") == 200
    assert status("anyone:right") == 200
    assert status("admin:wrong") == 401
    for method, target in (
        ("GET", "/hello.txt"),
        ("GET", "/absent"),
        ("GET", "/"),
        ("OPTIONS", "*"),
        ("PUT", "/"),
    ):
        reply = ask(service, target, method=method)
        assert reply.status == 401
        assert reply.fields["www-authenticate"].startswith('Basic realm="')
        assert TEXT not in reply.body


def test_too_many_guesses(site: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    service = FileService(str(site), False, "right")
    assert service._gate is not None
    monkeypatch.setattr(service._gate, "check", lambda peer, authorization: 429)
    reply = ask(service, "/hello.txt")
    assert (reply.status, reply.fields["retry-after"]) == (429, "60")


@pytest.mark.parametrize(("error", "status"), [(errno.EMFILE, 503), (errno.EIO, 500)])
def test_a_machine_in_trouble(
    service: FileService, ask: Ask, monkeypatch: pytest.MonkeyPatch, error: int, status: int
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(service_module, "open_beneath", fail)
    reply = ask(service, "/hello.txt")
    assert reply.status == status
    assert os.strerror(error).encode() not in reply.body


def test_a_file_is_closed_whatever_happens(service: FileService, monkeypatch: pytest.MonkeyPatch, ask: Ask) -> None:
    """The fixture for leaks does the checking."""

    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, "trouble")

    monkeypatch.setattr(service_module, "file_answer", fail)
    assert ask(service, "/hello.txt").status == 500


def test_a_root_that_is_replaced_is_served_as_it_is_now(site: Path, service: FileService, ask: Ask) -> None:
    site.rename(site.with_name("old"))
    assert ask(service, "/hello.txt").status == 500
    site.mkdir()
    (site / "hello.txt").write_bytes(b"new")
    assert ask(service, "/hello.txt").body == b"new"


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def test_a_gibibyte_in_flat_memory(site: Path, service: FileService, ask: Ask, visit: Callable[..., Any]) -> None:
    with open(site / "large", "wb") as large:
        large.truncate(GIB)
        large.seek(GIB - 4)
        large.write(b"end.")
    before = resident_bytes()
    reply = ask(service, "/large", "Range: bytes=-6")
    assert (reply.body, reply.fields["content-range"]) == (b"\0\0end.", f"bytes {GIB - 6}-{GIB - 1}/{GIB}")
    assert ask(service, "/large", method="HEAD").fields["content-length"] == str(GIB)
    visitor = visit(service)
    visitor.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    left, highest = 64 << 20, 0
    buffer = bytearray(1 << 18)
    while left > 0:
        count = visitor.socket.recv_into(buffer)
        assert count
        left -= count
        highest = max(highest, resident_bytes())
    assert highest - before < 8 << 20
    visitor.socket.close()  # in the middle of the file, which must then be closed


def test_a_directory_upstream(site: Path) -> None:
    with gevent.socket.socket(fileno=open_directory(str(site)).detach()) as sock:
        for _ in range(2):
            sock.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n")
            got = b""
            while not got.endswith(TEXT):
                got += sock.recv(4096)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 404 ")
        assert sock.recv(4096) == b""


def test_a_directory_upstream_with_browsing(site: Path) -> None:
    with gevent.socket.socket(fileno=open_directory(str(site), allow_browsing=True).detach()) as sock:
        sock.sendall(b"GET /docs/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        got = b""
        while piece := sock.recv(65536):
            got += piece
    assert b"read me.md" in got


def test_a_directory_upstream_that_is_none(site: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_directory(str(site / "absent"))
    with pytest.raises(NotADirectoryError):
        open_directory(str(site / "hello.txt"))
