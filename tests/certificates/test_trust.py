"""Which server is trusted, by what was pinned or seen before; and what is said of one that is not."""

import hashlib
import logging
import ssl
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from appliance.certificates import known_servers
from appliance.certificates.issue import new_authority
from appliance.certificates.known_servers import FILE, PUBLIC, KnownServers
from appliance.certificates.trust import Distrusted, Trust, fingerprint_of, one_certificate, read_authorities
from appliance.config.options import ConfigError
from appliance.config.trust import TrustOptions
from appliance.wire.address import parse_server_url

SERVER = "203.0.113.7:8123"


def authority() -> str:
    made = new_authority(datetime.now(timezone.utc)).certificate
    return made.public_bytes(serialization.Encoding.PEM).decode()


def mark_of(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


ONE, OTHER = authority(), authority()


class Home:
    """A user's state directory, and what this user is told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.known = KnownServers(directory / FILE)
        self.notes: list[tuple[int, str]] = []

    def trust(self, url: str = f"wss://{SERVER}", **options: Any) -> Trust:
        def note(level: int, text: str) -> None:
            assert text.isprintable()
            self.notes.append((level, text))

        environ = {"STATE_DIRECTORY": str(self.directory)}
        return Trust(TrustOptions(**options), parse_server_url(url), environ, note)

    def uses(self, shown: str | None, url: str = f"wss://{SERVER}", trust: Trust | None = None) -> str | None:
        """A program that connects, to a server whose certificate proves to be good."""
        trust = trust or self.trust(url)
        authorities = trust.decide(shown)
        trust.remember()
        return authorities

    def mark(self, server: str = SERVER) -> str | None:
        found = self.known.find(server)
        return found and found.mark

    def said(self) -> str:
        """The one thing that was."""
        ((_, text),) = self.notes
        self.notes.clear()
        return text


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "state")


def refusal(attempt: Callable[[], object]) -> str:
    with pytest.raises(Distrusted) as caught:
        attempt()
    text = str(caught.value)
    assert text.isprintable()
    assert "did not get the token" in text
    return text


def test_the_first_use(home: Home) -> None:
    assert home.uses(ONE) == ONE
    assert home.mark() == mark_of(ONE)
    text = home.said()
    assert text.startswith(f"first use of {SERVER}: its authority is sha256:{mark_of(ONE)}, remembered in ")
    assert str(home.known.path) in text and "`sluice certificates` on the server" in text
    assert home.uses(ONE) == ONE
    assert not home.notes


def test_nothing_is_kept_of_a_server_that_did_not_prove_itself(home: Home) -> None:
    trust = home.trust()
    assert trust.asks
    trust.decide(ONE)
    assert home.mark() is None
    assert home.uses(OTHER, trust=trust) == OTHER
    assert home.mark() == mark_of(OTHER)


def test_another_authority(home: Home) -> None:
    home.uses(ONE)
    text = refusal(lambda: home.uses(OTHER))
    assert home.mark() == mark_of(ONE)
    assert f"its authority is sha256:{mark_of(OTHER)}" in text and f"it was sha256:{mark_of(ONE)}" in text
    assert "somebody poses as the server, or it was set up anew" in text
    assert f"sluice trust --url wss://{SERVER} --ca-fingerprint {mark_of(OTHER)}` accepts it" in text
    assert f"`STATE_DIRECTORY={home.directory} sluice" in text


def test_accepted_meanwhile(home: Home) -> None:
    home.uses(ONE)
    trust = home.trust()
    refusal(lambda: home.uses(OTHER, trust=trust))
    home.known.put(SERVER, mark_of(OTHER))
    assert home.uses(OTHER, trust=trust) == OTHER


def test_each_server_by_its_own(home: Home) -> None:
    home.uses(ONE)
    home.uses(OTHER, "wss://203.0.113.7:8124")
    home.uses(OTHER, "wss://tunnel.example:8123")
    assert len(home.known.listing()[0]) == 3


def test_no_authority_any_more(home: Home) -> None:
    home.uses(ONE)
    text = refusal(lambda: home.uses(None))
    assert "it shows no authority of its own, and since 20" in text and mark_of(ONE) in text
    assert f"sluice trust --url wss://{SERVER} --forget` accepts it" in text


def test_a_public_certificate_is_remembered_too(home: Home) -> None:
    """Or who stands in between could show an authority where there was none."""
    assert home.uses(None) is None
    assert home.said().startswith(f"first use of {SERVER}: public authorities vouch for it; remembered in ")
    assert home.mark() == PUBLIC
    assert home.uses(None) is None
    text = refusal(lambda: home.uses(ONE))
    assert f"its authority is sha256:{mark_of(ONE)}, and since 20" in text
    assert "public authorities vouched for it" in text


@pytest.mark.parametrize(
    "url", ["wss://127.0.0.1:8123", "wss://[::1]:8123", "wss://localhost:8123", "wss://127.1.2.3:1"]
)
def test_this_machine_may_change(home: Home, url: str) -> None:
    home.uses(ONE, url)
    home.notes.clear()
    assert home.uses(OTHER, url) == OTHER
    ((level, text),) = home.notes
    assert level == logging.WARNING
    assert mark_of(ONE) in text and mark_of(OTHER) in text and "of this machine alone" in text
    assert home.mark(parse_server_url(url).authority) == mark_of(OTHER)
    assert home.uses(None, url) is None


def test_two_clients_at_once(home: Home) -> None:
    """Both use the server for the first time, and are shown different ones."""
    first, second = home.trust(), home.trust()
    first.decide(ONE)
    second.decide(OTHER)
    first.remember()
    assert mark_of(ONE) in refusal(second.remember)
    refusal(lambda: home.uses(OTHER, trust=second))
    assert home.uses(ONE, trust=second) == ONE


# Pinned


def test_pinned(home: Home) -> None:
    trust = home.trust(ca_fingerprint=mark_of(ONE))
    assert trust.asks and trust.verifies
    assert home.uses(ONE, trust=trust) == ONE
    text = refusal(lambda: home.uses(OTHER, trust=trust))
    assert f"its authority is sha256:{mark_of(OTHER)}, and --ca-fingerprint is sha256:{mark_of(ONE)}" in text
    assert "it shows no authority of its own, and" in refusal(lambda: home.uses(None, trust=trust))
    assert not home.directory.exists() and not home.notes


def test_pinned_at_this_machine_and_against_what_is_known(home: Home) -> None:
    home.uses(OTHER, "wss://127.0.0.1:1")
    trust = home.trust("wss://127.0.0.1:1", ca_fingerprint=mark_of(ONE))
    assert home.uses(ONE, trust=trust) == ONE
    refusal(lambda: home.uses(OTHER, trust=trust))


def test_a_public_port(home: Home) -> None:
    """443 is for certificates that everybody trusts, unless one is pinned, by flag or `sluice trust`."""
    url = "wss://tunnel.example"
    assert not home.trust(url).asks
    assert home.uses(ONE, url) is None
    assert home.mark("tunnel.example:443") is None
    pinned = home.trust(url, ca_fingerprint=mark_of(ONE))
    assert pinned.asks and home.uses(ONE, trust=pinned) == ONE
    home.known.put("tunnel.example:443", mark_of(ONE))
    assert home.trust(url).asks and home.uses(ONE, url) == ONE
    refusal(lambda: home.uses(OTHER, url))
    home.known.put("tunnel.example:443", PUBLIC)
    assert not home.trust(url).asks


@pytest.mark.parametrize("options", [{"insecure": True}, {"auto_tls": False}])
def test_nothing_is_asked(home: Home, options: dict[str, bool]) -> None:
    home.uses(ONE)
    trust = home.trust(**options)
    assert not trust.asks
    assert trust.verifies is not options.get("insecure", False)
    assert home.uses(None, trust=trust) is None


# What cannot be kept, or read


def test_where_nothing_can_be_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once; what was seen is trusted until the program ends."""

    def replace(*args: object, **kwargs: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(known_servers.state, "replace", replace)
    trust = home.trust()
    assert home.uses(ONE, trust=trust) == ONE
    text = home.said()
    assert text.startswith(f"{SERVER} cannot be remembered (") and "Read-only file system" in text
    assert text.endswith(f"End that with --ca-fingerprint sha256:{mark_of(ONE)}")
    assert home.uses(ONE, trust=trust) == ONE
    assert not home.notes
    text = refusal(lambda: home.uses(OTHER, trust=trust))
    assert text.endswith(f"Then a start with --ca-fingerprint {mark_of(OTHER)} accepts it")
    assert refusal(lambda: home.uses(None, trust=trust)).endswith("Then a start with --auto-tls=false accepts it")
    assert home.uses(OTHER) == OTHER  # another start
    home.notes.clear()
    home.uses(None)
    assert home.said().endswith("End that with --auto-tls=false")
    home.uses(ONE, "wss://127.0.0.1:1")
    assert not home.notes


def test_what_is_known_counts_though_nothing_can_be_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.uses(ONE)

    def replace(*args: object, **kwargs: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(known_servers.state, "replace", replace)
    refusal(lambda: home.uses(OTHER))
    home.notes.clear()
    assert home.uses(ONE) == ONE
    assert not home.notes


def test_what_cannot_be_read(home: Home) -> None:
    home.uses(ONE)
    assert home.known.path is not None
    Path(home.known.path).write_text("garbage\n")
    text = refusal(lambda: home.uses(ONE))
    assert "line 1 of" in text and "pin it with --ca-fingerprint" in text
    assert home.uses(ONE, "wss://tunnel.example") is None  # checked as any web site
    assert home.uses(ONE, trust=home.trust(ca_fingerprint=mark_of(ONE))) == ONE


def test_damaged_while_it_connects(home: Home) -> None:
    trust = home.trust()
    trust.decide(ONE)
    home.directory.mkdir()
    (home.directory / FILE).write_text("garbage\n")
    assert "line 1 of" in refusal(trust.remember)


# Certificates as they are shown


def test_only_one_is_looked_at(home: Home) -> None:
    """A second one would be trusted without being compared."""
    for shown in (
        ONE + OTHER,
        "",
        "x",
        ONE.replace("M", "!", 1),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    ):
        with pytest.raises(Distrusted, match="has no certificate at /.well-known/ca.crt but something else"):
            home.uses(shown)
    assert one_certificate(f"text before\n{ONE}\ntext after", "x") == ONE
    assert one_certificate(ONE.replace("\n", "\r\n"), "x") == ONE
    assert fingerprint_of(ONE) == mark_of(ONE)


# Own authorities


def test_own_authorities(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(f"# Größe\n{ONE}\n# another\n{OTHER}", "utf-8")
    trust = home.trust(tls_ca=str(path))
    assert trust.verifies and not trust.asks
    authorities = home.uses(None, trust=trust)
    assert authorities is not None and authorities.count("BEGIN") == 2
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authorities)
    assert len(context.get_ca_certs()) == 2
    assert not home.directory.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "holds no certificate that can be read: PEM is wanted"),
        (b"\x30\x82\x01\x00\xff", "holds no certificate that can be read: PEM is wanted"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a certificate in it is damaged"),
        (ONE[:200].encode(), "holds no certificate that can be read"),
    ],
)
def test_no_authorities(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_authorities(str(path))
    assert str(caught.value).startswith(f"--tls-ca {path}") and message in str(caught.value)
    with pytest.raises(ConfigError, match="Is a directory"):
        read_authorities(str(tmp_path))


def test_advice(home: Home, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(ONE)
    trust = home.trust()
    assert "public authorities do not vouch" in trust.advice(20)
    trust.decide(ONE)
    assert "somebody may pose as the server" in trust.advice(20)
    assert "--auto-tls-san" in trust.advice(62) and "--auto-tls-san" in trust.advice(64)
    assert "clocks" in trust.advice(10)
    assert "--tls-ca must hold" in home.trust(tls_ca=str(tmp_path / "ca.pem")).advice(19)
