"""`sluice fileserver` as its users run it: a process, curl, signals, exit codes."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20


class FileServerProcess:
    """A running `sluice fileserver` on a free port."""

    def __init__(self, webroot: Path, *options: str) -> None:
        command = [sys.executable, "-m", "appliance", "fileserver", "--webroot", str(webroot), "--port", "0"]
        self.process = subprocess.Popen([*command, *options], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self.output = ""
        address = self.wait_for(r"serving \S+ on (http://127\.0\.0\.1:\d+)/")
        self.wait_for(r"password is \w+")
        self.address = address[1]

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in what the process says on standard error, within ten seconds."""
        until = time.monotonic() + 10
        assert self.process.stderr is not None
        while True:
            found = re.search(pattern, self.output)
            if found:
                return found
            readable, _, _ = select.select([self.process.stderr], [], [], max(until - time.monotonic(), 0))
            piece = os.read(self.process.stderr.fileno(), 65536).decode() if readable else ""
            assert piece, f"{pattern!r} was not said, but: {self.output}"
            self.output += piece

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(10)
        finally:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()

    def highest_memory(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024


Start = Callable[..., FileServerProcess]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[FileServerProcess] = []

    def begin(webroot: Path, *options: str) -> FileServerProcess:
        running.append(FileServerProcess(webroot, *options))
        return running[-1]

    yield begin
    for one in running:
        one.kill()


@pytest.fixture
def webroot(tmp_path: Path) -> Path:
    root = tmp_path / "share"
    (root / "docs").mkdir(parents=True)
    (root / "hello.txt").write_text("hello, visitor\n")
    (root / "docs" / "a b.txt").write_text("spaces\n")
    (root / ".env").write_text("SECRET=1\n")
    (tmp_path / "secret.txt").write_text("outside\n")
    return root


def curl(*arguments: str, exit_code: int = 0) -> str:
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], capture_output=True, timeout=30, check=False)
    assert done.returncode == exit_code, done.stderr.decode()
    return done.stdout.decode()


def test_serving_files(start: Start, webroot: Path) -> None:
    server = start(webroot)
    assert f"serving {webroot} on {server.address}/" in server.output
    assert "browsing is off" in server.output
    assert "password is off" in server.output
    assert curl(f"{server.address}/hello.txt") == "hello, visitor\n"
    assert curl(f"{server.address}/docs/a%20b.txt") == "spaces\n"
    status = ["-w", "|%{http_code}|%{content_type}"]
    absent = "unable to find requested file|404|text/plain; charset=utf-8"
    for path in (
        "/absent",
        "/",
        "/docs/",
        "/.env",
        "/../secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/hello.txt%00",
    ):
        assert curl("--path-as-is", *status, server.address + path) == absent
    assert "Accept-Ranges: bytes" in curl("-I", f"{server.address}/hello.txt")
    assert server.stop() == 0


def test_browsing_and_redirects(start: Start, webroot: Path) -> None:
    server = start(webroot, "--allow-browsing")
    assert "browsing is on" in server.output
    listing = curl(f"{server.address}/")
    assert "hello.txt" in listing and "docs/" in listing and ".env" not in listing
    assert "a b.txt" in curl("-L", f"{server.address}/docs")
    assert server.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("option", ["--token", "--token-file"])
def test_a_password(start: Start, webroot: Path, tmp_path: Path, option: str) -> None:
    (tmp_path / "password").write_text("correct horse\n")
    server = start(webroot, option, "correct horse" if option == "--token" else str(tmp_path / "password"))
    assert "password is on" in server.output
    assert "correct horse" not in server.output
    address = f"{server.address}/hello.txt"
    assert curl("-u", "anyone:correct horse", address) == "hello, visitor\n"
    refused = curl("-i", "-u", "anyone:wrong", address)
    assert refused.startswith("HTTP/1.1 401 ")
    assert "WWW-Authenticate: Basic " in refused
    assert curl("-o", "/dev/null", "-w", "%{http_code}", address) == "401"


def test_resuming_a_download(start: Start, webroot: Path, tmp_path: Path) -> None:
    content = os.urandom(5 * MIB)
    (webroot / "large.bin").write_bytes(content)
    server = start(webroot)
    address, copy = f"{server.address}/large.bin", tmp_path / "copy"
    copy.write_bytes(content[: 2 * MIB])
    curl("-C", "-", "-o", str(copy), address)
    assert copy.read_bytes() == content
    curl("-r", "1000-1999", "-o", str(copy), address)
    assert copy.read_bytes() == content[1000:2000]
    curl("-r", "-500", "-o", str(copy), address)
    assert copy.read_bytes() == content[-500:]
    curl("-r", "0-9,100-109", "-o", str(copy), address)
    parts = copy.read_bytes()
    assert content[:10] in parts and content[100:110] in parts and len(parts) < 1000


def test_copies_that_are_still_good(start: Start, webroot: Path, tmp_path: Path) -> None:
    server = start(webroot)
    address, copy, tag = f"{server.address}/hello.txt", str(tmp_path / "copy"), str(tmp_path / "tag")
    status = ["-w", "%{http_code}"]
    assert curl(*status, "--etag-save", tag, "-R", "-o", copy, address) == "200"
    assert curl(*status, "--etag-compare", tag, "-o", copy, address) == "304"
    assert curl(*status, "-z", copy, "-o", copy, address) == "304"
    (webroot / "hello.txt").write_text("something else\n")
    assert curl(*status, "--etag-compare", tag, "-o", copy, address) == "200"


def test_large_files_in_little_memory(start: Start, webroot: Path) -> None:
    with open(webroot / "large", "wb") as large:
        large.truncate(1 << 30)
    server = start(webroot)
    curl(f"{server.address}/hello.txt")
    before = server.highest_memory()
    end = ["-r", str((1 << 30) - 5), "-w", "|%{http_code}|%{size_download}"]
    assert curl(*end, f"{server.address}/large").endswith("|206|5")
    whole = subprocess.Popen(
        ["curl", "-sS", f"{server.address}/large"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert whole.stdout is not None
    left = 64 * MIB
    while left > 0:
        left -= len(whole.stdout.read(MIB))
    whole.stdout.close()
    whole.kill()
    whole.wait()
    assert server.highest_memory() - before < 8 * MIB
    assert curl(f"{server.address}/hello.txt") == "hello, visitor\n"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


def test_mistakes_get_one_line_and_exit_code_2(webroot: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        mistakes = {
            ("--webroot", str(webroot), "--port", port): f"cannot listen on 127.0.0.1:{port}",
            ("--webroot", str(tmp_path / "absent")): "--webroot",
            ("--webroot", str(webroot / "hello.txt")): "--webroot",
            ("--webroot", str(webroot), "--token-file", str(tmp_path / "absent")): "--token-file",
            ("--webroot", str(webroot), "--token", ""): "--token",
            ("--webroot", str(webroot), "--listen-addr", "192.0.2.1"): "--listen-addr",
        }
        for options, said in mistakes.items():
            done = run("fileserver", *options)
            assert (done.returncode, done.stdout) == (2, "")
            assert said in done.stderr
            assert done.stderr.count("\n") == 1, done.stderr


def test_the_name_that_inlets_has(webroot: Path) -> None:
    done = run("http", "fileserver", "--webroot", str(webroot / "absent"))
    assert done.returncode == 2
    assert "--webroot" in done.stderr
