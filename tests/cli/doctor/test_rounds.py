"""What is looked at where no flag says it."""

import json
from pathlib import Path

import pytest

from appliance.cli.doctor import machine, rounds
from appliance.cli.doctor.findings import OK, Finding
from appliance.cli.main import run


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(rounds, "USUAL_PLACE", str(tmp_path))
    monkeypatch.setattr(machine, "look", lambda: iter([Finding("version", OK, "new")]))
    return tmp_path


def looked_at(capsys: pytest.CaptureFixture[str], *flags: str, status: int = 0) -> list[str]:
    assert run(["doctor", "--json", *flags]) == status
    return list(dict.fromkeys(one["about"] for one in json.loads(capsys.readouterr().out)["findings"]))


def test_this_machine_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert looked_at(capsys) == ["this machine", str(place)]
    assert looked_at(capsys, "--name", "localhost") == ["this machine", "names"]
    assert run(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "there is no server.toml and no client.toml, so nothing" in said and "-> --config FILE looks at" in said
    assert said.endswith("All is well.\n")
    place.rmdir()
    assert looked_at(capsys) == ["this machine", str(place)]


def test_files_where_they_usually_are(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "client.toml").write_text('url = "ws://127.0.0.1:1"\ntoken = "0123456789abcdef0123"\nlocal = "1:a:1"\n')
    (place / "client.toml").chmod(0o600)
    (place / "server.toml").write_text("nonsense")
    server, client = str(place / "server.toml"), f"sluice client --config {place / 'client.toml'}"
    assert looked_at(capsys, status=1) == ["this machine", server, client]


def test_a_place_that_is_closed(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds.os, "access", lambda path, mode: False)
    assert looked_at(capsys) == ["this machine", str(place)]
