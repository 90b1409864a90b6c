"""Options that commands of all kinds have: token, logging, and the licence flags that scripts of inlets carry."""

from dataclasses import dataclass
from typing import ClassVar

from appliance.config.options import LOG_LEVELS, option

SERVER = "Server"
UPSTREAMS = "Upstreams"
LOCAL = "Local forwarding"
FILES = "Files"
LISTENING = "Listening"
PROXIES = "Proxies"
ACCESS = "Access"
TLS = "TLS"
LIMITS = "Limits"
INSPECTOR = "Inspector"
CONFIGURATION = "Configuration"
OUTPUT = "Output"
HELP = "Help"
# As help shows them.
GROUPS = (
    SERVER,
    UPSTREAMS,
    LOCAL,
    FILES,
    LISTENING,
    ACCESS,
    PROXIES,
    TLS,
    LIMITS,
    INSPECTOR,
    CONFIGURATION,
    OUTPUT,
    HELP,
)

# As it is typed; nobody else may read the file.
MAKE_TOKEN = "(umask 077; head -c 32 /dev/urandom | base64 > token)"

# What options of a kind have in common.
PORT = {"minimum": 0, "maximum": 65535, "metavar": "PORT"}
SECONDS = {"unit": "seconds", "minimum": 0.1, "maximum": 86400.0, "metavar": "DURATION", "group": LIMITS}
GRACE = SECONDS | {"minimum": 0.0}
PROXY_PROTOCOL = {"choices": ("", "v1", "v2"), "metavar": "v1|v2", "group": PROXIES}


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
