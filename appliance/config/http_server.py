"""Options of ``sluice http server``."""

from dataclasses import dataclass
from typing import ClassVar

from appliance.config.options import ConfigError, check_networks, check_ranges, listen_host, option
from appliance.config.shared import ACCESS, LIMITS, LISTENING, TLS, LicenceOptions, LogOptions, TokenOptions

PORT = {"minimum": 0, "maximum": 65535, "metavar": "PORT"}
SECONDS = {"unit": "seconds", "minimum": 0.1, "maximum": 86400.0, "metavar": "DURATION", "group": LIMITS}


@dataclass(frozen=True, kw_only=True)
class HttpServerConfig(TokenOptions, LogOptions, LicenceOptions):
    no_token_advice: ClassVar[str] = (
        "make one with `head -c 32 /dev/urandom | base64 > token`, then start with --token-file token"
    )

    port: int = option(8000, group=LISTENING, short="-p", **PORT, help="Port for visitors (data plane).")
    data_addr: str = option(
        "",
        group=LISTENING,
        metavar="ADDRESS",
        default_text="all",
        help="Address for visitors, like 127.0.0.1.",
    )
    control_port: int = option(
        8123, group=LISTENING, **PORT, help="Port for clients, status and metrics (control plane)."
    )
    control_addr: str = option("0.0.0.0", group=LISTENING, metavar="ADDRESS", help="Address for the control plane.")

    trusted_proxies: tuple[str, ...] = option(
        (),
        group=ACCESS,
        metavar="IP|CIDR",
        help="Proxies in front of the data plane whose X-Forwarded-* headers are believed.",
    )

    auto_tls: bool = option(
        True, group=TLS, help="Control plane over TLS, with a certificate of the server's own authority."
    )
    auto_tls_san: tuple[str, ...] = option(
        (), group=TLS, metavar="IP|NAME", help="Address or name of the server for its certificate."
    )
    auto_tls_path: str | None = option(
        None,
        group=TLS,
        metavar="DIRECTORY",
        default_text="a state directory",
        help="Where authority and certificate are kept.",
    )
    tls_cert: str | None = option(
        None, group=TLS, metavar="FILE", help="Own certificate chain (PEM) for the control plane."
    )
    tls_key: str | None = option(None, group=TLS, metavar="FILE", help="Private key (PEM) of --tls-cert.")

    response_timeout: float = option(120.0, **SECONDS, help="Time an upstream has to begin its response.")
    idle_timeout: float = option(75.0, **SECONDS, help="Time a visitor's idle connection is kept.")
    head_timeout: float = option(20.0, **SECONDS, help="Time a visitor has to send a request head.")
    connect_timeout: float = option(10.0, **SECONDS, help="Time a request waits for a stream to its client.")
    heartbeat: float = option(20.0, **SECONDS, help="Time between heartbeats to clients.")
    warm_streams: int = option(
        8,
        group=LIMITS,
        minimum=0,
        maximum=1024,
        metavar="COUNT",
        help="Idle streams to keep open per client.",
    )
    max_connections: int = option(
        0,
        group=LIMITS,
        minimum=0,
        metavar="COUNT",
        default_text="from the descriptor limit",
        help="Visitors' connections at once.",
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "data_addr", listen_host(self.data_addr, "data_addr"))
        object.__setattr__(self, "control_addr", listen_host(self.control_addr, "control_addr"))
        check_ranges(self)
        check_networks(self.trusted_proxies, "trusted_proxies")
        if (self.tls_cert is None) != (self.tls_key is None):
            missing = "--tls-key" if self.tls_key is None else "--tls-cert"
            raise ConfigError(f"--tls-cert and --tls-key belong together: {missing} is missing")
        if self.port and self.port == self.control_port:
            raise ConfigError(f"--port and --control-port are both {self.port}: change one of them")

    @property
    def tls(self) -> bool:
        """Whether the control plane speaks TLS: an own certificate, or the automatic one."""
        return self.auto_tls or self.tls_cert is not None
