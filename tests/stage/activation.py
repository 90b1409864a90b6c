"""What a service manager does for a server: it listens, passes the sockets on, and keeps them while the server is
started anew. Also a socket for a program's notifications."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.stage.process import Process, eventually, free_port

# As the child: the descriptors in order from 3 on, and its own process id, which nobody can know before.
_SHIM = """
import os, sys
given = [int(text) for text in sys.argv[1].split(",")]
high = [os.dup2(number, 200 + place) for place, number in enumerate(given)]
for place, number in enumerate(high):
    os.dup2(number, 3 + place)
os.closerange(3 + len(given), 400)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(given)), "LISTEN_FDNAMES": sys.argv[2]}
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Held:
    """Listening sockets by their names, on free ports of 127.0.0.1. `start` runs a program that gets them."""

    def __init__(self, *names: str, ports: Sequence[int] = ()) -> None:
        self.names: tuple[str, ...] = names
        self.sockets: dict[str, socket.socket] = {}
        for name, port in zip(names, ports or [free_port() for _ in names], strict=True):
            sock = socket.create_server(("127.0.0.1", port), backlog=4096)
            self.sockets[name] = sock

    @classmethod
    def of(cls, sockets: dict[str, socket.socket], names: Sequence[str]) -> Held:
        """These, passed on under other names."""
        held = cls()
        held.sockets, held.names = sockets, tuple(names)
        return held

    def port(self, name: str) -> int:
        return int(self.sockets[name].getsockname()[1])

    def start(
        self, name: str, command: Sequence[str], directory: Path, environ: dict[str, str] | None = None
    ) -> Process:
        descriptors = [sock.fileno() for sock in self.sockets.values()]
        shim = [sys.executable, "-c", _SHIM, ",".join(map(str, descriptors)), ":".join(self.names)]
        return Process(name, [*shim, *command], directory, environ, descriptors)

    def close(self) -> None:
        for sock in self.sockets.values():
            sock.close()


class Notified:
    """The socket that NOTIFY_SOCKET names, and what was said there."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)
        self.said: list[str] = []

    def hear(self) -> list[str]:
        """All lines up to now."""
        while True:
            try:
                self.said += self._socket.recv(65536).decode().split("\n")
            except BlockingIOError:
                return self.said

    def wait(self, line: str, *processes: Process) -> None:
        """Until a line that begins so was said."""
        eventually(lambda: any(said.startswith(line) for said in self.hear()), f"{line!r} is said", *processes)

    def close(self) -> None:
        self._socket.close()
