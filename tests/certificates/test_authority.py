"""The authority's files, their renewal, and handshakes with what it issues."""

import json
import logging
import os
import re
import ssl
import stat
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509

from appliance.certificates import keyfile
from appliance.certificates.authority import AUTHORITY_FILE, SERVER_FILE, ensure, state_directory
from appliance.certificates.issue import new_authority
from appliance.certificates.material import Material
from appliance.config.options import ConfigError

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)


def handshake(material: Material, trusted_pem: bytes, name: str) -> Mapping[str, object]:
    """A TLS handshake in memory, as strict as Python 3.13's default; the certificate that the client saw."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(material.certificate_file, material.key_file)
    client_context = ssl.create_default_context(cadata=trusted_pem.decode())
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
    seen = client.getpeercert()
    assert seen is not None
    return seen


def test_the_first_call_makes_an_authority_and_the_next_keeps_all(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "state"
    first = ensure(directory, ["example.com"], "box")
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert ensure(directory, ["example.com"], "box") == first
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert first.ca_pem is not None and first.ca_pem.startswith(b"-----BEGIN CERTIFICATE-----")
    assert re.fullmatch("[0-9a-f]{64}", first.fingerprint)
    assert first.expires > NOW + 364 * DAY


def test_directory_and_files_are_private(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    ensure(directory, [], "box")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


NAMES = "127.0.0.1 ::1 localhost 10.1.2.3 2001:db8::5 tunnel.example.com a.apps.example box"


@pytest.mark.parametrize("name", NAMES.split())
def test_strict_clients_accept_every_name(tmp_path: Path, name: str) -> None:
    names = ["10.1.2.3", "2001:db8::5", "tunnel.example.com", "*.apps.example"]
    material = ensure(tmp_path, names, "box")
    assert material.ca_pem is not None
    assert handshake(material, material.ca_pem, name)


@pytest.mark.parametrize("name", ["10.1.2.4", "::2", "example.org"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    material = ensure(tmp_path, ["10.1.2.3"], "box")
    assert material.ca_pem is not None
    with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|not valid for"):
        handshake(material, material.ca_pem, name)


def test_another_authority_is_not_trusted(tmp_path: Path) -> None:
    material = ensure(tmp_path / "one", [], "box")
    other = ensure(tmp_path / "two", [], "box")
    assert other.ca_pem is not None
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(material, other.ca_pem, "localhost")


def test_a_new_wanted_name_renews_the_server_and_keeps_the_authority(tmp_path: Path) -> None:
    first = ensure(tmp_path, [], "box")
    before = (tmp_path / SERVER_FILE).read_bytes()
    second = ensure(tmp_path, ["new.example.com"], "box")
    assert second.fingerprint == first.fingerprint
    assert (tmp_path / SERVER_FILE).read_bytes() != before
    assert first.ca_pem is not None
    assert handshake(second, first.ca_pem, "new.example.com")


def test_a_name_no_longer_wanted_changes_nothing(tmp_path: Path) -> None:
    ensure(tmp_path, ["old.example.com"], "box")
    before = (tmp_path / SERVER_FILE).read_bytes()
    ensure(tmp_path, [], "box")
    assert (tmp_path / SERVER_FILE).read_bytes() == before


@pytest.mark.parametrize(("days", "renewed"), [(0, False), (242, False), (245, True), (370, True)])
def test_the_server_is_renewed_after_two_thirds_of_its_life(tmp_path: Path, days: int, renewed: bool) -> None:
    first = ensure(tmp_path, [], "box", now=NOW)
    second = ensure(tmp_path, [], "box", now=NOW + days * DAY)
    assert (second.expires > first.expires) is renewed
    assert second.fingerprint == first.fingerprint


def test_an_authority_near_its_end_is_replaced_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = ensure(tmp_path, [], "box", now=NOW)
    assert ensure(tmp_path, [], "box", now=NOW + 3550 * DAY).fingerprint == first.fingerprint
    assert not caplog.records
    before = (tmp_path / AUTHORITY_FILE).read_bytes()
    assert ensure(tmp_path, [], "box", now=NOW + 3600 * DAY).fingerprint != first.fingerprint
    assert "clients must trust the new one" in caplog.text
    assert (tmp_path / f"{AUTHORITY_FILE}.old").read_bytes() == before  # the clock may have been wrong


def test_an_authority_that_goes_while_the_server_runs_is_not_replaced(tmp_path: Path) -> None:
    first = ensure(tmp_path, [], "box")
    assert ensure(tmp_path, [], "box", running=True).fingerprint == first.fingerprint
    (tmp_path / AUTHORITY_FILE).unlink()
    with pytest.raises(ConfigError, match="is gone: put it back"):
        ensure(tmp_path, [], "box", running=True)
    assert not (tmp_path / AUTHORITY_FILE).exists()


def test_no_authority_is_made_by_a_clock_that_cannot_be_right(tmp_path: Path) -> None:
    """It would have ended when the clock is set, and clients would have trusted it."""
    with pytest.raises(ConfigError, match="clock says 1972-01-01 00:00 UTC: set it"):
        ensure(tmp_path, [], "box", now=datetime(1972, 1, 1, tzinfo=timezone.utc))
    assert not (tmp_path / AUTHORITY_FILE).exists()


def test_a_clock_that_runs_behind_does_not_cost_the_authority(tmp_path: Path) -> None:
    first = ensure(tmp_path, [], "box")
    with pytest.raises(ConfigError, match="set the clock") as caught:
        ensure(tmp_path, [], "box", now=datetime(1970, 1, 1, tzinfo=timezone.utc))
    assert AUTHORITY_FILE in str(caught.value)
    assert ensure(tmp_path, [], "box") == first


def test_a_server_of_another_authority_is_replaced(tmp_path: Path) -> None:
    ensure(tmp_path / "one", [], "box")
    ensure(tmp_path / "two", [], "box")
    os.replace(tmp_path / "two" / AUTHORITY_FILE, tmp_path / "one" / AUTHORITY_FILE)
    material = ensure(tmp_path / "one", [], "box")
    assert material.ca_pem is not None
    assert handshake(material, material.ca_pem, "localhost")


def _halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _garbled(path: Path) -> None:
    path.write_bytes(os.urandom(500))


def _without_certificate(path: Path) -> None:
    path.write_bytes(path.read_bytes().split(b"-----BEGIN CERTIFICATE")[0])


def _with_other_key(path: Path) -> None:
    whole = path.read_bytes()
    keyfile.write(path, new_authority(NOW))
    other_key = path.read_bytes().split(b"-----BEGIN CERTIFICATE")[0]
    path.write_bytes(other_key + whole[whole.index(b"-----BEGIN CERTIFICATE") :])


DAMAGES = [_halved, _emptied, _garbled, _without_certificate, _with_other_key]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_authority_stops_with_what_to_do(tmp_path: Path, damage: object) -> None:
    ensure(tmp_path, [], "box")
    assert callable(damage)
    damage(tmp_path / AUTHORITY_FILE)
    with pytest.raises(ConfigError, match=r"is damaged .* delete it") as caught:
        ensure(tmp_path, [], "box")
    assert str(tmp_path / AUTHORITY_FILE) in str(caught.value)
    assert "\n" not in str(caught.value) and "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_server_file_is_made_anew_and_told(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    first = ensure(tmp_path, [], "box")
    assert callable(damage)
    damage(tmp_path / SERVER_FILE)
    second = ensure(tmp_path, [], "box")
    assert second.fingerprint == first.fingerprint and second.ca_pem is not None
    assert handshake(second, second.ca_pem, "localhost")
    assert "is damaged" in caplog.text


def test_what_a_crash_left_behind_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / (AUTHORITY_FILE + ".new")).write_bytes(b"half")
    material = ensure(tmp_path, [], "box")
    assert material.ca_pem is not None and handshake(material, material.ca_pem, "localhost")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authority.lock", AUTHORITY_FILE, SERVER_FILE]


def test_a_crash_before_the_rename_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ensure(tmp_path, [], "box")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        with pytest.raises(ConfigError, match=r"No space left on device: .*--auto-tls-path"):
            ensure(tmp_path, ["new.example.com"], "box")
    assert ensure(tmp_path, [], "box") == first


def test_a_file_that_others_could_read_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ensure(tmp_path, [], "box")
    (tmp_path / AUTHORITY_FILE).chmod(0o644)
    ensure(tmp_path, [], "box")
    assert stat.S_IMODE((tmp_path / AUTHORITY_FILE).stat().st_mode) == 0o600
    assert "could be read by others" in caplog.text


def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match=r"others may write there.*--auto-tls-path"):
        ensure(tmp_path, [], "box")


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--auto-tls-path"):
        ensure(tmp_path / "file", [], "box")
    with pytest.raises(ConfigError, match="--auto-tls-path"):
        ensure(tmp_path / "file" / "below", [], "box")


def test_a_bad_name_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--auto-tls-san 'a b' is neither"):
        ensure(tmp_path / "state", ["a b"], "box")
    assert not (tmp_path / "state").exists()


def test_a_lock_that_is_never_let_go_ends_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "LOCK_SECONDS", 0.05)
    with keyfile.locked(tmp_path), pytest.raises(ConfigError, match=r"another process holds .*lock"):
        ensure(tmp_path, [], "box")
    assert ensure(tmp_path, [], "box")


def test_good_files_need_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ensure(tmp_path, [], "box")
    monkeypatch.setattr(keyfile, "LOCK_SECONDS", 0.0)
    with keyfile.locked(tmp_path):
        assert ensure(tmp_path, [], "box") == first


START_TOGETHER = """
import json, sys
from pathlib import Path
from appliance.certificates.authority import ensure
print("ready", flush=True)
sys.stdin.read(1)
print(json.dumps(ensure(Path(sys.argv[1]), [], "box").fingerprint))
"""


def test_servers_that_start_together_share_one_authority(tmp_path: Path) -> None:
    package_root = Path(__file__).parents[2]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", START_TOGETHER, str(tmp_path / "state")],
            cwd=package_root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    try:
        for child in children:
            assert child.stdout is not None and child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("g")
            child.stdin.flush()
        fingerprints = {json.loads(child.communicate(timeout=30)[0]) for child in children}
    finally:
        for child in children:
            child.kill()
            child.communicate()
    assert fingerprints == {ensure(tmp_path / "state", [], "box").fingerprint}


def test_nothing_secret_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    material = ensure(tmp_path, [], "box")
    assert material.fingerprint in caplog.text
    assert "PRIVATE" not in caplog.text and "PRIVATE" not in repr(material)


@pytest.mark.parametrize(
    ("flag", "environ", "uid", "expected"),
    [
        ("/srv/tls", {"STATE_DIRECTORY": "/s"}, 0, "/srv/tls"),
        (None, {"STATE_DIRECTORY": "/var/lib/tunnel:/var/lib/other"}, 1000, "/var/lib/tunnel"),
        (None, {"HOME": "/root", "XDG_STATE_HOME": "/x"}, 0, "/var/lib/sluice"),
        (None, {"HOME": "/home/u", "XDG_STATE_HOME": "/x"}, 1000, "/x/sluice"),
        (None, {"HOME": "/home/u", "XDG_STATE_HOME": "relative"}, 1000, "/home/u/.local/state/sluice"),
        ("", {"HOME": "/home/u"}, 1000, "/home/u/.local/state/sluice"),
    ],
)
def test_where_the_state_is_kept(
    monkeypatch: pytest.MonkeyPatch, flag: str | None, environ: dict[str, str], uid: int, expected: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert state_directory(flag, environ) == Path(expected)


def test_no_home_asks_for_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="--auto-tls-path"):
        state_directory(None, {})


def test_the_served_chain_ends_with_the_authority(tmp_path: Path) -> None:
    material = ensure(tmp_path, [], "box")
    served = x509.load_pem_x509_certificates(material.certificate_file.read_bytes())
    assert material.ca_pem is not None
    assert served[1:] == x509.load_pem_x509_certificates(material.ca_pem)
