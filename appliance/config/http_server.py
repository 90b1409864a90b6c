"""Options of ``sluice http server``."""

import re
from dataclasses import dataclass
from typing import ClassVar

from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.data_tls import OFF, DataTlsOptions
from appliance.config.options import ConfigError, option
from appliance.config.shared import INSPECTOR, LISTENING, PORT, SECONDS

_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9])?)*")

PLAIN_PORT = 8000
PLAIN_PORT_BESIDE_HTTPS = 80  # where browsers and ACME authorities look


@dataclass(frozen=True, kw_only=True)
class HttpServerConfig(DataTlsOptions, ControlPlaneOptions):
    """`port` is always a number here; `port_given`: it is the user's choice."""

    mode: ClassVar[str] = "http"
    port_given: ClassVar[bool] = True

    port: int = option(
        None,
        group=LISTENING,
        short="-p",
        **PORT,
        environment="PORT",
        default_text=f"$PORT; {PLAIN_PORT}; {PLAIN_PORT_BESIDE_HTTPS} with certificates",
        help="Port for visitors by HTTP (data plane).",
    )
    control_domain: str | None = option(
        None,
        group=LISTENING,
        metavar="NAME",
        help="Name under which the visitors' port (with certificates, that for HTTPS) leads to the control plane, too: "
        "where there is but one port.",
    )

    response_timeout: float = option(120.0, **SECONDS, help="Time an upstream has to begin its response.")
    keepalive_timeout: float = option(
        75.0, **SECONDS, help="Time a visitor's HTTP connection is kept between requests."
    )
    head_timeout: float = option(
        20.0, **SECONDS, help="Time a visitor has to send a request head; before it, for the TLS handshake."
    )

    inspect: tuple[str, ...] = option(
        (),
        group=INSPECTOR,
        metavar="NAME|*",
        default_text="none",
        help="Record what goes through under NAME (* is every name) for the admin page, until switched off there.",
    )

    def __post_init__(self) -> None:
        if self.port is None:
            object.__setattr__(self, "port_given", False)
            object.__setattr__(self, "port", PLAIN_PORT_BESIDE_HTTPS if self.secure else PLAIN_PORT)
        super().__post_init__()
        self._check_control_domain()
        if self.port and self.port == self.control_port and not (self.secure and self.plain_http == OFF):
            raise ConfigError(f"--port and --control-port are both {self.port}: change one of them")
        self.check_data_tls(self.port, self.control_port)
        for name in self.inspect:
            if not re.fullmatch(r"\*|(?:\*\.)?[A-Za-z0-9._:-]{1,253}", name):
                raise ConfigError(f"--inspect {name!r} is not a name that is served here: give one, or * for all")

    def _check_control_domain(self) -> None:
        if self.control_domain is None:
            return
        name = self.control_domain.strip().rstrip(".").lower()
        if not _DOMAIN.fullmatch(name):
            raise ConfigError(
                f"--control-domain {self.control_domain!r} is not a host name: write it like tunnel.example.com"
            )
        object.__setattr__(self, "control_domain", name)
