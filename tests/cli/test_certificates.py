"""`sluice certificates`: what this machine keeps, what a server has in use, and what is said where neither is."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from appliance.certificates.authority import ensure
from appliance.certificates.material import described
from appliance.cli import certificates
from appliance.cli.certificates_text import render
from appliance.cli.main import run
from tests.stage.material import material

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
MOMENT = NOW.timestamp()


def listed(*names: str, plane: str = "data", days: float = 60, **options: Any) -> dict[str, Any]:
    return described(material(*names, expires=MOMENT + days * 86400, **options), plane)


def test_the_text_to_the_character() -> None:
    automatic = listed("vps", "127.0.0.1", plane="control", source="automatic", renews=NOW + timedelta(days=9.5))
    assert render(
        {"fingerprint": "ab" * 32, "expires": "2036-11-22T12:00:00+00:00"}, [automatic, listed("a.example")], [], NOW
    ).splitlines() == [
        "Authority of the control plane:",
        "Fingerprint: sha256:" + "ab" * 32,
        "Expires:     2036-11-22 12:00 UTC",
        "",
        "Certificates:",
        "Plane   From      Expires              Renews               Issuer           Names",
        "control automatic 2027-01-21 12:00 UTC 2026-12-02 00:00 UTC Let's Encrypt E7 vps, 127.0.0.1",
        "data    own       2027-01-21 12:00 UTC -                    Let's Encrypt E7 a.example",
    ]


def test_nothing_and_what_is_over() -> None:
    assert render(None, [], [], NOW) == "Certificates:\nNone yet."
    text = render({"fingerprint": None}, [listed("a.example", days=-1)], [], NOW)
    assert "2026-11-21 12:00 UTC (over) -" in text
    assert "Fingerprint: sha256:unknown\n\nCertificates:" in text


def test_what_a_server_says_is_not_trusted_to_be_sensible() -> None:
    text = render(None, [{"names": ["a\x1b[2J"], "expires": 5, "renews": "soon"}, {}], [], NOW)
    assert text.splitlines()[2:] == [
        "unknown unknown   unknown              unknown              unknown          a?[2J",
        "unknown unknown   unknown              -                    unknown          unknown",
    ]


def test_names_that_wait() -> None:
    late = {
        "name": "a.example",
        "failures": 3,
        "reason": "the CA says \x1b[2J",
        "nextTry": "2026-11-22T14:00:00+00:00",
        "expires": "2026-12-01T00:00:00+00:00",
    }
    assert render(None, [], [late, {"name": "b.example", "failures": 0}], NOW).splitlines()[2:] == [
        "",
        "Waiting for a new one:",
        "Name         In use until         Tried    Next try             Why",
        "a.example    2026-12-01 00:00 UTC 3 times  2026-11-22 14:00 UTC the CA says ?[2J",
        "b.example    none yet             not yet  now                  -",
    ]


# ---- this machine's


def test_what_this_machine_keeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = ensure(tmp_path, ["203.0.113.7"], "vps")
    before = states(tmp_path)
    assert run(["certificates", "--auto-tls-path", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert f"Fingerprint: sha256:{kept.fingerprint}\n" in text
    assert text.splitlines()[-1].endswith(" 203.0.113.7, vps, localhost, 127.0.0.1, ::1")
    assert run(["certificates", "--auto-tls-path", str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["certificates"] == [described(kept, "control")]
    assert answer["authority"]["file"] == str(tmp_path / "authority.pem")
    assert states(tmp_path) == before  # only looked at


def states(directory: Path) -> list[tuple[int, ...]]:
    found = (path.stat() for path in directory.iterdir())
    return sorted((one.st_ino, one.st_mtime_ns, one.st_mode, one.st_size) for one in found)


def test_where_nothing_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        assert run(["certificates", "--auto-tls-path", str(path)]) == 0
        out, err = capsys.readouterr()
        assert out == "Certificates:\nNone yet.\n"
        assert err.startswith(f"No certificates are kept in {path}. ") and "--url" in err
    assert not (tmp_path / "missing").exists()


def test_files_that_are_not_for_us(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def listdir(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(certificates.os, "listdir", listdir)
    assert run(["certificates", "--auto-tls-path", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        f"Error: {tmp_path} cannot be read (Permission denied): run this as the user that the server"
    )


def test_a_damaged_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ensure(tmp_path, [], "vps")
    (tmp_path / "server.pem").write_bytes(b"half a")
    assert run(["certificates", "--auto-tls-path", str(tmp_path)]) == 1
    assert "server.pem holds no certificate" in capsys.readouterr().err


# ---- a server's


def asked(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], *flags: str) -> int:
    def fetch(url: Any, token: str, options: Any) -> tuple[bytes, datetime]:
        assert (str(url.authority), token) == ("a.example:8123", "x")
        return json.dumps({"info": {}, "clients": [], **answer}).encode(), NOW

    monkeypatch.setattr(certificates, "fetch", fetch)
    return run(["certificates", "--url", "wss://a.example:8123", "--token", "x", *flags])


def test_what_a_server_has_in_use(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    control, data = listed("vps", plane="control", source="automatic"), listed("a.example", source="acme")
    assert asked(monkeypatch, {"certificates": [control, data]}) == 0
    text = capsys.readouterr().out
    assert "Fingerprint: sha256:abab" in text and "Expires:  " not in text
    assert "data    acme      2027-01-21 12:00 UTC" in text
    assert asked(monkeypatch, {"certificates": [data]}, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"authority": None, "certificates": [data], "overdue": []}


def test_a_server_whose_names_wait(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    late = {"name": "b.example", "failures": 1, "reason": "no address", "nextTry": None, "expires": None}
    assert asked(monkeypatch, {"certificates": [], "certificatesOverdue": [late, "x"]}) == 0
    text = capsys.readouterr().out
    assert "b.example    none yet             once     now                  no address" in text
    assert asked(monkeypatch, {"certificates": [], "certificatesOverdue": "x"}, "--json") == 0
    assert json.loads(capsys.readouterr().out)["overdue"] == []


@pytest.mark.parametrize("answer", [{}, {"certificates": {}}, {"certificates": ["x"]}])
def test_a_server_that_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: dict[str, Any]
) -> None:
    assert asked(monkeypatch, answer) == 1
    assert "tells nothing of certificates" in capsys.readouterr().err
