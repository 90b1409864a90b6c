"""The contestants: each brings a loopback port to the same nginx, and names the processes it costs."""

from __future__ import annotations

from .base import Contestant
from .relays import Haproxy, NginxDirect
from .sluice import Sluice, SluicePlain, SluiceTcp, SluiceTcpPlain
from .ssh import Ssh, SshSession

CONTESTANTS: dict[str, type[Contestant]] = {
    kind.name: kind for kind in (NginxDirect, Haproxy, Ssh, SshSession, Sluice, SluicePlain, SluiceTcp, SluiceTcpPlain)
}
