"""Options of ``sluice doctor``."""

from dataclasses import dataclass

from appliance.config.options import ConfigError, check_ranges, option
from appliance.config.shared import CONFIGURATION, OUTPUT, SERVER
from appliance.config.status import JSON_HELP, AskingOptions


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(AskingOptions):
    """`url` empty: no server is asked, but for what `config` says."""

    url: str = option("", group=SERVER, metavar="URL", help="A server to look at as a client does: wss://host:8123.")
    name: tuple[str, ...] = option(
        (), group=SERVER, metavar="NAME", help="Name that visitors or clients use for the server: is it in the DNS?"
    )
    config: str | None = option(
        None,
        group=CONFIGURATION,
        metavar="FILE",
        help="The configuration file of a server or a client here: looks at all that it needs.",
    )
    json: bool = option(False, group=OUTPUT, help=JSON_HELP)

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.url.strip():
            self.check_trust(self.url)
            if self.config is not None:
                raise ConfigError("--config says what to look at, and so does --url: give one of them")
        elif self.token is not None or self.token_file is not None or self.token_env is not None:
            raise ConfigError("a token is for --url: give that, too, or leave the token out")
