"""Options of ``sluice http server``."""

from dataclasses import dataclass
from typing import ClassVar

from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.options import ConfigError, option
from appliance.config.shared import LISTENING, PORT, SECONDS


@dataclass(frozen=True, kw_only=True)
class HttpServerConfig(ControlPlaneOptions):
    mode: ClassVar[str] = "http"

    port: int = option(8000, group=LISTENING, short="-p", **PORT, help="Port for visitors by HTTP (data plane).")

    response_timeout: float = option(120.0, **SECONDS, help="Time an upstream has to begin its response.")
    keepalive_timeout: float = option(
        75.0, **SECONDS, help="Time a visitor's HTTP connection is kept between requests."
    )
    head_timeout: float = option(20.0, **SECONDS, help="Time a visitor has to send a request head.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.port and self.port == self.control_port:
            raise ConfigError(f"--port and --control-port are both {self.port}: change one of them")
