"""Options of ``sluice http client``."""

import re
from dataclasses import dataclass

from appliance.config.options import ConfigError, check_ranges, option
from appliance.config.shared import LIMITS, SERVER, TLS, UPSTREAMS, LicenceOptions, LogOptions, TokenOptions


@dataclass(frozen=True, kw_only=True)
class HttpClientConfig(TokenOptions, LogOptions, LicenceOptions):
    url: str = option(
        group=SERVER,
        metavar="URL",
        help="The server: wss://host:8123. wss://host is port 443 with a public certificate, ws:// is plain.",
    )
    client_id: str | None = option(
        None,
        group=SERVER,
        metavar="HEX",
        default_text="random",
        help="Identity of this client: 32 hex digits.",
    )

    upstream: tuple[str, ...] = option(
        (),
        group=UPSTREAMS,
        metavar="[NAME=]TARGET",
        help="What visitors reach under NAME: http://host:port, https://host:port, unix:/socket, /directory "
        "(/directory?browse=true also lists it). "
        "Without NAME: under every name. Several, comma-separated, or the flag again.",
    )
    strict_forwarding: bool = option(
        True, group=UPSTREAMS, help="Dial declared upstreams only, whatever the server asks for."
    )
    host_header: str | None = option(
        None,
        group=UPSTREAMS,
        metavar="NAME",
        default_text="as visitors send it",
        help="Host header for upstreams.",
    )
    upstream_insecure: bool = option(
        False,
        group=UPSTREAMS,
        help="Accept any certificate of https:// upstreams (one: https://...?insecure=true).",
    )
    upstream_timeout: float = option(
        10.0,
        group=LIMITS,
        unit="seconds",
        minimum=0.1,
        maximum=3600.0,
        metavar="DURATION",
        help="Time an upstream has to accept a connection.",
    )

    auto_tls: bool = option(True, group=TLS, help="Fetch and trust the server's own authority.")
    insecure: bool = option(False, group=TLS, help="Accept any certificate of the server.")

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.url.strip():
            raise ConfigError("--url is empty: give the server's address, like wss://203.0.113.7:8123")
        if not any(text.strip() for text in self.upstream):
            raise ConfigError("no --upstream given: say what to tunnel, like --upstream http://127.0.0.1:3000")
        if self.client_id is not None and not re.fullmatch(r"[0-9a-f]{32}", self.client_id):
            raise ConfigError(f"--client-id {self.client_id!r}: 32 hex digits (0-9, a-f) are needed")
        if self.host_header and not re.fullmatch(r"[A-Za-z0-9._:\[\]-]+", self.host_header):
            raise ConfigError(f"--host-header {self.host_header!r} is not a host name")
