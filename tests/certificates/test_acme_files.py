"""What is kept of an ACME issuer, and when that says that a certificate is to be renewed."""

from __future__ import annotations

import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from appliance.certificates.acme_files import Account, AcmeFiles, Record, prepare, renewal_time, stored
from appliance.certificates.material import ACME
from appliance.config.options import ConfigError
from tests.certificates.issuing import issue

URL = "https://ca.example:14000/dir"
NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
LIFE = 90 * DAY


@pytest.fixture
def files(tmp_path: Path) -> AcmeFiles:
    return prepare(tmp_path / "state", URL)


def test_nobody_else_may_look(tmp_path: Path, files: AcmeFiles) -> None:
    files.keep_account(Account("key"))
    files.keep_record("a.example", Record())
    files.keep_certificate("a.example", *issue("a.example", NOW, LIFE))
    with files.alone():
        for path in (tmp_path / "state").rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_everything_comes_back_as_it_was(files: AcmeFiles) -> None:
    assert files.account() is None
    assert files.record("a.example") == files.issuer() == Record()
    assert files.certificate("a.example") is None
    account = Account("key", "https://ca.example/account/1", "me@example.com")
    record = Record(failures=2, since=1.5, until=3.0, told=True, reason="no", window=(1.0, 2.0), order="https://o")
    pair, chain = issue("a.example", NOW, LIFE)
    files.keep_account(account)
    files.keep_record("a.example", record)
    files.keep_issuer(Record(failures=7))
    files.keep_certificate("a.example", pair, chain)
    again = AcmeFiles(files.directory)
    assert again.account() == account
    assert again.record("a.example") == record
    assert again.issuer() == Record(failures=7)
    found = again.certificate("a.example")
    assert found is not None
    assert (found[0].certificate, found[1]) == (pair.certificate, chain)


def test_each_issuer_has_its_own_place(tmp_path: Path) -> None:
    urls = [URL, "https://ca.example:14000/other", "https://ca.example/dir", "https://acme.example/dir"]
    assert len({prepare(tmp_path, url).directory for url in urls}) == 4


@pytest.mark.parametrize(
    "damaged", ["", "{", "[]", '{"key": 5}', "null", '{"key": "k", "uri": ["x"]}', "\x00" * 50, '{"uri": "no key"}']
)
def test_a_damaged_account_is_none(files: AcmeFiles, damaged: str, caplog: pytest.LogCaptureFixture) -> None:
    (files.directory / "account.json").write_text(damaged)
    assert files.account() is None
    assert "account.json cannot be used" in caplog.text


@pytest.mark.parametrize(
    "damaged", ['{"failures": "many"}', '{"window": [1]}', '{"window": 3}', '{"until": null}', "x"]
)
def test_a_damaged_record_is_forgotten(files: AcmeFiles, damaged: str) -> None:
    (files.directory / "names" / "a.example.json").write_text(damaged)
    assert files.record("a.example") == Record()


def test_a_record_of_another_version_is_read(files: AcmeFiles) -> None:
    (files.directory / "names" / "a.example.json").write_text('{"since": 3, "later_added": true}')
    assert files.record("a.example") == Record(since=3.0)


def test_a_damaged_certificate_is_none(files: AcmeFiles, caplog: pytest.LogCaptureFixture) -> None:
    path = files.directory / "names" / "a.example.pem"
    path.write_text("nothing")
    path.chmod(0o600)
    assert files.certificate("a.example") is None
    assert "another certificate is ordered" in caplog.text


def test_one_process_at_a_time(files: AcmeFiles) -> None:
    with files.alone() as first, AcmeFiles(files.directory).alone() as second:
        assert (first, second) == (True, False)
    with files.alone() as again:
        assert again


def test_what_is_shown(tmp_path: Path, files: AcmeFiles) -> None:
    for name, wanted in (("a.example", True), ("gone.example", False)):
        files.keep_certificate(name, *issue(name, NOW, LIFE))
        files.keep_record(name, Record(wanted=wanted))
    one, gone = stored(tmp_path / "state", NOW)
    assert (one.names, one.source, one.expires) == (("a.example",), ACME, NOW + LIFE)
    assert one.renews is not None
    assert NOW + 0.6 * LIFE < one.renews <= NOW + LIFE * 2 / 3
    assert (gone.name, gone.renews) == ("gone.example", None)
    assert stored(tmp_path / "nowhere", NOW) == []


def test_a_failure_moves_the_renewal(files: AcmeFiles) -> None:
    pair, _ = issue("a.example", NOW, LIFE)
    until = NOW + 80 * DAY
    material = files.material_of("a.example", pair.certificate, Record(until=until.timestamp()), NOW)
    assert material.renews == until


def test_renewals_are_spread_and_keep_their_moment() -> None:
    certificates = [issue("a.example", NOW, LIFE)[0].certificate for _ in range(20)]
    moments = [renewal_time(certificate, Record(), NOW) for certificate in certificates]
    assert all(NOW + LIFE * 0.61 <= moment <= NOW + LIFE * 2 / 3 for moment in moments)
    assert len(set(moments)) == 20
    assert moments == [renewal_time(certificate, Record(), NOW + DAY) for certificate in certificates]


def test_the_issuers_wish_comes_first() -> None:
    certificate = issue("a.example", NOW, LIFE)[0].certificate
    for chosen, taken in ((NOW + 5 * DAY, NOW + 5 * DAY), (NOW + 400 * DAY, NOW + LIFE * 0.9)):
        record = Record(chosen=chosen.timestamp(), issued=NOW.timestamp())
        assert renewal_time(certificate, record, NOW) == taken
    urgent = Record(chosen=(NOW - 5 * DAY).timestamp(), issued=NOW.timestamp())
    assert renewal_time(certificate, urgent, NOW) == NOW + DAY  # not again and again


def test_a_clock_that_is_ahead_does_not_order_again_and_again() -> None:
    certificate = issue("a.example", NOW, LIFE)[0].certificate
    ahead = NOW + 365 * DAY
    record = Record(issued=ahead.timestamp())
    assert renewal_time(certificate, record, ahead) == ahead + LIFE / 2
    # Set right again, it is as if it had never been wrong.
    assert renewal_time(certificate, record, NOW + DAY) == renewal_time(certificate, Record(), NOW)


def test_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "acme").write_text("a file")
    with pytest.raises(ConfigError, match="cannot keep certificates in .*--auto-tls-path"):
        prepare(tmp_path, URL)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(ConfigError, match="no safe place for keys"):
        prepare(open_to_all, URL)
