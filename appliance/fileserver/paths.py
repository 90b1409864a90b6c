"""From a request's target to an open descriptor, and never to anything outside the web root.

The kernel is never handed more than one name at a time and never follows a link for us: each name is opened
relative to the descriptor of the directory before it, links are read and walked by the same rules, and `..`
in a link steps back to a descriptor that is still held. Renaming things meanwhile cannot lead it outside.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from collections.abc import Sequence

log = logging.getLogger(__name__)

MAX_SEGMENTS = 256  # each directory on the way costs a descriptor while the walk lasts
MAX_LINKS = 40  # as Linux: MAXSYMLINKS

_ENTER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking: should a pipe take the file's place just now, the open returns at once and fstat finds it out.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_ABSENT = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.EILSEQ,
    errno.ENXIO,
    errno.ENODEV,
    errno.ESTALE,
}

_escape = re.compile(rb"%([0-9A-Fa-f]{2})?")


class NotServed(Exception):
    """Nothing is served under this name: it is absent, hidden, no file, or not inside the web root."""


def split_target(target: bytes) -> tuple[list[bytes], bool, bytes]:
    """The names in a request's target, whether it ends with a slash, and its query. Raises NotServed.

    Escapes are undone once, after the slashes have been found, so no escape can become a separator. Repeated
    slashes count as one.
    """
    path, _, query = target.partition(b"?")
    names = [_unescape(segment) for segment in path.split(b"/") if segment]
    if len(names) > MAX_SEGMENTS:
        raise NotServed
    for depth, name in enumerate(names):
        if not may_be_served(name, depth):
            raise NotServed
    return names, path.endswith(b"/"), query


def may_be_served(name: bytes, depth: int) -> bool:
    """Whether one name, `depth` directories below the root, may be looked at.

    Names that begin with a dot are hidden (`.git`, `.env`, `.htpasswd`), which settles `.` and `..` too; but
    for `.well-known` in the root, which is meant to be public (RFC 8615). A backslash is a separator on some
    network file systems.
    """
    if name.startswith(b"."):
        return name == b".well-known" and depth == 0
    return bool(name) and not (b"/" in name or b"\\" in name or b"\0" in name)


def _unescape(segment: bytes) -> bytes:
    return _escape.sub(_unescape_one, segment) if b"%" in segment else segment


def _unescape_one(match: re.Match[bytes]) -> bytes:
    digits = match.group(1)
    if digits is None:
        raise NotServed
    return bytes([int(digits, 16)])


def open_beneath(root: str, names: Sequence[bytes]) -> tuple[int, os.stat_result]:
    """Open what `names` lead to below `root`: a regular file for reading, or a directory to walk on from.

    Links are followed as long as they stay inside. Returns the descriptor, which is the caller's to close,
    and its stat. Raises NotServed; OSError when the root is gone, or the system cannot open anything now (no
    descriptors left, an I/O error).
    """
    walk = _Walk(root)
    try:
        return walk.to(names)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        if error.errno in (errno.EACCES, errno.EPERM):
            log.warning("%r is not served: %s", b"/".join(names).decode(errors="replace"), error.strerror)
        raise NotServed from None
    finally:
        walk.close()


def open_listable(descriptor: int) -> int:
    """A descriptor of a directory whose entries can be read: `open_beneath` needs no leave to read them.

    Raises NotServed; OSError as `open_beneath` does.
    """
    try:
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor)
    except PermissionError:
        raise NotServed from None


class _Walk:
    """The directories between the root and where the walk stands, each held open."""

    def __init__(self, root: str) -> None:
        self._root = root
        # The root itself may be a link: whoever runs the server chose it.
        self._held = [os.open(root, _ENTER & ~os.O_NOFOLLOW)]
        self._links = 0

    def close(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)
        self._held = []

    def to(self, names: Sequence[bytes]) -> tuple[int, os.stat_result]:
        pending = list(reversed(names))
        while pending:
            name = pending.pop()
            if name == b"..":
                self._step_back()
                continue
            if not may_be_served(name, len(self._held) - 1):
                raise NotServed
            here = self._held[-1]
            mode = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                self._enter(name)
            elif stat.S_ISLNK(mode):
                pending.extend(reversed(self._link(os.readlink(name, dir_fd=here))))
            elif stat.S_ISREG(mode) and not pending:
                return _open_file(name, here)
            else:
                raise NotServed
        descriptor = self._held.pop()
        return descriptor, os.fstat(descriptor)

    def _enter(self, name: bytes) -> None:
        if len(self._held) > MAX_SEGMENTS:
            raise NotServed
        self._held.append(os.open(name, _ENTER, dir_fd=self._held[-1]))

    def _step_back(self) -> None:
        if len(self._held) == 1:
            raise NotServed
        os.close(self._held.pop())

    def _link(self, target: bytes) -> list[bytes]:
        """The names that a link stands for, seen from where the walk then stands."""
        self._links += 1
        if self._links > MAX_LINKS:
            raise NotServed
        names = [name for name in target.split(b"/") if name not in (b"", b".")]
        if target.startswith(b"/"):
            top = os.fsencode(os.path.realpath(self._root)).split(b"/")[1:]
            top = [name for name in top if name]
            if names[: len(top)] != top:
                raise NotServed
            names = names[len(top) :]
            while len(self._held) > 1:
                os.close(self._held.pop())
        return names


def _open_file(name: bytes, directory: int) -> tuple[int, os.stat_result]:
    descriptor = os.open(name, _READ, dir_fd=directory)
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        os.close(descriptor)
        raise NotServed
    return descriptor, info
