"""nginx itself, and haproxy in front of it."""

from __future__ import annotations

from ..lab import LOOPBACK, answers, free_port, wait_until
from .base import Contestant, Startup


class NginxDirect(Contestant):
    """No tunnel at all: what the machine, wrk and nginx can do."""

    name = "nginx"
    title = "nginx direct"
    is_tunnel = False

    def start(self) -> Startup:
        self.port = self.lab.upstream_port
        return Startup(0.0, None)


class Haproxy(Contestant):
    """A relay in one process that parses nothing and encrypts nothing."""

    name = "haproxy"
    title = "haproxy (TCP)"
    programs = ("haproxy",)

    def start(self) -> Startup:
        self.port = free_port()
        directory = self.lab.directory(self.name)
        config = directory / "haproxy.cfg"
        config.write_text(haproxy_config(self.port, self.lab.upstream_port))
        command = [self.lab.places.programs["haproxy"], "-db", "-f", str(config)]
        self.server = self.lab.run(command, directory / "log")
        return Startup(wait_until(lambda: answers(self.port), [self.server], "haproxy"), None)


def haproxy_config(port: int, upstream_port: int) -> str:
    # One thread, as each process of the others has.
    return f"""global
    maxconn 4096
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 600s
    timeout server 600s
listen bench
    bind {LOOPBACK}:{port} backlog 4096
    server nginx {LOOPBACK}:{upstream_port}
"""
