"""The stand-alone server in this process: where it listens, what it says of itself, how it ends."""

from __future__ import annotations

import os
import resource
import signal
import socket
from pathlib import Path

import gevent
import gevent.event
import gevent.socket
import pytest

from appliance.config.file_server import FileServerConfig
from appliance.config.options import ConfigError
from appliance.fileserver import app
from appliance.fileserver.app import FileServer, connection_limit

GET = b"GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n"


def server(root: Path, **options: object) -> FileServer:
    return FileServer(FileServerConfig(**{"webroot": str(root), "port": 0, **options}))


def connect(port: int, host: str = "127.0.0.1") -> gevent.socket.socket:
    return gevent.socket.create_connection((host, port), timeout=10)


def test_serving_and_stopping(site: Path) -> None:
    files = server(site)
    files.start()
    port = files.port
    with connect(port) as idle, connect(port) as used:
        used.sendall(GET)
        assert used.recv(4096).startswith(b"HTTP/1.1 200 OK")
        files.stop()
        assert used.recv(4096) == b""
        assert idle.recv(4096) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(port)


def test_stopping_waits_for_answers_but_not_for_ever(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "FINISH_SECONDS", 0.2)
    (site / "big").write_bytes(b"x" * 30_000_000)
    files = server(site)
    files.start()
    with connect(files.port) as taking, connect(files.port) as stuck:
        for sock in (taking, stuck):
            sock.sendall(GET.replace(b"hello.txt", b"big"))
            assert sock.recv(100)
        stopping = gevent.spawn(files.stop)
        count = 0
        while piece := taking.recv(1 << 20):
            count += len(piece)
        stopping.join()
        assert count > 30_000_000
        with pytest.raises(ConnectionResetError):
            while stuck.recv(1 << 20):
                pass


def test_who_is_let_in(site: Path) -> None:
    files = server(site, listen_addr="::", allow_ips=("127.0.0.0/8",))
    files.start()
    with connect(files.port) as known, connect(files.port, "::1") as stranger:
        known.sendall(GET)
        assert known.recv(4096).startswith(b"HTTP/1.1 200 OK")
        stranger.sendall(GET + GET)
        answer = b""
        while piece := stranger.recv(4096):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 403 Forbidden") and answer.count(b"HTTP/1.1") == 1
        assert b"this address is not let in here" in answer
    assert files.description()[-1] == "nobody is let in but 127.0.0.0/8 (--allow-ips)"
    files.stop()


def test_all_addresses(site: Path) -> None:
    files = server(site, listen_addr="")
    files.start()
    with connect(files.port), connect(files.port, "::1"):
        assert "http://localhost:" in files.description()[0]
        assert "everybody who reaches this port" in files.description()[-1]
    files.stop()


def test_what_it_says_of_itself(site: Path) -> None:
    files = server(site, listen_addr="::1", allow_browsing=True, token="secret-password")
    files.start()
    port = files.port
    said = "\n".join(files.description())
    files.stop()
    assert f"serving {site} on http://[::1]:{port}/" in said
    assert "browsing is on; password is on" in said
    assert "secret-password" not in said
    plain = server(site)
    plain.start()
    said = "\n".join(plain.description())
    plain.stop()
    assert "browsing is off (--allow-browsing lists directories); password is off" in said
    assert "everybody" not in said  # nobody but this machine


@pytest.mark.parametrize("webroot", ["absent", "hello.txt"])
def test_a_root_that_is_none(site: Path, webroot: str) -> None:
    with pytest.raises(ConfigError, match=r"^--webroot \S+ cannot be served: (No such|Not a dir)"):
        server(site / webroot)


def test_a_port_that_is_taken(site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"^cannot listen on 127.0.0.1:{port}: .*; change --port"):
            server(site, port=port).start()


def test_an_address_of_another_machine(site: Path) -> None:
    with pytest.raises(ConfigError, match="--listen-addr"):
        server(site, listen_addr="192.0.2.1").start()


def test_two_places_for_the_password(site: Path) -> None:
    with pytest.raises(ConfigError, match="--token and --token-file"):
        server(site, token="a", token_file="b")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_running_until_a_signal(
    site: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ready = gevent.event.Event()
    real_start = FileServer.start

    def start(self: FileServer) -> None:
        real_start(self)
        ready.set()

    monkeypatch.setattr(FileServer, "start", start)
    with caplog.at_level("INFO"):
        running = gevent.spawn(app.run, FileServerConfig(webroot=str(site), port=0))
        ready.wait()
        gevent.idle()
        os.kill(os.getpid(), number)
        running.get()
    assert f"serving {site}" in caplog.text
    assert "stopping" in caplog.text


def test_descriptors_are_left_for_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        limit = connection_limit()
        assert limit == 0 or 16 <= limit < hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
