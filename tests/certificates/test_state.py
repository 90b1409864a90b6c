"""The state directory, and a file in it that is replaced. (Where it is: see test_authority, which asks for it.)"""

import os
import stat
from pathlib import Path

import pytest

from appliance.certificates import state


def test_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert state.find_directory({}) is None
    assert state.find_directory({"HOME": "relative", "STATE_DIRECTORY": ":/b"}) is None
    assert state.find_directory({"HOME": "/home/u"}) == Path("/home/u/.local/state/sluice")


def test_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(0o644)
    (tmp_path / "file.new").write_text("of a crash")
    with path.open() as reader:
        state.replace(path, b"after")
        assert reader.read() == "before"
    assert path.read_bytes() == b"after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("for_owner", [True, False])
def test_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, for_owner: bool) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda descriptor, user, group: given.append((user, group)))
    state.replace(tmp_path / "file", b"", for_owner=for_owner)
    owner = tmp_path.stat()
    assert given == ([(owner.st_uid, owner.st_gid)] if for_owner else [])
