"""Options that every client has: the server, what may be dialled, and the services it brings home."""

import os
import re
from dataclasses import dataclass
from typing import ClassVar

from appliance.config.generate import GenerateOptions
from appliance.config.options import ConfigError, check_ranges, listen_host, option
from appliance.config.origin import ConfigFileOptions
from appliance.config.shared import (
    GRACE,
    LOCAL,
    SECONDS,
    SERVER,
    UPSTREAMS,
    LicenceOptions,
    LogOptions,
    TokenOptions,
)
from appliance.config.trust import TrustOptions

MOST_NAME = 64  # letters; the server takes no longer one


@dataclass(frozen=True, kw_only=True)
class ClientOptions(TokenOptions, TrustOptions, LogOptions, ConfigFileOptions, GenerateOptions, LicenceOptions):
    """``nothing_given``: what is said to who gives a client nothing to do."""

    nothing_given: ClassVar[str] = ""

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
    name: str | None = option(
        None,
        group=SERVER,
        metavar="TEXT",
        default_text="this machine's host name",
        help="What this client is called on the server: in its log, on its admin page, in `status --watch`.",
    )

    upstream: tuple[str, ...] = option((), group=UPSTREAMS, help="What visitors reach.")
    strict_forwarding: bool = option(
        True, group=UPSTREAMS, help="Dial declared upstreams only, whatever the server asks for."
    )
    local: tuple[str, ...] = option(
        (),
        group=LOCAL,
        metavar="LPORT:HOST:PORT",
        help="Open LPORT here for a service of the server's network (if its --client-forwarding is on).",
    )
    local_addr: str = option("127.0.0.1", group=LOCAL, metavar="ADDRESS", help="Address for the ports of --local.")

    upstream_timeout: float = option(
        10.0, **SECONDS | {"maximum": 3600.0}, help="Time an upstream has to accept a connection."
    )
    grace: float = option(
        30.0, **GRACE, help="Time that what is under way has to end when the client stops: requests, connections."
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "local_addr", listen_host(self.local_addr, "local_addr"))
        check_ranges(self)
        self.check_generate()
        if not self.url.strip():
            raise ConfigError("--url is empty: give the server's address, like wss://203.0.113.7:8123")
        self.check_trust(self.url)
        if not any(text.strip() for text in (*self.upstream, *self.offered_ports, *self.local)):
            raise ConfigError(self.nothing_given)
        if self.client_id is not None and not re.fullmatch(r"[0-9a-f]{32}", self.client_id):
            raise ConfigError(f"--client-id {self.client_id!r}: 32 hex digits (0-9, a-f) are needed")
        if self.name is not None and not (0 < len(self.name.strip()) <= MOST_NAME and self.name.isprintable()):
            raise ConfigError(f"--name {self.name!r}: 1 to {MOST_NAME} printable characters are needed")

    @property
    def called(self) -> str:
        """The client's name."""
        given = self.name if self.name is not None else os.uname().nodename
        return "".join(sign for sign in given.strip() if sign.isprintable())[:MOST_NAME]

    @property
    def offered_ports(self) -> tuple[str, ...]:
        """What ``--port`` and ``--ports`` list, for clients that have these."""
        return ()
