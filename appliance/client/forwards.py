"""Local forwards: ports of this machine behind which services of the server's network answer."""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass
from typing import Any

from gevent.event import Event

from appliance.config.options import ConfigError
from appliance.transport.connection import Connection, peer_name
from appliance.transport.listener import Acceptor, Capacity, listen
from appliance.tunnel.passage import Passage
from appliance.tunnel.pool import Pool
from appliance.wire.address import join_host_port
from appliance.wire.ports import LocalForward

STREAM_SECONDS = 10.0  # that a connection waits for a stream

log = logging.getLogger("sluice.forward")


@dataclass(frozen=True, slots=True)
class _Way:
    pool: Pool
    target: str

    def reached(self) -> None:
        """Nobody asks."""


class LocalForwards:
    """Listens from `start` to `stop`. `most`: connections at once.

    `pool` is the current session's, None while there is none. `quiet`: set while no connection is open.
    """

    def __init__(self, forwards: tuple[LocalForward, ...], address: str, most: int) -> None:
        self._forwards = forwards
        self._address = address
        self._capacity = Capacity(most)
        self._acceptors: list[Acceptor] = []
        self._passages: set[Passage] = set()
        self.pool: Pool | None = None
        self.quiet = Event()
        self.quiet.set()

    def __bool__(self) -> bool:
        return bool(self._forwards)

    def start(self) -> None:
        """Raises ConfigError for a port that cannot be listened on."""
        for forward in self._forwards:
            target = f"tcp://{join_host_port(forward.host, forward.port)}"
            where = join_host_port(self._address, forward.local_port)
            try:
                sockets = listen(self._address, forward.local_port)
            except OSError as error:
                self.stop()
                taken = error.errno == errno.EADDRINUSE
                reason = "is in use by another program" if taken else f"cannot be listened on ({error.strerror})"
                raise ConfigError(f"{where} {reason}: choose another local port with --local") from None
            name = f"local port {forward.local_port}"
            acceptor = Acceptor(name, sockets, self._server(target), self._capacity)
            acceptor.start()
            self._acceptors.append(acceptor)
            log.info("%s leads to %s in the server's network", where, join_host_port(forward.host, forward.port))

    def close(self) -> None:
        """Stop listening; what is open goes on."""
        for acceptor in self._acceptors:
            acceptor.stop()
        self._acceptors.clear()

    def stop(self) -> None:
        """Stop listening, and cut off what is still open."""
        self.close()
        for passage in tuple(self._passages):
            passage.end()

    def _server(self, target: str) -> Any:
        def serve(sock: Any, address: Any) -> None:
            self._serve(target, Connection(sock, peer_name(address)))

        return serve

    def _serve(self, target: str, connection: Connection) -> None:
        pool = self.pool
        passage = Passage(connection)
        self._passages.add(passage)
        self.quiet.clear()
        try:
            reason = passage.run([_Way(pool, target)] if pool is not None else [], STREAM_SECONDS)
        finally:
            self._passages.discard(passage)
            if not self._passages:
                self.quiet.set()
        if reason:
            why = "not connected to the server" if pool is None else reason
            log.warning("a connection to %s was turned away: %s", target.removeprefix("tcp://"), why)
