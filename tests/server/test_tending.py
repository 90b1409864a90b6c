"""What happens to certificates daily and on SIGHUP, on both planes."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.certificates.challenges import Challenges
from appliance.certificates.material import Material
from appliance.certificates.own import inspect
from appliance.certificates.store import Store
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.server.own_certificates import OwnCertificates
from appliance.server.secure import Secure
from appliance.server.tending import Tending
from appliance.transport.tls import server_context
from tests.end_to_end.house import House, a_house
from tests.end_to_end.secured import SecureVisitor, put, trusting
from tests.stage.authority import Authority
from tests.stage.material import material as told_of
from tests.stage.visitor import get


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sluice.certificates")


class Control:
    """The control plane's certificate, as the test has put it there."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self.error: Exception | None = None
        self.files = authority.issue("localhost", stem="control")

    def __call__(self) -> Material:
        if self.error is not None:
            raise self.error
        return inspect(*self.files)[0]

    def renew(self, *names: str) -> None:
        self.files = self._authority.issue(*names, stem="control")


@pytest.fixture
def control(authority: Authority) -> Control:
    return Control(authority)


@pytest.fixture
def secure(authority: Authority) -> Secure:
    store = Store()
    put(store, authority.issue("a.example"))
    return Secure(store, Challenges())


@pytest.fixture
def house(secure: Secure, control: Control) -> Iterator[House]:
    files = map(str, control.files)
    with a_house(context=server_context(*files), secure=secure, data_cert=("c",), data_key=("k",)) as house:
        house.server.state.control_certificate = control()
        yield house


@pytest.fixture
def own(authority: Authority, secure: Secure) -> OwnCertificates:
    pair = tuple((str(authority.directory / f"a.example.{end}"),) for end in ("crt", "key"))
    own = OwnCertificates(HttpServerConfig(data_cert=pair[0], data_key=pair[1]), secure.store)
    own.load()
    return own


def test_nothing_has_changed(
    house: House, control: Control, secure: Secure, own: OwnCertificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    Tending(house.server, control, secure, own).reload()
    assert caplog.messages == ["SIGHUP: looking at all certificates", "no certificate has changed"]


def test_both_planes_get_new_ones(
    house: House,
    authority: Authority,
    control: Control,
    secure: Secure,
    own: OwnCertificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And connections that are open go on, clients' too."""
    house.client("a.example=http://127.0.0.1:9", insecure=True)
    tending = Tending(house.server, control, secure, own)
    context = trusting(authority)
    with (
        SecureVisitor(house.https_port, context, "a.example") as visitor,
        SecureVisitor(house.control_port, context, "localhost") as stranger,
    ):
        control.renew("localhost", "new.example")
        authority.issue("a.example", "b.example")
        caplog.clear()
        tending.reload()
        assert "control plane: new certificate for localhost, new.example, good until" in caplog.text
        assert "new certificate for a.example, b.example, good until" in caplog.text
        assert caplog.messages[-1] == "2 have changed"
        assert house.server.state.control_certificate == control()
        assert visitor.ask(get("/", "a.example")).status == 502
        assert stranger.ask(get("/healthz", "localhost")).status == 200
    for port, name in ((house.https_port, "b.example"), (house.control_port, "new.example")):
        with SecureVisitor(port, context, name):
            pass
    assert len(house.server.registry.sessions()) == 1


@pytest.mark.parametrize("error", [ConfigError("--tls-cert c.pem expired on 2026-01-01: renew it"), OSError("no")])
def test_a_bad_one_leaves_the_one_before(
    house: House, authority: Authority, control: Control, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    tending = Tending(house.server, control)
    control.error = error
    for work in (tending.reload, tending.daily):
        caplog.clear()
        work()
        assert f"{error}: the control plane's certificate stays as it is" in caplog.messages
    with SecureVisitor(house.control_port, trusting(authority), "localhost"):
        pass


def test_without_tls_on_the_control_plane() -> None:
    with a_house() as house:
        tending = Tending(house.server, lambda: None)
        tending.daily()
        tending.reload()
        assert house.server.state.certificates() == []


def test_tickets_of_yesterday_resume_nothing(
    house: House, authority: Authority, control: Control, secure: Secure
) -> None:
    context = trusting(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    tending = Tending(house.server, control, secure)
    for port, name in ((house.https_port, "a.example"), (house.control_port, "localhost")):
        with SecureVisitor(port, context, name) as visitor:
            session = visitor.sock.session
        with SecureVisitor(port, context, name, session=session) as visitor:
            assert visitor.sock.session_reused
        tending.daily()
        with SecureVisitor(port, context, name, session=session) as visitor:
            assert not visitor.sock.session_reused


def test_ends_are_told_daily(house: House, control: Control, secure: Secure, caplog: pytest.LogCaptureFixture) -> None:
    now = time.time()
    for name, days in (("over.example", -1), ("soon.example", 3), ("far.example", 60)):
        secure.store.put(name, told_of(name, "also." + name, expires=now + days * 86400))
    caplog.clear()
    Tending(house.server, control, secure).daily()
    told = [record.getMessage() for record in caplog.records if record.name == "sluice.certificates"]
    assert [text.partition(" on ")[0] for text in told] == [
        "data plane, certificate for over.example, also.over.example: expired",
        "data plane, certificate for soon.example, also.soon.example: ends",
    ]
