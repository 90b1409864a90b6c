"""What this copy of the program is: version, commit, and where its data files lie."""

from __future__ import annotations

import os
import re
from functools import cache
from typing import TYPE_CHECKING

from appliance import __version__

if TYPE_CHECKING:
    from pathlib import Path

VERSION = __version__
_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
GENERATED = "build_sha.txt"  # written beside this file by setup.py, into what it builds
_SHA = re.compile(r"[0-9a-f]{7,64}")


@cache
def sha() -> str:
    """The commit, seven digits: from the file that a build wrote, or the .git of a checkout."""
    return read_sha(_PACKAGE)


def full_version() -> str:
    """``0.1.0 3f2a9c1``, as ``sluice version`` prints it."""
    return f"{VERSION} {sha()}"


def read_sha(package: str) -> str:
    """The commit of the package in that directory. Runs no git: a small machine need not have it."""
    found = _first_line(os.path.join(package, "config", GENERATED))
    found = found or _head_commit(os.path.join(os.path.dirname(package), ".git"))
    return found[:7] if _SHA.fullmatch(found) else "unknown"


def web_directory() -> Path:
    """Templates and static assets: inside the package when installed, beside it in a checkout."""
    from pathlib import Path  # here, for it takes a third of a megabyte, and clients do without

    installed = Path(_PACKAGE, "web")
    return installed if installed.is_dir() else Path(_PACKAGE).with_name("web")


def _head_commit(git: str) -> str:
    if os.path.isfile(git):  # a worktree: "gitdir: /where/it/is"
        git = os.path.join(os.path.dirname(git), _first_line(git).removeprefix("gitdir:").strip())
    head = _first_line(os.path.join(git, "HEAD"))
    if not head.startswith("ref:"):
        return head
    name = head.removeprefix("ref:").strip()
    shared = os.path.join(git, _first_line(os.path.join(git, "commondir")))
    return (
        _first_line(os.path.join(git, name))
        or _first_line(os.path.join(shared, name))
        or _packed(os.path.join(shared, "packed-refs"), name)
    )


def _packed(packed_refs: str, name: str) -> str:
    lines = _text(packed_refs).splitlines()
    return next((line.split(" ", 1)[0] for line in lines if line.endswith(f" {name}")), "")


def _first_line(path: str) -> str:
    return _text(path).partition("\n")[0].strip()


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
