"""Options that every server has, whatever it serves: the control plane, who may come, what is kept ready."""

from dataclasses import dataclass
from typing import ClassVar

from appliance.config.generate import GenerateOptions
from appliance.config.options import ConfigError, check_networks, check_ranges, listen_host, option
from appliance.config.origin import ConfigFileOptions
from appliance.config.shared import (
    ACCESS,
    GRACE,
    LIMITS,
    LISTENING,
    MAKE_TOKEN,
    PORT,
    PROXIES,
    PROXY_PROTOCOL,
    SECONDS,
    TLS,
    LicenceOptions,
    LogOptions,
    TokenOptions,
)


@dataclass(frozen=True, kw_only=True)
class ControlPlaneOptions(TokenOptions, LogOptions, ConfigFileOptions, GenerateOptions, LicenceOptions):
    """``mode``: what visitors may speak, as ``/status`` says it. A server's config fills it in."""

    mode: ClassVar[str] = ""
    no_token_advice: ClassVar[str] = f"make one with `{MAKE_TOKEN}`, then start with --token-file token"

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

    allow_ips: tuple[str, ...] = option(
        (),
        group=ACCESS,
        metavar="IP|CIDR",
        default_text="everybody",
        help="Who may connect, as visitor or to the control plane; others are turned away.",
    )
    client_forwarding: bool = option(
        False, group=ACCESS, help="Let clients reach services of this network with their --local."
    )
    allow_forward_to: tuple[str, ...] = option(
        (),
        group=ACCESS,
        metavar="HOST|CIDR:PORTS",
        default_text="loopback",
        help="What --client-forwarding may reach, like db.internal:5432 or 10.0.0.0/8:80,443.",
    )

    trusted_proxies: tuple[str, ...] = option(
        (),
        group=PROXIES,
        metavar="IP|CIDR",
        help="Proxies in front of the data plane that are believed in what they say of visitors: "
        "X-Forwarded-*, or the PROXY header.",
    )
    lb_proxy_protocol: str = option(
        "",
        **PROXY_PROTOCOL,
        help="PROXY header that each connection of a load balancer in front begins with "
        "(name the balancer with --trusted-proxies).",
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

    connect_timeout: float = option(10.0, **SECONDS, help="Time a visitor waits for a stream to a client.")
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
    grace: float = option(
        30.0, **GRACE, help="Time that what is under way has to end when the server stops: requests, connections."
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "data_addr", listen_host(self.data_addr, "data_addr"))
        object.__setattr__(self, "control_addr", listen_host(self.control_addr, "control_addr"))
        check_ranges(self)
        self.check_generate()
        check_networks(self.trusted_proxies, "trusted_proxies")
        check_networks(self.allow_ips, "allow_ips")
        if (self.tls_cert is None) != (self.tls_key is None):
            missing = "--tls-key" if self.tls_key is None else "--tls-cert"
            raise ConfigError(f"--tls-cert and --tls-key belong together: {missing} is missing")
        if self.lb_proxy_protocol and not self.trusted_proxies:
            raise ConfigError("--lb-proxy-protocol needs --trusted-proxies: name the load balancer's address there")
        if self.allow_forward_to and not self.client_forwarding:
            raise ConfigError("--allow-forward-to is for --client-forwarding: give that, too, or leave it out")

    @property
    def tls(self) -> bool:
        """Whether the control plane speaks TLS: an own certificate, or the automatic one."""
        return self.auto_tls or self.tls_cert is not None
