"""Every test here is bounded in time, and leaves no connection, crash or error in the hub behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
from gevent import get_hub

from appliance.certificates.authority import ensure
from appliance.transport.reaper import reaper
from appliance.transport.tasks import crashes
from appliance.transport.tls import client_context, server_context
from tests.transport.wires import Wires, settle


@dataclass(frozen=True)
class Certificates:
    certificate_file: str
    key_file: str
    authority: str


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of a server called localhost, 127.0.0.1 and tunnel.test."""
    directory = tmp_path_factory.mktemp("authority")
    material = ensure(directory, ["127.0.0.1", "tunnel.test"], "localhost")
    assert material.ca_pem is not None
    return Certificates(str(material.certificate_file), str(material.key_file), material.ca_pem.decode())


@pytest.fixture
def wires(certificates: Certificates) -> Iterator[Wires]:
    server = server_context(certificates.certificate_file, certificates.key_file)
    made = Wires(server, client_context(certificates.authority))
    yield made
    made.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    failures: list[Any] = []

    def handle_error(context: Any, *error: Any) -> None:
        if not isinstance(context, gevent.Greenlet):  # a test's own greenlet is asked for its error by the test
            failures.append((context, *error))

    monkeypatch.setattr(get_hub(), "handle_error", handle_error)
    watched, crashed, descriptors = len(reaper), crashes.count, open_descriptors()
    with gevent.Timeout(30, AssertionError("the test hangs")):
        yield
        settle()
    assert len(reaper) == watched, "a connection was not closed"
    assert open_descriptors() <= descriptors, "a descriptor was not closed"
    assert crashes.count == crashed, "a greenlet crashed"
    assert not failures, "a call-back of the hub failed"
