"""`sluice fileserver`: the file service on a port of its own, until SIGINT or SIGTERM."""

from __future__ import annotations

import ipaddress
import logging
import os
import resource
import signal
import time
from typing import Any

import gevent
from gevent.event import Event

from appliance.config.file_server import FileServerConfig
from appliance.config.options import ConfigError
from appliance.config.secrets import find_token
from appliance.fileserver.service import FileService
from appliance.transport.connection import Connection, peer_name, tune
from appliance.transport.listener import Acceptor, listen
from appliance.tunnel.addresses import Admission

# How long answers under way are waited for at the end.
FINISH_SECONDS = 5.0
# Descriptors that are not for connections: an answer needs one for its file and a few on the way to it.
RESERVED_DESCRIPTORS = 64

log = logging.getLogger("sluice.fileserver")


def run(config: FileServerConfig) -> None:
    """Serve until a signal. Raises ConfigError when that cannot begin."""
    server = FileServer(config)
    stop = Event()
    handlers = [gevent.signal_handler(number, stop.set) for number in (signal.SIGINT, signal.SIGTERM)]
    server.start()
    for line in server.description():
        log.info("%s", line)
    try:
        stop.wait()
    finally:
        for handler in handlers:
            handler.cancel()  # a second signal ends the process at once
        log.info("stopping")
        server.stop()


class FileServer:
    """The stand-alone server. `start`, then `stop`."""

    def __init__(self, config: FileServerConfig) -> None:
        password = find_token(config, os.environ)
        root = os.path.abspath(config.webroot)
        try:
            os.close(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            raise ConfigError(f"--webroot {config.webroot} cannot be served: {error.strerror}") from None
        self.service = FileService(root, config.allow_browsing, password)
        self._config = config
        self._admission = Admission(config.allow_ips)
        self._has_password = password is not None
        self._acceptor: Acceptor | None = None

    @property
    def port(self) -> int:
        """The port listened on, once started."""
        assert self._acceptor is not None
        return self._acceptor.port

    def start(self) -> None:
        config = self._config
        try:
            sockets = listen(config.listen_addr, config.port)
        except OSError as error:
            place = f"{config.listen_addr or '*'}:{config.port}"
            raise ConfigError(
                f"cannot listen on {place}: {error.strerror or error}; change --port or --listen-addr"
            ) from None
        self._acceptor = Acceptor("file server visitor", sockets, self._visitor, connection_limit())
        self._acceptor.start()

    def description(self) -> list[str]:
        """What is served, where, and to whom."""
        config, service = self._config, self.service
        host = config.listen_addr or "localhost"
        host = f"[{host}]" if ":" in host else host
        lines = [
            f"serving {service.root} on http://{host}:{self.port}/",
            f"browsing is {'on' if service.allow_browsing else 'off (--allow-browsing lists directories)'}; "
            f"password is {'on' if self._has_password else 'off (--token-file asks for one)'}; "
            "names that begin with a dot are hidden",
        ]
        if config.allow_ips:
            lines.append(f"nobody is let in but {', '.join(config.allow_ips)} (--allow-ips)")
        elif not self._has_password and not _is_loopback(config.listen_addr):
            lines.append("everybody who reaches this port can read these files")
        return lines

    def stop(self) -> None:
        """Stop listening; answers under way may end, for FINISH_SECONDS."""
        if self._acceptor is not None:
            self._acceptor.stop()
        visits = self.service.visits
        for visit in tuple(visits):
            visit.end_when_idle()
        until = time.monotonic() + FINISH_SECONDS
        while visits and time.monotonic() < until:
            gevent.sleep(0.05)
        for visit in tuple(visits):
            visit.connection.abort()

    def _visitor(self, sock: Any, address: Any) -> None:
        try:
            tune(sock)
        except OSError:  # gone already
            sock.close()
            return
        connection = Connection(sock, peer_name(address))
        if self._admission.admits(address[0]):
            self.service.serve(connection)
        else:
            self.service.turn_away(connection)


def connection_limit() -> int:
    """As many connections as leave descriptors for the files; raises the soft limit to the hard one first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass
    if soft == resource.RLIM_INFINITY:
        return 0
    # Each connection may have its file open at the same time.
    return max((soft - RESERVED_DESCRIPTORS) // 2, 16)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
