"""Options of ``sluice http client``."""

import re
from dataclasses import dataclass
from typing import ClassVar

from appliance.config.client_options import ClientOptions
from appliance.config.options import ConfigError, option
from appliance.config.shared import INSPECTOR, UPSTREAMS

INSPECT_ADDRESS = "127.0.0.1:4040"


@dataclass(frozen=True, kw_only=True)
class HttpClientConfig(ClientOptions):
    nothing_given: ClassVar[str] = "no --upstream given: say what to tunnel, like --upstream http://127.0.0.1:3000"

    upstream: tuple[str, ...] = option(
        (),
        group=UPSTREAMS,
        metavar="[NAME=]TARGET",
        help="What visitors reach under NAME: http://host:port, https://host:port, unix:/socket, /directory "
        "(/directory?browse=true also lists it). "
        "Without NAME: under every name. Several, comma-separated, or the flag again.",
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

    inspect: str | None = option(
        None,
        group=INSPECTOR,
        metavar="ADDRESS:PORT",
        bare=INSPECT_ADDRESS,
        default_text="off",
        help=f"Record what goes through, and show it on a page at this loopback address (alone: {INSPECT_ADDRESS}).",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.host_header and not re.fullmatch(r"[A-Za-z0-9._:\[\]-]+", self.host_header):
            raise ConfigError(f"--host-header {self.host_header!r} is not a host name")
