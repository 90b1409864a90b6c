"""What is looked at on this machine, with a machine that lacks it."""

import os
import resource
import shutil
import socket
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from appliance.cli.doctor import machine
from appliance.cli.doctor.findings import ERROR, OK, WARNING, Finding


def named(check: str) -> list[Finding]:
    return [finding for finding in machine.look() if finding.check == check]


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))


def test_every_problem_has_a_fix() -> None:
    found = list(machine.look())
    assert {finding.check for finding in found} == {"version", "clock", "descriptors", "state", "network"}
    assert all(finding.fix for finding in found if finding.level != OK)


def test_a_clock_that_was_never_set(monkeypatch: pytest.MonkeyPatch) -> None:
    class Datetime(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Datetime":
            return cls(1970, 1, 1, tzinfo=timezone.utc)

    monkeypatch.setattr(machine, "datetime", Datetime)
    (found,) = named("clock")
    assert found.level == ERROR and "1970-01-01" in found.text


@pytest.mark.parametrize(("known", "level"), [(True, OK), (None, OK), (False, WARNING)])
def test_a_clock_that_nothing_keeps(monkeypatch: pytest.MonkeyPatch, known: bool | None, level: str) -> None:
    monkeypatch.setattr(machine, "_synchronised", lambda: known)
    assert [finding.level for finding in named("clock")] == [level]


@pytest.mark.parametrize(("apart", "level"), [(0, OK), (-20, OK), (300, WARNING), (-300, WARNING), (8000, ERROR)])
def test_two_clocks(apart: int, level: str) -> None:
    theirs = datetime.now(timezone.utc) + timedelta(seconds=apart)
    found = machine.compare_clock(theirs, time.time(), "the server")
    assert found.level == level
    if level != OK:
        assert ("behind" if apart > 0 else "ahead of") in found.text and found.fix


def test_few_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.resource, "getrlimit", lambda what: (256, 1024))
    (found,) = named("descriptors")
    assert found.level == WARNING and "LimitNOFILE" in found.fix
    monkeypatch.setattr(machine.resource, "getrlimit", lambda what: (64, 64))
    (found,) = named("descriptors")
    assert found.level == ERROR and "no visitor at all" in found.text and "LimitNOFILE" in found.fix
    monkeypatch.setattr(machine.resource, "getrlimit", lambda what: (256, resource.RLIM_INFINITY))
    assert named("descriptors")[0].level == OK


def test_state_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.state_directory(None).level == OK
    new = machine.state_directory(str(tmp_path / "a" / "b"))
    assert new.level == OK and "can be made" in new.text and not (tmp_path / "a").exists()
    refused = machine.state_directory("/proc")
    assert (
        refused.level == ERROR and "/proc cannot be written to by" in refused.text and "--auto-tls-path" in refused.fix
    )
    assert "cannot be made" in machine.state_directory("/proc/sluice").text
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 1 << 20))  # type: ignore[attr-defined]
    assert machine.state_directory(None).text.endswith("has only 1 MiB left")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert machine.state_directory(None).level == WARNING


@pytest.mark.parametrize(
    ("four", "six", "level"), [(True, True, OK), (True, False, OK), (False, True, WARNING), (False, False, WARNING)]
)
def test_networks(monkeypatch: pytest.MonkeyPatch, four: bool, six: bool, level: str) -> None:
    monkeypatch.setattr(machine, "has_route", lambda family: four if family == socket.AF_INET else six)
    assert [finding.level for finding in named("network")] == [level]


def test_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.example.com:3128")
    monkeypatch.setenv("http_proxy", "socks5://proxy.example.com")
    monkeypatch.setenv("ALL_PROXY", "http://h:port")
    good, other, odd = named("proxy")
    assert good.level == OK and "http://proxy.example.com:3128" in good.text and "secret" not in good.text
    assert other.level == odd.level == ERROR and "HTTP_PROXY" in other.text and "ALL_PROXY" in odd.text
