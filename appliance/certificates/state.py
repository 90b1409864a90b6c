"""The state directory: where it is, and how a file in it is replaced. Standard library alone: clients have it, too."""

import os
from collections.abc import Mapping
from pathlib import Path


def find_directory(environ: Mapping[str, str]) -> Path | None:
    """systemd's ``$STATE_DIRECTORY``, or where this user's programs keep their state; None where that is nowhere."""
    # systemd separates several by colons (systemd.exec(5)); the first is the unit's main one.
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/sluice")
    # The XDG base directory specification: relative paths are to be ignored.
    state_home = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(state_home):
        return Path(state_home, "sluice")
    home = environ.get("HOME", "")
    return Path(home, ".local", "state", "sluice") if os.path.isabs(home) else None


def replace(path: Path, content: bytes, *, for_owner: bool = False) -> None:
    """Put ``content`` in the place of the file, for one user's eyes only, at once and for good, whatever crashes.

    That user is ours; with ``for_owner``, when we are root, whose the directory is.
    """
    # One name, not a random one: what a crash leaves behind is overwritten, not piled up.
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        if for_owner and os.geteuid() == 0:
            owner = os.stat(path.parent)
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
