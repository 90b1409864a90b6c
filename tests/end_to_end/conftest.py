"""A house for each test, empty again at its end."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from appliance.certificates import authority
from appliance.certificates.material import Material
from appliance.transport.tls import server_context
from tests.end_to_end.house import House, a_house, greenlets, until


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sluice")


@pytest.fixture(autouse=True, scope="module")
def no_greenlet_is_left() -> Iterator[None]:
    gevent.sleep(0)  # the hub, too, is one
    before = greenlets()
    yield
    until(lambda: greenlets() <= before, "greenlets have ended")


@pytest.fixture
def house() -> Iterator[House]:
    with a_house() as house:
        yield house


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """An authority, and a certificate for 127.0.0.1."""
    return authority.ensure(tmp_path_factory.mktemp("authority"), ["127.0.0.1"], "localhost")


@pytest.fixture
def tls_house(material: Material) -> Iterator[House]:
    """A house whose control plane speaks TLS."""
    context = server_context(str(material.certificate_file), str(material.key_file))
    with a_house(context=context, ca_pem=material.ca_pem) as house:
        yield house
