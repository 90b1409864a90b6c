"""The state directory: where it is, and how a file in it is replaced.

Standard library alone, and little of it: clients have it, too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def find_directory(environ: Mapping[str, str]) -> Path | None:
    """As `find_place`, for who goes on with it as a Path."""
    from pathlib import Path  # here, for it takes a third of a megabyte, and clients do without

    found = find_place(environ)
    return Path(found) if found is not None else None


def find_place(environ: Mapping[str, str]) -> str | None:
    """systemd's ``$STATE_DIRECTORY``, or where this user's programs keep their state; None where that is nowhere."""
    # systemd separates several by colons (systemd.exec(5)); the first is the unit's main one.
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return given
    if os.geteuid() == 0:
        return "/var/lib/sluice"
    # The XDG base directory specification: relative paths are to be ignored.
    state_home = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(state_home):
        return os.path.join(state_home, "sluice")
    home = environ.get("HOME", "")
    return os.path.join(home, ".local", "state", "sluice") if os.path.isabs(home) else None


def replace(path: Path | str, content: bytes, *, for_owner: bool = False) -> None:
    """Put ``content`` in the place of the file, for one user's eyes only, at once and for good, whatever crashes.

    That user is ours; with ``for_owner``, when we are root, whose the directory is.
    """
    directory = os.path.dirname(path) or "."
    # One name, not a random one: what a crash leaves behind is overwritten, not piled up.
    new = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        if for_owner and os.geteuid() == 0:
            owner = os.stat(directory)
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
    os.replace(new, path)
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
