"""What the shell scripts share: which Python they find, and what they say when there is none."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stage.process import ROOT

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def sourced(command: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            "bash",
            "-c",
            f'set -euo pipefail; source "$1"/scripts/environment.sh; {command}',
            "bash",
            str(ROOT),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env=None if path is None else {"PATH": path},
    )


def test_a_python_by_its_path() -> None:
    found = sourced(f"find_python {sys.executable}")
    assert (found.returncode, found.stdout) == (0, f"{sys.executable}\n")
    assert sourced(f"python_version {sys.executable}").stdout == f"{VERSION}\n"


def test_a_python_of_the_machine() -> None:
    found = sourced("python_version \"$(find_python '')\"")
    assert found.returncode == 0
    assert tuple(map(int, found.stdout.split("."))) >= (3, 10)


@pytest.mark.parametrize("wanted", ["3.99", "/nonexistent/python", "2.7"])
def test_no_such_python(wanted: str) -> None:
    found = sourced(f"python=$(find_python {wanted}); echo not reached")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith(f"Error: no Python {wanted} found")


def test_an_environment_that_is_made_is_not_touched(tmp_path: Path) -> None:
    """As that of another user, where nothing may be written."""
    cache = tmp_path / "cache"
    (directory := cache / f"run-{VERSION}").mkdir(parents=True)
    (tmp_path / "requirements").write_text("click\n")
    stamped = f"{directory}\n{Path(sys.executable).resolve()}\n"
    stamped += subprocess.run([sys.executable, "-VV"], capture_output=True, text=True, check=True).stdout + "click\n"
    (directory / "stamp").write_text(f"{hashlib.sha256(stamped.encode()).hexdigest()}  -\n")
    make = f"cache={cache}; make_environment run {sys.executable} {tmp_path / 'requirements'}"
    found = sourced(make)
    assert (found.returncode, found.stdout, found.stderr) == (0, f"{directory}/bin/python\n", "")
    assert sorted(path.name for path in cache.iterdir()) == [directory.name]


def test_an_environment_that_may_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = sourced(f"cache={tmp_path / 'file'}/cache; make_environment run {sys.executable} {tmp_path / 'file'}")
    assert found.returncode == 1
    assert (
        found.stderr
        == f"Error: {tmp_path / 'file'}/cache cannot be written to by this user: run this once as its owner\n"
    )


def test_a_link_to_the_program_runs_it(tmp_path: Path) -> None:
    """It sources what is beside the file, not beside the link."""
    checkout = tmp_path / "checkout" / "scripts"
    checkout.mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "sluice", checkout)
    (checkout / "environment.sh").write_text('echo "found $0"; exit 0\n')
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "sluice"
    link.symlink_to(checkout / "sluice")
    done = subprocess.run([str(link), "version"], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"found {link}\n", "")


def test_the_environment_is_of_this_checkout() -> None:
    assert sourced('printf %s "$cache"').stdout == str(ROOT / ".cache")
