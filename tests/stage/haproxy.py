"""Debian's haproxy as a load balancer in front, in a directory of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.stage.process import Process, eventually, free_port, listening

SOURCE = "127.0.0.77"  # from which it connects, so that servers can tell it from their other visitors

DEFAULTS = """
global
    maxconn 200
defaults
    mode tcp
    timeout connect 10s
    timeout client 30s
    timeout server 30s
"""
PROXY = """
listen {name}
    bind 127.0.0.1:{port}
    bind [::1]:{port}
    server behind 127.0.0.1:{server_port} {sends} source {source}
"""


class Haproxy:
    """In front of `servers` (by name, a port of this machine each). `sends`: "send-proxy" or "send-proxy-v2".

    `ports`: by the same names, where it listens.
    """

    def __init__(self, directory: Path, servers: Mapping[str, int], sends: str) -> None:
        self.ports = {name: free_port() for name in servers}
        proxies = [
            PROXY.format(name=name, port=self.ports[name], server_port=port, sends=sends, source=SOURCE)
            for name, port in servers.items()
        ]
        configuration = directory / "haproxy.cfg"
        configuration.write_text(DEFAULTS + "".join(proxies))
        self.process = Process("haproxy", ["/usr/sbin/haproxy", "-db", "-f", str(configuration)], directory)
        for port in self.ports.values():
            eventually(lambda port=port: listening(port), "haproxy listens", self.process)

    def close(self) -> None:
        self.process.stop()
