"""Clients and servers that are not what they were: who gets the token, and what is picked up without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.certificates import authority
from appliance.certificates.known_servers import FILE, KnownServers
from appliance.certificates.material import Material
from appliance.client import agent as agent_module
from appliance.config.http_client import HttpClientConfig
from appliance.config.options import ConfigError
from appliance.transport import dial
from appliance.transport.tls import server_context
from appliance.wire.address import parse_server_url
from tests.end_to_end.house import House, a_house, until

NAME = "tunnel.test"
UPSTREAM = "a.example=http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Short pauses, a state directory of the test's own, and a name that leads here without being this machine's."""
    monkeypatch.setattr(agent_module, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(agent_module, "MOST_PAUSE_SECONDS", 0.2)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    real = dial.reach.tcp
    monkeypatch.setattr(
        dial.reach,
        "tcp",
        lambda host, port, seconds: real("127.0.0.1" if host.endswith(".test") else host, port, seconds),
    )
    for variable in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def known(tmp_path: Path) -> KnownServers:
    return KnownServers(tmp_path / "state" / FILE)


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> list[Material]:
    """Of two authorities, for the same names."""
    return [authority.ensure(tmp_path_factory.mktemp("authority"), [NAME], "localhost") for _ in range(2)]


@pytest.fixture
def far(materials: list[Material]) -> Iterator[House]:
    """A server that is elsewhere, if asked by NAME."""
    with a_house(context=context_of(materials[0]), ca_pem=materials[0].ca_pem) as house:
        yield house


def context_of(material: Material) -> Any:
    return server_context(str(material.certificate_file), str(material.key_file))


def url_of(house: House) -> str:
    return f"wss://{NAME}:{house.control_port}"


def set_up_anew(house: House, material: Material, ca_pem: bytes | None) -> None:
    house._context, house._ca_pem = context_of(material), ca_pem
    house.restart()


def asked_for_a_token(house: House) -> int:
    """How many requests the server had that a token belongs to."""
    return sum(
        count for (path, _), count in house.server.state.control.requests.items() if path != "/.well-known/ca.crt"
    )


def test_the_first_use_and_later_ones(far: House, known: KnownServers, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        client_id = far.client(UPSTREAM, url=url_of(far))
        assert far.session(client_id) is not None
        far.stop_client()
    assert caplog.text.count("first use of ") == 1
    found = known.find(f"{NAME}:{far.control_port}")
    assert found is not None and f"its authority is sha256:{found.mark}, remembered in {known.path}" in caplog.text


def test_another_authority_until_it_is_accepted(
    far: House, known: KnownServers, materials: list[Material], caplog: pytest.LogCaptureFixture
) -> None:
    """The connected client comes back to another server: it tries on, shows nobody its token, and hears of `sluice
    trust`, done elsewhere, without a restart."""
    client_id = far.client(UPSTREAM, url=url_of(far))
    set_up_anew(far, materials[1], materials[1].ca_pem)
    new, old = materials[1].fingerprint, materials[0].fingerprint
    until(lambda: caplog.text.count("is not trusted and did not get the token") > 2, "it tries")
    assert f"its authority is sha256:{new}, and since 20" in caplog.text and f"it was sha256:{old}" in caplog.text
    assert f"sluice trust --url {url_of(far)} --ca-fingerprint {new}` accepts it; next try in" in caplog.text
    assert asked_for_a_token(far) == 0
    known.put(f"{NAME}:{far.control_port}", new)
    far.connected(client_id)


def test_the_right_server_comes_back(far: House, materials: list[Material], caplog: pytest.LogCaptureFixture) -> None:
    client_id = far.client(UPSTREAM, url=url_of(far))
    set_up_anew(far, materials[1], materials[1].ca_pem)
    until(lambda: "did not get the token" in caplog.text, "it is refused")
    set_up_anew(far, materials[0], materials[0].ca_pem)
    far.connected(client_id)


def test_no_authority_any_more(far: House, materials: list[Material], caplog: pytest.LogCaptureFixture) -> None:
    far.client(UPSTREAM, url=url_of(far))
    set_up_anew(far, materials[1], None)
    until(lambda: "it shows no authority of its own" in caplog.text, "it is refused")
    assert asked_for_a_token(far) == 0


def test_the_authority_of_another(far: House, materials: list[Material], caplog: pytest.LogCaptureFixture) -> None:
    """Shown by who has no certificate of it."""
    far.client(UPSTREAM, url=url_of(far))
    set_up_anew(far, materials[1], materials[0].ca_pem)
    until(lambda: "somebody may pose as the server; next try" in caplog.text, "it is refused")
    assert asked_for_a_token(far) == 0


def test_pinned(far: House, known: KnownServers, materials: list[Material], caplog: pytest.LogCaptureFixture) -> None:
    right, wrong = materials[0].fingerprint.upper(), materials[1].fingerprint
    far.client(UPSTREAM, url=url_of(far), ca_fingerprint=wrong, wait=False)
    until(lambda: f"and --ca-fingerprint is sha256:{wrong}" in caplog.text, "it is refused")
    assert asked_for_a_token(far) == 0
    far.stop_client()
    assert far.session(far.client(UPSTREAM, url=url_of(far), ca_fingerprint=right)) is not None
    assert asked_for_a_token(far) > 0  # which is what the others count
    far.client(UPSTREAM, url=f"wss://127.0.0.1:{far.control_port}", ca_fingerprint=right)
    assert known.path is not None and not Path(known.path).exists()


def test_own_authorities(
    far: House, materials: list[Material], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for material, name in zip(materials, ("right.pem", "wrong.pem"), strict=True):
        assert material.ca_pem is not None
        (tmp_path / name).write_bytes(material.ca_pem)
    assert far.client(UPSTREAM, url=url_of(far), tls_ca=str(tmp_path / "right.pem"))
    far.client(UPSTREAM, url=url_of(far), tls_ca=str(tmp_path / "wrong.pem"), wait=False)
    until(lambda: "--tls-ca must hold the authority that issued it" in caplog.text, "it is refused")


def test_own_authorities_that_are_none(tmp_path: Path) -> None:
    config = HttpClientConfig(url="wss://a:1", upstream=("b:1",), tls_ca=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="--tls-ca .* cannot be read"):
        agent_module.Agent(config, parse_server_url(config.url), "t", (), lambda path, browse: None)  # type: ignore[arg-type,return-value]


def test_a_damaged_list(far: House, known: KnownServers, caplog: pytest.LogCaptureFixture) -> None:
    assert known.path is not None
    Path(known.path).parent.mkdir()
    Path(known.path).write_text("garbage\n")
    Path(known.path).chmod(0o600)
    client_id = far.client(UPSTREAM, url=url_of(far), wait=False)
    until(lambda: f"line 1 of {known.path} is not understood" in caplog.text, "it says so")
    assert asked_for_a_token(far) == 0
    Path(known.path).unlink()
    far.connected(client_id)


def test_another_client_was_told_something_else(
    far: House,
    known: KnownServers,
    materials: list[Material],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Between its look at the list and its token."""
    real = agent_module.find_ca

    def find(url: Any) -> str | None:
        shown = real(url)
        known.put(url.authority, materials[1].fingerprint)
        return shown

    monkeypatch.setattr(agent_module, "find_ca", find)
    # After `decide` has looked: as if both had looked before either wrote.
    monkeypatch.setattr(agent_module.Trust, "_before", lambda self: (None, ""))
    far.client(UPSTREAM, url=url_of(far), wait=False)
    until(lambda: f"it was sha256:{materials[1].fingerprint}" in caplog.text, "it is refused")
    assert asked_for_a_token(far) == 0


def test_a_name_that_the_certificate_lacks(far: House, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is remembered of it."""
    far.client(UPSTREAM, url=f"wss://other.test:{far.control_port}", wait=False)
    until(lambda: "its names come from --auto-tls-san or --tls-cert of the server" in caplog.text, "it says so")
    assert "first use" not in caplog.text
