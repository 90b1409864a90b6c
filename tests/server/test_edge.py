"""Which ports there are, and what happens where one is not to be had."""

from __future__ import annotations

import errno
import os
import socket
from _socket import socket as NativeSocket
from typing import Any

import pytest

from appliance.certificates.challenges import Challenges
from appliance.certificates.store import Store
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.server import edge as edge_module
from appliance.server import listening
from appliance.server.edge import Edge
from appliance.server.secure import Secure
from appliance.transport.activation import Inherited, Passed
from appliance.transport.listener import Capacity
from appliance.tunnel.counters import HttpCounters
from appliance.tunnel.router import Router
from tests.end_to_end.house import descriptors, listener

PLACES = (("::1", socket.AF_INET6), ("127.0.0.2", socket.AF_INET))
OWN: dict[str, Any] = {"data_cert": ("c",), "data_key": ("k",), "data_addr": "127.0.0.1", "https_port": 0}


def make(secure: bool = True, **options: Any) -> Edge:
    config = HttpServerConfig(**(OWN if secure else {"data_addr": "127.0.0.1"}) | options)
    return Edge(config, Router(), HttpCounters(), Capacity(10), Secure(Store(), Challenges()) if secure else None)


def open_ports(edge: Edge) -> tuple[bool, bool]:
    edge.open()
    try:
        plain, https = edge.ports
        return plain is not None, https is not None
    finally:
        edge.stop()


def test_one_port_without_certificates_two_with_them() -> None:
    assert open_ports(make(secure=False, port=0)) == (True, False)
    assert open_ports(make(port=0)) == (True, True)
    assert open_ports(make(port=0, plain_http="off")) == (False, True)
    assert make().ports == (None, None)


def refuse(monkeypatch: pytest.MonkeyPatch, number: int, *ports: int) -> None:
    def listen(host: str, port: int) -> Any:
        if port in ports:
            raise OSError(number, os.strerror(number))
        return real(host, port)

    real = listening.listen
    monkeypatch.setattr(listening, "listen", listen)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EADDRINUSE])
def test_without_port_80_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    refuse(monkeypatch, number, 80)
    assert open_ports(make()) == (False, True)
    (warning,) = caplog.messages
    assert "--port" in warning and "http:// does not lead to https://" in warning and "--plain-http off" in warning


def test_but_not_without_one_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, errno.EACCES, 80)
    before = descriptors()
    with pytest.raises(ConfigError, match="choose another port with --port"):
        make(port=80).open()
    assert descriptors() == before


def test_a_port_for_https_that_is_taken() -> None:
    with listener() as other, pytest.raises(ConfigError, match="is in use by another program.*with --https-port"):
        make(https_port=other.getsockname()[1], port=0).open()


def test_what_is_said_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for options, said in (
        ({"port": 0}, ["http://127.0.0.1:{}, which leads to https", "https://127.0.0.1:{}"]),
        ({"port": 0, "plain_http": "serve"}, ["http://127.0.0.1:{}", "https://127.0.0.1:{}"]),
    ):
        caplog.clear()
        edge = make(**options)
        edge.open()
        edge.start()
        ports = edge.ports
        edge.stop()
        edge.close()
        assert caplog.messages == [f"visitors: {text.format(port)}" for text, port in zip(said, ports, strict=True)]
    assert edge_module.log.name == "sluice.server"


def test_of_sockets_that_were_passed_on_their_own_address_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    sockets = [socket.create_server((host, 0), family=family) for host, family in PLACES]
    inherited = Inherited(Passed("http", NativeSocket(fileno=os.dup(sock.fileno()))) for sock in sockets)
    edge = make(secure=False, data_addr="")
    edge.open(inherited)
    edge.start()
    edge.stop()
    edge.close()
    ports = [sock.getsockname()[1] for sock in sockets]
    assert caplog.messages == [f"visitors: http://[::1]:{ports[0]}", f"visitors: http://127.0.0.2:{ports[1]}"]
    for sock in sockets:
        sock.close()
