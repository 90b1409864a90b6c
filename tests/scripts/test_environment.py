"""What the shell scripts share: which Python they find, and what they say when there is none."""

import subprocess
import sys

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


def test_the_environment_is_of_this_checkout() -> None:
    assert sourced('printf %s "$cache"').stdout == str(ROOT / ".cache")
