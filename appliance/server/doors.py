"""The public ports of TCP mode: opened when a client offers them, closed with the last client that does."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from gevent.event import Event

from appliance.config.tcp_server import TcpServerConfig
from appliance.server.greeting import endpoint, read_header
from appliance.transport.connection import Connection, peer_name
from appliance.transport.listener import Acceptor, Capacity, listen
from appliance.tunnel.addresses import AddressList, Admission
from appliance.tunnel.counters import PortSeries, TcpCounters
from appliance.tunnel.passage import Passage
from appliance.tunnel.pool import Pool
from appliance.tunnel.session import Session
from appliance.wire import proxy_protocol
from appliance.wire.messages import OfferedPort, Refusal
from appliance.wire.ports import PortSet
from appliance.wire.proxy_protocol import ProxyProtocolError

AVOID_SECONDS = 10.0  # a client that did not reach its target is asked last for so long
SHOWN_PORTS = 200  # letters of what --allow-ports says, to who offers another one
STOPPING = "the server is stopping"
MISSED = "the client does not reach it, or has no stream left"

log = logging.getLogger("sluice.edge")


@dataclass(slots=True, eq=False)
class Member:
    """One session's offer of a port. `open`: the connections it carries now; `avoided_until`: asked last until then
    (time.monotonic()), for it has failed."""

    session: Session
    target: str
    open: int = 0
    avoided_until: float = 0.0

    @property
    def pool(self) -> Pool:
        return self.session.pool

    def reached(self) -> None:
        self.session.reached(self.target)


class Door:
    """One open port. Clients that offer it share its connections: the fewest open first, ties by turn, and last those
    that have just failed: they never have an open one."""

    def __init__(self, port: int, held: bool = False) -> None:
        """`held`: its socket was passed on, and is somebody else's, too: it stays open also while nobody offers it."""
        self.port = port
        self.held = held
        self.offered = Event()  # set while somebody offers it
        self.members: list[Member] = []
        self.acceptor: Acceptor | None = None
        self._turn = 0

    def ways(self, patience: float = 0.0) -> Generator[Member, None, None]:
        """The members in the order in which they are tried, those that come meanwhile, too: a client that has come
        back is a new one. Each counts as open until the next is asked for. `patience`: seconds to wait for the first.
        """
        self._turn += 1
        if self.held and not self.members:
            self.offered.wait(patience)
        tried: set[Member] = set()
        while left := [member for member in self._in_turn() if member not in tried]:
            member = left[0]
            if len(left) > 1:
                now = time.monotonic()
                member = min(left, key=lambda member: (member.avoided_until > now, member.open))
            tried.add(member)
            member.open += 1
            try:
                yield member
            finally:
                member.open -= 1
            member.session.missed(member.target, MISSED)
            member.avoided_until = time.monotonic() + AVOID_SECONDS  # else the next would not be asked for

    def _in_turn(self) -> list[Member]:
        turn = self._turn % max(1, len(self.members))
        return self.members[turn:] + self.members[:turn]


class Doors:
    """All open ports. `own`: ports of the server itself, which no client gets; `capacity`: for their connections."""

    def __init__(
        self, config: TcpServerConfig, counters: TcpCounters, own: Callable[[], frozenset[int]], capacity: Capacity
    ) -> None:
        self.apply(config)
        self._counters = counters
        self._own = own
        self._capacity = capacity
        self._doors: dict[int, Door] = {}
        self._connections: dict[Connection, Passage | None] = {}
        self._stopped = False

    def apply(self, config: TcpServerConfig) -> None:
        """From now on, serve as this says; who offers which port has to be looked at anew."""
        self._config = config
        self._allowed = PortSet.parse(*config.allow_ports)
        self._admission = Admission(config.allow_ips)
        self._balancers = AddressList(config.trusted_proxies)

    @property
    def busy(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def open_ports(self) -> list[int]:
        return list(self._doors)

    def listing(self) -> list[tuple[int, list[Member]]]:
        """The open ports, each with who serves it."""
        return [(port, door.members) for port, door in self._doors.items()]

    def under_way(self) -> tuple[int, int]:
        """Bytes in and out of connections that are open still, which are not counted yet."""
        pairs = [passage.so_far for passage in self._connections.values() if passage is not None]
        return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)

    def offer(self, session: Session, offers: tuple[OfferedPort, ...]) -> list[Refusal]:
        """Serve these ports by the session, in place of what it offered before; returns those that cannot be."""
        refused = []
        kept: set[int] = set()
        for offer in offers:
            reason = self._serve_port(session, offer)
            if reason:
                refused.append(Refusal(str(offer.port), reason))
            else:
                kept.add(offer.port)
        self._withdraw(session, kept)
        return refused

    def withdraw(self, session: Session) -> None:
        """The session is over. Its connections end by themselves."""
        self._withdraw(session, set())

    def stop(self) -> None:
        """Stop accepting, and open no port any more."""
        self._stopped = True
        for door in self._doors.values():
            if door.acceptor is not None:
                door.acceptor.stop()
        self._doors.clear()

    def close(self) -> None:
        """Cut all connections off."""
        for connection, passage in tuple(self._connections.items()):
            if passage is not None:
                passage.end()
            connection.abort()

    def objection(self, port: int) -> str:
        """Why no client may open it, or ""."""
        if port in self._own():
            return f"port {port} is the server's own"
        if port not in self._allowed:
            return f"the server allows ports {_shortened(str(self._allowed))} (--allow-ports)"
        return ""

    def _serve_port(self, session: Session, offer: OfferedPort) -> str:
        """Returns why not, or ""."""
        port = offer.port
        if self._stopped:
            return STOPPING
        why = self.objection(port)
        if why:
            return why
        if port not in self._doors:
            try:
                sockets = listen(self._config.data_addr, port)
            except OSError as error:
                if port not in self._doors:  # that another client has opened while a name was looked up
                    return _why(error, port)
            else:
                if self._stopped:  # while a name was looked up
                    for sock in sockets:
                        sock.close()
                    return STOPPING
                self._open(port, sockets)
        door = self._doors[port]
        for member in door.members:
            if member.session is session:
                member.target = offer.target
                return ""
        door.members.append(Member(session, offer.target))
        door.offered.set()
        return ""

    def open_held(self, sockets: dict[int, list[Any]]) -> None:
        """Sockets that were passed on, by the port they are for. They stay open until the server stops."""
        for port, passed in sockets.items():
            if port > 65535:
                log.warning("the socket tcp-%d was passed on, and there is no such port: see FileDescriptorName=", port)
                for sock in passed:
                    sock.close()
                continue
            self._open(port, passed, held=True)
            if port not in self._allowed:
                log.warning("port %d was passed on, and no client may offer it: see --allow-ports", port)

    def _open(self, port: int, sockets: list[Any], held: bool = False) -> None:
        door = self._doors[port] = Door(port, held)
        door.acceptor = Acceptor(f"port {port}", sockets, lambda *it: self._serve(door, *it), self._capacity)
        door.acceptor.start()
        self._counters.port(port)  # counts from nothing: the first connection must show as an increase
        log.info("port %d is open", port)

    def _withdraw(self, session: Session, kept: set[int]) -> None:
        for port, door in tuple(self._doors.items()):
            if port not in kept:
                door.members = [member for member in door.members if member.session is not session]
                if not door.members and door.held:
                    door.offered.clear()
                elif not door.members:
                    del self._doors[port]
                    assert door.acceptor is not None
                    door.acceptor.stop()
                    why = "nobody offers it any more" if port in self._allowed else "no client may offer it any more"
                    log.info("port %d is closed: %s", port, why)

    # Visitors

    def _serve(self, door: Door, sock: Any, address: Any) -> None:
        connection = Connection(sock, peer_name(address))
        self._connections[connection] = None
        series = self._counters.port(door.port)
        series.open += 1
        series.total += 1
        try:
            reason = self._carry(door, connection, series)
            if reason:
                self._counters.refuse(reason)
        except ProxyProtocolError as error:
            self._counters.refuse("malformed PROXY header")
            log.warning("%s on port %d is cut off: %s", connection.peer, door.port, error)
        except OSError:
            self._counters.refuse("visitor left")
        finally:
            connection.abort()
            series.open -= 1
            del self._connections[connection]

    def _carry(self, door: Door, connection: Connection, series: PortSeries) -> str:
        """Returns why the connection was turned away, or ""."""
        config = self._config
        host = _host(connection.peer)
        destination = connection.local if config.proxy_protocol else None
        early = b""
        if config.lb_proxy_protocol and host in self._balancers:
            header, early = read_header(connection, config.lb_proxy_protocol)
            destination = header.destination or destination
            host = _host(connection.peer)
        if not self._admission.admits(host):
            return "address not allowed"
        preface = b""
        if config.proxy_protocol:
            preface = proxy_protocol.encode(config.proxy_protocol, endpoint(connection.peer), destination)
        passage = self._connections[connection] = Passage(connection, preface, early, config.idle_timeout)
        ways = door.ways(config.connect_timeout)
        try:
            return passage.run(ways, config.connect_timeout)
        finally:
            ways.close()
            series.bytes_in += passage.sent
            series.bytes_out += passage.received
            if isinstance(passage.way, Member):
                passage.way.session.bytes_in += passage.sent
                passage.way.session.bytes_out += passage.received


def _host(peer: str) -> str:
    return peer.rpartition(":")[0].strip("[]")


def _shortened(ports: str) -> str:
    return ports if len(ports) <= SHOWN_PORTS else ports[:SHOWN_PORTS].rpartition(",")[0] + " and others"


def _why(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use by another program of the server; it is tried again every now and then"
    if error.errno == errno.EACCES:
        return f"port {port} needs a right that the server has not: CAP_NET_BIND_SERVICE, for ports below 1024"
    return f"port {port} cannot be opened: {error.strerror or os.strerror(error.errno or 0)}"
