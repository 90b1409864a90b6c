"""The servers that this user knows: a line of a text file for each, with what vouches for it and since when.

Standard library alone, and little of it: clients have it. What a change of a server means is decided in `trust`.
"""

from __future__ import annotations

import codecs
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.certificates import state

if TYPE_CHECKING:
    from pathlib import Path

FILE = "known_servers"
PUBLIC = "public"  # in the place of a fingerprint: authorities that everybody trusts vouch for the server
LOCK_SECONDS = 2.0  # a change takes milliseconds; who holds the lock for longer is stuck
MOST_LOOPBACK = 100  # servers on this machine come and go at whatever port is free: the oldest are dropped

_MAX_FILE_BYTES = 1 << 20
_HEADING = (
    "# Servers that are known here: address, SHA-256 of the authority (or public), when it was first trusted.",
    "# `sluice trust` shows and changes them.",
)
_LINE = re.compile(
    r"\s*(\S+:\d{1,5})\s+(sha256:[0-9a-f]{64}|public)\s+(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\s*", re.IGNORECASE
)
_LOOPBACK = re.compile(r"(?:127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d+")


class Unusable(Exception):
    """Nothing can be kept there, and nothing has been: the message says where and why."""


class Damaged(Exception):
    """Something is kept there, and it cannot be told what: the message says where, and what to do."""


@dataclass(frozen=True, slots=True)
class Known:
    """`server`: host:port. `mark`: SHA-256 of its authority (64 hex digits, lower case), or PUBLIC. `since`: a date."""

    server: str
    mark: str
    since: str

    @property
    def line(self) -> str:
        return f"{self.server} {spoken(self.mark)} {self.since}"


def spoken(mark: str) -> str:
    """``sha256:...``, as it stands in the file and in messages."""
    return mark if mark == PUBLIC else f"sha256:{mark}"


class KnownServers:
    """`path`: of the file, which need not be there; None where no place is known for it."""

    def __init__(self, path: Path | str | None) -> None:
        self.path = None if path is None else os.fspath(path)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> KnownServers:
        directory = state.find_place(environ)
        return cls(os.path.join(directory, FILE) if directory else None)

    def find(self, server: str) -> Known | None:
        """What is known of a server. Raises Unusable, or Damaged where it might be known."""
        lines = self._read(self._usable())
        found = {known.mark: known for known in map(_parsed, lines) if known and known.server == server}
        if len(found) > 1:
            raise Damaged(f"{self.path} has several lines for {server}: delete all but the right one")
        damaged = [number for number, line in enumerate(lines, 1) if _is_damaged(line)]
        for number in damaged:
            # Where the server has a good line, the others are none of its business, unless they begin with its name.
            if not found or _server_of(lines[number - 1]) == server:
                raise Damaged(f"line {number} of {self.path} is not understood: correct or delete it")
        return next(iter(found.values()), None)

    def listing(self) -> tuple[list[Known], list[int]]:
        """All that are known, and the numbers of lines that are not understood. Raises Unusable or Damaged."""
        lines = self._read(self._usable())
        return [known for known in map(_parsed, lines) if known], [
            number for number, line in enumerate(lines, 1) if _is_damaged(line)
        ]

    def remember(self, server: str, mark: str, before: str | None) -> Known:
        """Put `mark` in the place of `before`, and return it; or return what another process has put there since.

        Raises Unusable or Damaged.
        """
        with self._changing() as path:
            there = self.find(server)
            if there is not None and there.mark != before:
                return there
            return self._put(path, server, mark)

    def put(self, server: str, mark: str) -> Known:
        """From now on it is this one, whatever was there. Raises Unusable or Damaged."""
        with self._changing() as path:
            return self._put(path, server, mark)

    def drop(self, server: str) -> bool:
        """Forget a server; whether it was known. Raises Unusable or Damaged."""
        with self._changing() as path:
            lines = self._read(path)
            kept = _without(lines, server)
            if len(kept) < len(lines):
                self._write(path, kept)
            return len(kept) < len(lines)

    def _put(self, path: str, server: str, mark: str) -> Known:
        known = Known(server, mark, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        lines = [*_without(self._read(path) or list(_HEADING), server), known.line]
        loopback = [line for line in lines if _LOOPBACK.match(line)]
        for line in loopback[:-MOST_LOOPBACK]:
            lines.remove(line)
        self._write(path, lines)
        return known

    def _usable(self) -> str:
        """The path, in a directory where nobody else may write. Raises Unusable."""
        path = self.path
        if path is None:
            raise Unusable("no place is known for it: set $STATE_DIRECTORY or $HOME")
        directory = os.path.dirname(path)
        try:
            found = os.stat(directory)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                return path
            raise Unusable(f"{directory}: {error.strerror}") from None
        if not stat.S_ISDIR(found.st_mode):
            raise Unusable(f"{directory} is not a directory")
        user = os.geteuid()
        # Root is let off the owner: bind mounts into containers keep the owner they have outside.
        if found.st_mode & stat.S_IWOTH or (user != 0 and found.st_uid not in (user, 0)):
            raise Unusable(f"others may write to {directory}: chmod 0700 it, or set $STATE_DIRECTORY to another")
        if not os.access(directory, os.X_OK, effective_ids=True):
            raise Unusable(f"{directory}: Permission denied")
        return path

    def _read(self, path: str) -> list[str]:
        """The lines of the file, byte for character, so that those that are not understood can be written again."""
        try:
            # Without waiting at a pipe, or following a link: root must not copy another file into a user's directory.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    raise Damaged(f"{path} is not a file: move it away")
                if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                    raise Damaged(f"others may write to {path}: look whether it is as you left it, then chmod 0600 it")
                content = os.pread(descriptor, _MAX_FILE_BYTES + 1, 0)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return []
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise Damaged(f"{path} is a link: put the file itself there") from None
            raise Damaged(f"{path} cannot be read ({error.strerror}): give it to this user, or delete it") from None
        if len(content) > _MAX_FILE_BYTES:
            raise Damaged(f"{path} is far too long for what it is: move it away")
        content = content.removeprefix(codecs.BOM_UTF8)  # some editors put it there
        return content.decode("latin-1").removesuffix("\n").split("\n") if content else []

    def _write(self, path: str, lines: list[str]) -> None:
        state.replace(path, ("\n".join(lines) + "\n").encode("latin-1"), for_owner=True)

    @contextmanager
    def _changing(self) -> Iterator[str]:
        """The path, while no other process changes the file. Reading needs no lock: it is replaced whole."""
        path = self._usable()
        try:
            directory = os.path.dirname(path)
            os.makedirs(directory, 0o700, exist_ok=True)
            # The directory is what is locked: a lock's file, made by root, would keep others out for good.
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if not _within(LOCK_SECONDS, lambda: _try_lock(descriptor)):
                    raise Unusable(f"another process holds a lock on {directory}")
                yield path
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unusable(f"{path}: {error.strerror or error}") from None


def _parsed(line: str) -> Known | None:
    found = _LINE.fullmatch(line)
    if found is None or found[1].startswith("#"):
        return None
    return Known(found[1].lower(), found[2].lower().removeprefix("sha256:"), found[3])


def _is_damaged(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#") and _parsed(line) is None


def _without(lines: list[str], server: str) -> list[str]:
    """All but those that begin with the server, understood or not."""
    return [line for line in lines if _server_of(line) != server]


def _server_of(line: str) -> str:
    """What a line begins with."""
    return line.split(maxsplit=1)[0].lower() if line.strip() else ""


def _within(seconds: float, look: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
