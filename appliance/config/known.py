"""Options of ``sluice trust``."""

from dataclasses import dataclass

from appliance.config.options import ConfigError, option
from appliance.config.shared import OUTPUT, SERVER, TLS
from appliance.config.trust import is_plain, parse_fingerprint


@dataclass(frozen=True, kw_only=True)
class KnownConfig:
    """``ca_fingerprint`` is canonical: 64 hex digits, lower case."""

    url: str = option("", group=SERVER, metavar="URL", help="The server, as the client has it: wss://host:8123.")
    ca_fingerprint: str | None = option(
        None,
        group=TLS,
        metavar="HEX",
        help="SHA-256 of the authority to trust, as `sluice certificates` shows it on the server: asks no question.",
    )
    forget: bool = option(False, group=TLS, help="Forget what is known of the server.")
    list: bool = option(False, group=OUTPUT, help="Show all servers that are known.")
    json: bool = option(False, group=OUTPUT, help="Print JSON.")

    def __post_init__(self) -> None:
        if self.ca_fingerprint is not None:
            object.__setattr__(self, "ca_fingerprint", parse_fingerprint(self.ca_fingerprint))
        if self.list:
            if self.url or self.forget or self.ca_fingerprint:
                raise ConfigError("--list shows all servers and does nothing else: leave the other flags out")
        elif not self.url.strip():
            raise ConfigError(
                "--url is missing: give the server as the client has it, or --list for all that are known"
            )
        elif is_plain(self.url):
            raise ConfigError("--url: ws:// has no certificate to trust; write wss:// if the server uses TLS")
        if self.forget and self.ca_fingerprint:
            raise ConfigError("--forget and --ca-fingerprint exclude each other: leave one of them out")
