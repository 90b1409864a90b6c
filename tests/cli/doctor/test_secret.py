"""Everything that is wrong with a token is said, not the first of it alone."""

from pathlib import Path

import pytest

from appliance.cli.doctor import secret
from appliance.cli.doctor.findings import ERROR, OK, WARNING
from appliance.config.shared import TokenOptions

LONG = "0123456789abcdef0123"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(LONG)
    path.chmod(0o600)
    return path


def looked_at(path: Path) -> list[tuple[str, str, str]]:
    return [finding[1:] for finding in secret.look(TokenOptions(token_file=str(path)))]


def test_a_good_one(file: Path) -> None:
    assert looked_at(file) == [(OK, "it can be read, and is long enough", "")]
    file.chmod(0o640)
    assert [level for level, _, _ in looked_at(file)] == [OK]


def test_all_that_is_wrong(file: Path) -> None:
    file.write_text("short")
    file.chmod(0o644)
    read, short = looked_at(file)
    assert read == (WARNING, f"everybody here may read {file}", f"chmod o= {file}")
    assert short[1] == "it has 5 signs only, which can be guessed" and "(umask 077; head" in short[2]


@pytest.mark.parametrize(("mode", "who"), [(0o666, "everybody here"), (0o622, "everybody here"), (0o660, "its group")])
def test_one_that_others_may_change(file: Path, mode: int, who: str) -> None:
    file.chmod(mode)
    assert looked_at(file) == [(WARNING, f"{who} may change {file}", f"chmod g-w,o= {file}")]


def test_none_and_one_that_cannot_be_used(tmp_path: Path) -> None:
    (none,) = secret.look(TokenOptions())
    assert none.level == WARNING and "--token-file" in none.fix
    assert looked_at(tmp_path / "missing")[0][0] == ERROR
