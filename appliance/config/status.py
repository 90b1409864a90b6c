"""Options of ``sluice status``."""

from dataclasses import dataclass

from appliance.config.options import ConfigError, check_ranges, option
from appliance.config.shared import OUTPUT, SERVER, TLS, LicenceOptions, TokenOptions


@dataclass(frozen=True, kw_only=True)
class StatusConfig(TokenOptions, LicenceOptions):
    url: str = option("wss://127.0.0.1:8123", group=SERVER, metavar="URL", help="The server's control plane.")
    json: bool = option(False, group=OUTPUT, help="Print the server's answer as JSON.")
    auto_tls: bool = option(True, group=TLS, help="Fetch and trust the server's own authority.")
    insecure: bool = option(False, group=TLS, help="Accept any certificate of the server.")

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.url.strip():
            raise ConfigError("--url is empty: give the server's address, like wss://203.0.113.7:8123")
