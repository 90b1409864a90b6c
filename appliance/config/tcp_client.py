"""Options of ``sluice tcp client``."""

from dataclasses import dataclass
from typing import ClassVar

from appliance.config.client_options import ClientOptions
from appliance.config.options import option
from appliance.config.shared import UPSTREAMS


@dataclass(frozen=True, kw_only=True)
class TcpClientConfig(ClientOptions):
    nothing_given: ClassVar[str] = (
        "no --upstream, --port or --local given: say what to tunnel, like --upstream 2222=127.0.0.1:22"
    )

    upstream: tuple[str, ...] = option(
        (),
        group=UPSTREAMS,
        metavar="[PORT=]HOST[:PORT]",
        help="What visitors reach at a port of the server: PORT=HOST:PORT, PORT=unix:/socket, HOST:PORT (the same port "
        "there), or HOST for all of --port. Several, comma-separated, or the flag again.",
    )
    port: tuple[str, ...] = option(
        (),
        group=UPSTREAMS,
        short="-p",
        metavar="PORT",
        help="Port of the server to open, for the same port of the --upstream HOST, or of this machine.",
    )
    ports: tuple[str, ...] = option((), group=UPSTREAMS, metavar="PORT,PORT", help="As --port, for several at once.")

    @property
    def offered_ports(self) -> tuple[str, ...]:
        return self.port + self.ports
