"""Options of ``sluice client``, which offers HTTP and TCP services at once."""

from dataclasses import dataclass
from typing import ClassVar

from appliance.config.http_client import HttpClientConfig
from appliance.config.options import option
from appliance.config.shared import UPSTREAMS
from appliance.config.tcp_client import TcpClientConfig


@dataclass(frozen=True, kw_only=True)
class ClientConfig(TcpClientConfig, HttpClientConfig):
    """The options of both, each once. An upstream whose name is digits alone is for a port."""

    nothing_given: ClassVar[str] = (
        "no --upstream, --port or --local given: say what to tunnel, like --upstream http://127.0.0.1:3000 "
        "or --upstream 2222=127.0.0.1:22"
    )

    upstream: tuple[str, ...] = option(
        (),
        group=UPSTREAMS,
        metavar="[NAME|PORT=]TARGET",
        help="What visitors reach. Under NAME, or every name, by HTTP: http://host:port, https://host:port, "
        "unix:/socket, /directory. At PORT of the server, by TCP: host:port, unix:/socket. "
        "Several, comma-separated, or the flag again.",
    )
