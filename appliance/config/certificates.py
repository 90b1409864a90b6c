"""Options of ``sluice certificates``."""

from dataclasses import dataclass

from appliance.config.options import ConfigError, check_ranges, option
from appliance.config.shared import SERVER, TLS
from appliance.config.status import AskingOptions


@dataclass(frozen=True, kw_only=True)
class CertificatesConfig(AskingOptions):
    """`url` empty: those that this machine keeps."""

    url: str = option(
        "",
        group=SERVER,
        metavar="URL",
        default_text="this machine's files",
        help="The control plane of a server to ask.",
    )
    auto_tls_path: str | None = option(
        None,
        group=TLS,
        metavar="DIRECTORY",
        default_text="the state directory of this user",
        help="Where the server on this machine keeps its certificates.",
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.url.strip():
            self.check_trust(self.url)
            if self.auto_tls_path is not None:
                raise ConfigError(
                    "--auto-tls-path is for this machine's files, and --url asks a server: give one of them"
                )
        elif self.token is not None or self.token_file is not None or self.token_env is not None:
            raise ConfigError("a token is for --url: give that, too, or leave the token out")
