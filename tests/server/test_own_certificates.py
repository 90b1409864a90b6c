"""Own certificates while the server runs: what is changed, half-written, broken, removed, and what stays in use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from appliance.certificates.store import Store
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.server import own_certificates
from appliance.server.own_certificates import OwnCertificates
from tests.end_to_end.house import until
from tests.stage.authority import Authority, certificates_of, key_of, write


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "certificates").mkdir()
    return tmp_path / "certificates"


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sluice.certificates")


def place(authority: Authority, path: Path, *names: str, **options: Any) -> Path:
    """One file with both; its time always differs from the one before."""
    pair = authority.pair(*names, **options)
    before = path.stat().st_mtime_ns if path.exists() else 0
    write(path, key_of(pair) + certificates_of(pair) + authority.pem)
    os.utime(path, ns=(before + 1_000_000, before + 1_000_000))
    return path


def made(**options: Any) -> tuple[OwnCertificates, Store]:
    store = Store()
    return OwnCertificates(HttpServerConfig(**options), store), store


def names(store: Store) -> list[str]:
    return [material.name for material in store.listing()]


def test_flags_come_first_in_their_order(authority: Authority, directory: Path) -> None:
    b, a = authority.issue("b.example"), authority.issue("a.example")
    place(authority, directory / "0.pem", "c.example")
    own, store = made(
        data_cert=(str(b[0]), str(a[0])), data_key=(str(b[1]), str(a[1])), data_cert_dir=(str(directory),)
    )
    own.load()
    assert names(store) == ["b.example", "a.example", "c.example"]
    assert store.find(None) is store.find("b.example")


def test_what_flags_name_must_be_good(authority: Authority, tmp_path: Path) -> None:
    certificate, key = map(str, authority.issue("a.example"))
    own, _ = made(data_cert=(certificate,), data_key=(str(authority.issue("b.example")[1]),))
    with pytest.raises(ConfigError, match="^--data-key .* does not belong to the certificate in --data-cert "):
        own.load()
    own, _ = made(data_cert=(certificate,), data_key=(key,), data_cert_dir=(str(tmp_path / "missing"),))
    with pytest.raises(ConfigError, match="^--data-cert-dir .*missing cannot be read: No such file or directory$"):
        own.load()


def test_what_is_wrong_in_a_directory_hurts_nobody_else(
    authority: Authority, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place(authority, directory / "expired.pem", "old.example", days=-2)
    place(authority, directory / "good.pem", "a.example")
    own, store = made(data_cert_dir=(str(directory),))
    own.load()
    assert names(store) == ["a.example"]
    (error,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert "expired.pem expired on" in error.getMessage()
    caplog.clear()
    own.look()
    own.look()
    assert not caplog.messages  # said once


def test_an_empty_directory_may_fill_later(
    authority: Authority, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own, store = made(data_cert_dir=(str(directory),))
    own.load()
    assert "no certificate with its key is there yet" in caplog.text
    place(authority, directory / "a.pem", "a.example")
    assert own.look() == 1
    assert names(store) == ["a.example"]


def test_a_change_is_taken_over(authority: Authority, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = place(authority, directory / "a.pem", "a.example")
    own, store = made(data_cert_dir=(str(directory),))
    own.load()
    before = store.find("a.example")
    assert own.look() == 0
    place(authority, path, "a.example", "b.example")
    assert own.look() == 1
    assert store.find("b.example") is not before
    assert "new certificate for a.example, b.example, good until" in caplog.messages[-1]
    os.utime(path, ns=(5, 5))  # touched, and the same
    assert own.look() == 0


def test_flags_files_are_watched_too(authority: Authority) -> None:
    files = authority.issue("a.example")
    own, store = made(data_cert=(str(files[0]),), data_key=(str(files[1]),))
    own.load()
    authority.issue("a.example", "b.example")
    assert own.look() == 1 and store.covers("b.example")
    files[1].unlink()
    assert own.look() == own.look() == 0
    assert store.covers("b.example")


def test_half_written_files(authority: Authority, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """First the certificate, then its key, each in two writes, as careless programs do; a look after each."""
    before = authority.pair("a.example")
    certificate, key = directory / "a.crt", directory / "a.key"
    certificate.write_bytes(certificates_of(before))
    key.write_bytes(key_of(before))
    own, store = made(data_cert_dir=(str(directory),))
    own.load()
    caplog.clear()
    old = store.find("a.example")
    pair = authority.pair("a.example")
    for path, content in ((certificate, certificates_of(pair)), (key, key_of(pair))):
        for part in (content[:90], content):
            assert store.find("a.example") is old
            path.write_bytes(part)
            own.look()
    assert store.find("a.example") is not old
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR") and "chain" not in
                record.getMessage()]  # fmt: skip


def test_a_mistake_that_stays_is_told_once(
    authority: Authority, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = place(authority, directory / "a.pem", "a.example")
    own, store = made(data_cert_dir=(str(directory),))
    own.load()
    caplog.clear()
    old = store.find("a.example")
    path.write_bytes(path.read_bytes().replace(b"BEGIN CERTIFICATE-----\nMII", b"BEGIN CERTIFICATE-----\nXXX"))
    assert own.look() == 0 and not caplog.messages
    assert own.look() == 0
    (message,) = caplog.messages
    assert "holds no certificate that can be read" in message
    assert message.endswith("the one before it, for a.example, stays in use")
    assert own.look() == 0 and len(caplog.messages) == 1
    assert store.find("a.example") is old
    assert own.reload() == 0 and len(caplog.messages) == 2  # who asks is told again


def test_what_is_removed_goes_at_the_second_look(
    authority: Authority, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        place(authority, directory / f"{name}.pem", f"{name}.example")
    own, store = made(data_cert_dir=(str(directory),))
    own.load()
    (directory / "a.pem").unlink()
    assert own.look() == 0 and store.covers("a.example")
    assert own.look() == 1 and names(store) == ["b.example"]
    assert "a.pem is gone, and with it the certificate for a.example" in caplog.messages[-1]
    place(authority, directory / "a.pem", "a.example")
    assert own.look() == 1 and names(store) == ["b.example", "a.example"]


def test_the_last_one_stays(authority: Authority, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = place(authority, directory / "a.pem", "a.example")
    own, store = made(data_cert_dir=(str(directory),))
    own.load()
    path.unlink()
    for _ in range(4):
        own.look()
    own.reload()
    assert names(store) == ["a.example"]
    assert [message for message in caplog.messages if "being the last certificate, it stays in use" in message]
    place(authority, path, "a.example")
    assert own.look() == 1


def test_a_directory_that_goes_away_takes_nothing_with_it(
    authority: Authority, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        place(authority, directory / f"{name}.pem", f"{name}.example")
    own, store = made(data_cert_dir=(str(directory),))
    own.load()
    caplog.clear()
    moved = directory.with_name("moved")
    directory.rename(moved)
    for _ in range(3):
        own.look()
    assert names(store) == ["a.example", "b.example"]
    (message,) = caplog.messages
    assert "cannot be read any more: No such file or directory: the certificates from it stay in use" in message
    shutil.copytree(moved, directory)
    place(authority, directory / "a.pem", "c.example")
    own.look()
    assert names(store) == ["c.example", "b.example"]


def test_certbots_links(authority: Authority, directory: Path) -> None:
    """live/NAME/*.pem are links into archive/, turned over at a renewal."""
    live, archive = directory / "live" / "a.example", directory / "archive" / "a.example"
    for folder in (live, archive):
        folder.mkdir(parents=True)

    def renew(number: int, *names: str) -> None:
        pair = authority.pair(*names)
        for stem, content in (("fullchain", certificates_of(pair) + authority.pem), ("privkey", key_of(pair))):
            (archive / f"{stem}{number}.pem").write_bytes(content)
            link = live / f"{stem}.pem"
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../archive/a.example/{stem}{number}.pem")

    renew(1, "a.example")
    for given in (directory, directory / "live"):
        own, store = made(data_cert_dir=(str(given),))
        own.load()
        assert names(store) == ["a.example"]
    renew(2, "a.example", "b.example")
    assert own.look() == 1 and store.covers("b.example")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(own_certificates, "LOOK_SECONDS", 0.01)
    yield


@pytest.mark.usefixtures("hurried")
def test_it_looks_by_itself(authority: Authority, directory: Path) -> None:
    own, store = made(data_cert_dir=(str(directory),))
    own.load()
    own.start()
    try:
        place(authority, directory / "a.pem", "a.example")
        until(lambda: names(store) == ["a.example"], "it is found")
    finally:
        own.stop()
    gevent.sleep(0)
    own.stop()
