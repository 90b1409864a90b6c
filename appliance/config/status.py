"""Options of ``sluice status``, and those of all commands that ask a server."""

from dataclasses import dataclass

from appliance.config.options import ConfigError, check_ranges, option
from appliance.config.shared import OUTPUT, SERVER, LicenceOptions, TokenOptions
from appliance.config.trust import TrustOptions

JSON_HELP = "Print JSON."


@dataclass(frozen=True, kw_only=True)
class AskingOptions(TokenOptions, TrustOptions, LicenceOptions):
    url: str = option("wss://127.0.0.1:8123", group=SERVER, metavar="URL", help="The server's control plane.")
    json: bool = option(False, group=OUTPUT, help=JSON_HELP)

    def check_url(self) -> None:
        if not self.url.strip():
            raise ConfigError("--url is empty: give the server's address, like wss://203.0.113.7:8123")
        self.check_trust(self.url)


@dataclass(frozen=True, kw_only=True)
class StatusConfig(AskingOptions):
    json: bool = option(False, group=OUTPUT, help="Print the server's answer as JSON; with --watch, a line for each.")
    watch: bool = option(False, group=OUTPUT, help="Show what goes on, live, until q or Ctrl-C.")
    interval: float = option(
        1.0,
        group=OUTPUT,
        unit="seconds",
        minimum=0.2,
        maximum=3600.0,
        metavar="DURATION",
        help="Time between two looks of --watch.",
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.interval != 1.0 and not self.watch:
            raise ConfigError("--interval is for --watch: give that, too, or leave it out")
        self.check_url()
