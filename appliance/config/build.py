"""What this copy of the program is: version, commit, and where its data files lie."""

import re
from functools import cache
from pathlib import Path

from appliance import __version__

VERSION = __version__
_PACKAGE = Path(__file__).resolve().parent.parent
GENERATED = "build_sha.txt"  # written beside this file by setup.py, into what it builds
_SHA = re.compile(r"[0-9a-f]{7,64}")


@cache
def sha() -> str:
    """The commit, seven digits: from the file that a build wrote, or the .git of a checkout."""
    return read_sha(_PACKAGE)


def full_version() -> str:
    """``0.1.0 3f2a9c1``, as ``sluice version`` prints it."""
    return f"{VERSION} {sha()}"


def read_sha(package: Path) -> str:
    """The commit of the package in that directory. Runs no git: a small machine need not have it."""
    found = _first_line(package / "config" / GENERATED) or _head_commit(package.parent / ".git")
    return found[:7] if _SHA.fullmatch(found) else "unknown"


def web_directory() -> Path:
    """Templates and static assets: inside the package when installed, beside it in a checkout."""
    installed = _PACKAGE / "web"
    return installed if installed.is_dir() else _PACKAGE.parent / "web"


def _head_commit(git: Path) -> str:
    if git.is_file():  # a worktree: "gitdir: /where/it/is"
        git = git.parent / _first_line(git).removeprefix("gitdir:").strip()
    head = _first_line(git / "HEAD")
    if not head.startswith("ref:"):
        return head
    name = head.removeprefix("ref:").strip()
    common = _first_line(git / "commondir")
    shared = git / common if common else git
    return _first_line(git / name) or _first_line(shared / name) or _packed(shared / "packed-refs", name)


def _packed(packed_refs: Path, name: str) -> str:
    try:
        lines = packed_refs.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.split(" ", 1)[0] for line in lines if line.endswith(f" {name}")), "")


def _first_line(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.partition("\n")[0].strip()
