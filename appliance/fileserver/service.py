"""The files of one directory as a service: takes connections, whoever accepted them, and answers requests."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from collections.abc import Iterable

from appliance.fileserver.answers import ALLOW, NOT_FOUND, Answer, file_answer, page, plain, redirect
from appliance.fileserver.listing import listing_page, quoted, read_entries
from appliance.fileserver.password import CHALLENGE, PasswordGate
from appliance.fileserver.paths import NotServed, open_beneath, split_target
from appliance.fileserver.visit import Visit
from appliance.transport import tasks
from appliance.transport.connection import Connection
from appliance.wire.http1 import RequestHead

INDEX = b"index.html"
NOT_LET_IN = "this address is not let in here"
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

log = logging.getLogger("sluice.fileserver")


class FileService:
    """Serves what lies below `root`, to everybody or to those who know `password`.

    The root is looked up anew for each request: a directory that is replaced is served as it is then.
    """

    def __init__(self, root: str, allow_browsing: bool = False, password: str | None = None) -> None:
        self.root = root
        self.allow_browsing = allow_browsing
        self._gate = PasswordGate(password) if password else None
        self.visits: set[Visit] = set()

    def serve(self, connection: Connection) -> None:
        """Answer one connection's requests; returns once it is closed."""
        self._run(Visit(connection, self.answer))

    def _run(self, visit: Visit) -> None:
        self.visits.add(visit)
        try:
            visit.run()
        finally:
            self.visits.discard(visit)

    def turn_away(self, connection: Connection) -> None:
        """Let somebody know that he is not let in; returns once the connection is closed."""
        self._run(Visit(connection, lambda request, peer: plain(403, NOT_LET_IN), leaving=True))

    def answer(self, request: RequestHead, peer: str) -> Answer:
        """What to answer; its descriptor is the caller's to close. Waits only where passwords are guessed."""
        fields = _fields(request.lines)
        if self._gate is not None:
            refused = self._gate.check(peer, fields.get("authorization"))
            if refused == 401:
                return plain(401, "a password is needed", CHALLENGE)
            if refused:
                return plain(429, "too many wrong passwords", b"Retry-After: 60")
        if request.method == b"OPTIONS":
            return Answer(204, [ALLOW])
        if request.method not in (b"GET", b"HEAD"):
            return plain(405, "files can only be read here: GET and HEAD", ALLOW)
        try:
            return self._find(request, fields)
        except NotServed:
            return plain(404, NOT_FOUND)
        except OSError as error:
            log.warning("%r cannot be read: %s", request.target.decode("latin-1"), error.strerror)
            if error.errno in _EXHAUSTED:
                return plain(503, "too many files are open: try again soon", b"Retry-After: 5")
            return plain(500, "the file cannot be read")

    def _find(self, request: RequestHead, fields: dict[str, str]) -> Answer:
        names, is_directory, query = split_target(request.target)
        if is_directory:
            index = self._open_file([*names, INDEX])
            if index is not None:
                return self._file(request, fields, INDEX, *index)
            return self._listing(names)
        descriptor, info = open_beneath(self.root, names)
        if stat.S_ISREG(info.st_mode):
            return self._file(request, fields, names[-1], descriptor, info)
        os.close(descriptor)
        if not self.allow_browsing:
            index = self._open_file([*names, INDEX])
            if index is None:
                raise NotServed  # as without the redirect, which would tell that there is a directory
            os.close(index[0])
        # Made from the names, not from the target: `//elsewhere.example` must not become another address.
        location = b"/" + b"".join(quoted(name) + b"/" for name in names)
        return redirect(location + (b"?" + query if query else b""))

    def _open_file(self, names: list[bytes]) -> tuple[int, os.stat_result] | None:
        try:
            descriptor, info = open_beneath(self.root, names)
        except NotServed:
            return None
        if stat.S_ISREG(info.st_mode):
            return descriptor, info
        os.close(descriptor)
        return None

    def _file(
        self, request: RequestHead, fields: dict[str, str], name: bytes, descriptor: int, info: os.stat_result
    ) -> Answer:
        try:
            return file_answer(request.method, fields, name, descriptor, info)
        except BaseException:
            os.close(descriptor)
            raise

    def _listing(self, names: list[bytes]) -> Answer:
        if not self.allow_browsing:
            raise NotServed
        descriptor, info = open_beneath(self.root, names)
        try:
            if not stat.S_ISDIR(info.st_mode):
                raise NotServed
            return page(listing_page(names, *read_entries(self.root, names, descriptor)))
        finally:
            os.close(descriptor)


def open_directory(path: str, allow_browsing: bool = False) -> socket.socket:
    """A connection to a server of the files in `path`, as if one listened somewhere: for directory upstreams.

    Raises OSError when `path` is no directory that can be opened now.
    """
    os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    near, far = socket.socketpair()
    service = FileService(path, allow_browsing)
    tasks.spawn(f"directory upstream {path}", service.serve, Connection(far, "unix"))
    return near


def _fields(lines: Iterable[bytes]) -> dict[str, str]:
    """Field values by lower-case name; several of one name are one list (RFC 9110 5.3)."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        name, value = name.lower(), value.strip(" \t")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields
