"""Options of ``sluice tcp server``."""

from dataclasses import dataclass
from typing import ClassVar

from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.options import option
from appliance.config.shared import ACCESS, PROXY_PROTOCOL, SECONDS

MONTH_SECONDS = 30 * 86400.0


@dataclass(frozen=True, kw_only=True)
class TcpServerConfig(ControlPlaneOptions):
    mode: ClassVar[str] = "tcp"

    allow_ports: tuple[str, ...] = option(
        ("1024-65535", "80", "443"),
        group=ACCESS,
        metavar="PORTS",
        help="Ports that clients may open for visitors: 443, 1024-65535, or * for all.",
    )
    proxy_protocol: str = option(
        "", **PROXY_PROTOCOL, help="PROXY header that upstreams get first, with the visitor's address."
    )
    idle_timeout: float = option(
        0.0,
        **SECONDS | {"minimum": 0.0, "maximum": MONTH_SECONDS},
        default_text="never",
        help="Time without a byte in either direction after which a TCP connection ends.",
    )
