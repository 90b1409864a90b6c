"""Listening sockets that a service manager passes on (sd_listen_fds(3)): they outlive a restart, and what connects
meanwhile waits in them."""

from __future__ import annotations

import os
import re
import socket
from _socket import socket as NativeSocket
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass

from appliance.config.options import ConfigError
from appliance.transport.connection import tune
from appliance.wire.address import join_host_port

FIRST_DESCRIPTOR = 3
HTTP, HTTPS, CONTROL = "http", "https", "control"

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
_door = re.compile(r"tcp-([1-9][0-9]{0,4})").fullmatch
_ANY = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Passed:
    """One socket. `name`: its FileDescriptorName."""

    name: str
    sock: NativeSocket

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.sock.getsockname()[:2]
        return host, port

    @property
    def named(self) -> bool:
        """Whether its name says what it is for; systemd names a socket after its unit where nobody does."""
        return self.name in (HTTP, HTTPS, CONTROL) or _door(self.name) is not None

    def __str__(self) -> str:
        return f"{join_host_port(*self.address)} ({self.name})" if self.name else join_host_port(*self.address)


class Inherited:
    """Sockets that were passed, until each is claimed."""

    def __init__(self, passed: Iterable[Passed] = ()) -> None:
        self._left = list(passed)

    def claim(self, name: str, host: str, port: int) -> list[NativeSocket]:
        """Those called so; where there are none, those without a telling name that are bound to `host` ("": any) and
        `port`."""
        found = [passed for passed in self._left if passed.name == name]
        found = found or [passed for passed in self._left if not passed.named and _is_bound(passed, host, port)]
        self._left = [passed for passed in self._left if passed not in found]
        return [passed.sock for passed in found]

    def claim_doors(self) -> dict[int, list[NativeSocket]]:
        """Those for ports that clients open, by the port: those called tcp-PORT, and all without a telling name."""
        doors: dict[int, list[NativeSocket]] = {}
        for passed in tuple(self._left):
            found = _door(passed.name)
            if found is not None or not passed.named:
                doors.setdefault(int(found[1]) if found else passed.address[1], []).append(passed.sock)
                self._left.remove(passed)
        return doors

    def left(self) -> list[str]:
        """What nobody has claimed, to be spoken of. It is closed."""
        texts = [str(passed) for passed in self._left]
        for passed in self._left:
            passed.sock.close()
        self._left.clear()
        return texts


def inherit(environ: MutableMapping[str, str]) -> Inherited:
    """The sockets passed to this process. To be called once, before anything else opens descriptors.

    Raises ConfigError for what is no socket that TCP connections come from.
    """
    given = {name: environ.pop(name, "") for name in _VARIABLES}  # they are not for children of ours
    if given["LISTEN_PID"] != str(os.getpid()) or not given["LISTEN_FDS"].isdigit():
        return Inherited()
    count = int(given["LISTEN_FDS"])
    names = given["LISTEN_FDNAMES"].split(":") if given["LISTEN_FDNAMES"] else []
    names += [""] * (count - len(names))
    return Inherited([_take(FIRST_DESCRIPTOR + number, names[number]) for number in range(count)])


def _take(descriptor: int, name: str) -> Passed:
    try:
        os.set_inheritable(descriptor, False)
        sock = NativeSocket(fileno=descriptor)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ConfigError(
            f"LISTEN_FDS: {_spoken(descriptor, name)} cannot be used ({error.strerror}): whoever starts this program "
            "must pass on as many sockets as it says"
        ) from None
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not listens:
        sock.close()
        raise ConfigError(
            f"LISTEN_FDS: {_spoken(descriptor, name)} is no TCP socket that listens: "
            "its unit needs ListenStream= with a port, and Accept=no"
        )
    sock.setblocking(False)
    tune(sock)  # what is accepted inherits it
    return Passed(name, sock)


def _spoken(descriptor: int, name: str) -> str:
    return f"descriptor {descriptor} ({name})" if name else f"descriptor {descriptor}"


def _is_bound(passed: Passed, host: str, port: int) -> bool:
    bound, bound_port = passed.address
    return bound_port == port and (host in ("", *_ANY, bound) or bound in _ANY)
