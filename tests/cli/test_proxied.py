"""What fails at a proxy is told apart from what fails behind it."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from appliance.cli.asking import Asking, ProxyRefused, StatusError
from appliance.config.trust import TrustOptions
from appliance.wire.address import ServerUrl

URL = ServerUrl("ws", "server.invalid", 8123)


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """Answers whatever it is asked, with what it is called with, and ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")

        def serve(answer: bytes) -> None:
            def once() -> None:
                sock, _ = listener.accept()
                with sock:
                    sock.recv(65536)
                    sock.sendall(answer)

            threading.Thread(target=once, daemon=True).start()

        yield serve


def failure(url: ServerUrl = URL) -> StatusError:
    with pytest.raises(StatusError) as caught:
        Asking(url, TrustOptions()).get("/status", "secret")
    assert "secret" not in str(caught.value)
    return caught.value


def test_it_does_not_lead_there(proxy: Callable[[bytes], None]) -> None:
    proxy(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    found = failure()
    assert isinstance(found, ProxyRefused)
    assert found.what.startswith("ws://server.invalid:8123 cannot be reached: the proxy 127.0.0.1:")
    assert "403" in found.what and "NO_PROXY=server.invalid" in found.fix


def test_it_is_none(proxy: Callable[[bytes], None]) -> None:
    proxy(b"SSH-2.0-OpenSSH_9.2\r\n")
    found = failure()
    assert isinstance(found, ProxyRefused) and "does not answer as a proxy does" in found.what


def test_it_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    found = failure()
    assert isinstance(found, ProxyRefused) and "127.0.0.1:9 does not lead there: Connection refused" in found.what


@pytest.mark.parametrize("setting", ["socks5://u:hidden@127.0.0.1:1080", "http://u:hidden@127.0.0.1:port"])
def test_it_cannot_be_used(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", setting)
    found = failure()
    assert isinstance(found, ProxyRefused) and "http://host:port" in found.fix and "hidden" not in str(found)


def test_what_fails_behind_it_is_not_its_fault(proxy: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy(b"HTTP/1.1 200 OK\r\n\r\n")
    found = failure()
    assert not isinstance(found, ProxyRefused) and "does not answer as a web server does" in found.what
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "server.invalid")
    assert not isinstance(failure(ServerUrl("wss", "server.invalid", 8123)), ProxyRefused)
