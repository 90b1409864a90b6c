"""The commit is found where builds and checkouts leave it, without running git."""

from pathlib import Path

import pytest

from appliance import __version__
from appliance.config import build

SHA = "3f2a9c1d0e4b5a69788796a5b4c3d2e1f0a9b8c7"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "appliance" / "config").mkdir(parents=True)
    return tmp_path / "appliance"


def git(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_nothing_known(package: Path) -> None:
    assert build.read_sha(str(package)) == "unknown"


def test_written_by_the_build_comes_first(package: Path) -> None:
    (package / "config" / build.GENERATED).write_text("abcdef0\n")
    git(package.parent, {".git/HEAD": SHA})
    assert build.read_sha(str(package)) == "abcdef0"


@pytest.mark.parametrize(
    "files",
    [
        {".git/HEAD": f"{SHA}\n"},
        {".git/HEAD": "ref: refs/heads/main\n", ".git/refs/heads/main": f"{SHA}\n"},
        {
            ".git/HEAD": "ref: refs/heads/main\n",
            ".git/packed-refs": f"# pack-refs\n{'0' * 40} refs/heads/not-main\n{SHA} refs/heads/main\n",
        },
        {
            ".git": "gitdir: main.git/worktrees/w\n",
            "main.git/worktrees/w/HEAD": "ref: refs/heads/side\n",
            "main.git/worktrees/w/commondir": "../..\n",
            "main.git/refs/heads/side": f"{SHA}\n",
        },
    ],
    ids=["detached", "loose", "packed", "worktree"],
)
def test_checkouts(package: Path, files: dict[str, str]) -> None:
    git(package.parent, files)
    assert build.read_sha(str(package)) == "3f2a9c1"


@pytest.mark.parametrize(
    "files",
    [
        {".git/HEAD": "ref: refs/heads/unborn\n"},
        {".git/HEAD": ""},
        {".git/HEAD": "ref: \n"},
        {".git/HEAD": "<html>"},
        {".git": "gitdir: gone\n"},
    ],
)
def test_what_is_no_commit_is_unknown(package: Path, files: dict[str, str]) -> None:
    git(package.parent, files)
    assert build.read_sha(str(package)) == "unknown"


def test_full_version() -> None:
    assert build.full_version() == f"{__version__} {build.sha()}"


def test_web_directory_of_this_checkout() -> None:
    assert (build.web_directory() / "error.html").is_file()
