"""Options that several commands have: token, logging, and the licence flags that scripts of inlets carry."""

from dataclasses import dataclass
from typing import ClassVar

from appliance.config.options import LOG_LEVELS, option

SERVER = "Server"
UPSTREAMS = "Upstreams"
FILES = "Files"
LISTENING = "Listening"
ACCESS = "Access"
TLS = "TLS"
LIMITS = "Limits"
OUTPUT = "Output"
HELP = "Help"
# As help shows them.
GROUPS = (SERVER, UPSTREAMS, FILES, LISTENING, ACCESS, TLS, LIMITS, OUTPUT, HELP)


@dataclass(frozen=True, kw_only=True)
class TokenOptions:
    """Where the token comes from: at most one of three places, read by ``config.secrets``."""

    no_token_advice: ClassVar[str] = "pass the server's token with --token-file FILE"

    token: str | None = option(
        None,
        group=ACCESS,
        secret=True,
        metavar="TEXT",
        help="The token itself. Others see it in `ps`: prefer --token-file.",
    )
    token_file: str | None = option(
        None, group=ACCESS, aliases=("--token-from",), metavar="FILE", help="File that holds the token."
    )
    token_env: str | None = option(
        None, group=ACCESS, metavar="NAME", help="Environment variable that holds the token."
    )


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """How much is said on standard error."""

    log_level: str = option(
        "info",
        group=OUTPUT,
        choices=LOG_LEVELS,
        metavar="LEVEL",
        help=f"How much to log: {', '.join(LOG_LEVELS)}.",
    )


@dataclass(frozen=True, kw_only=True)
class LicenceOptions:
    """Accepted so that existing scripts and units run; nothing reads them."""

    license: str | None = option(None, hidden=True, secret=True, help="Not needed; ignored.")
    license_file: str | None = option(None, hidden=True, help="Not needed; ignored.")
    license_env: str | None = option(None, hidden=True, help="Not needed; ignored.")

    @property
    def licence_given(self) -> bool:
        return not (self.license is None and self.license_file is None and self.license_env is None)
