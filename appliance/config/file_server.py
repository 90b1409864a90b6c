"""Options of ``sluice fileserver``."""

from dataclasses import dataclass

from appliance.config.options import check_networks, check_ranges, listen_host, option
from appliance.config.shared import ACCESS, FILES, LISTENING, LicenceOptions, LogOptions, TokenOptions


@dataclass(frozen=True, kw_only=True)
class FileServerConfig(TokenOptions, LogOptions, LicenceOptions):
    webroot: str = option(
        ".",
        short="-w",
        group=FILES,
        metavar="DIRECTORY",
        help="Directory to serve; names that begin with a dot are hidden.",
    )
    allow_browsing: bool = option(False, short="-a", group=FILES, help="Show listings of directories.")
    port: int = option(
        8080, short="-p", group=LISTENING, minimum=0, maximum=65535, metavar="PORT", help="Port to listen on."
    )
    listen_addr: str = option("127.0.0.1", group=LISTENING, metavar="ADDRESS", help="Address to listen on.")
    token: str | None = option(
        None,
        short="-t",
        group=ACCESS,
        secret=True,
        metavar="TEXT",
        help="Password that visitors must give (basic auth, any user name). "
        "Others see it in `ps`: prefer --token-file.",
    )
    token_file: str | None = option(
        None,
        short="-f",
        group=ACCESS,
        aliases=("--token-from",),
        metavar="FILE",
        help="File that holds the password.",
    )
    token_env: str | None = option(
        None, group=ACCESS, metavar="NAME", help="Environment variable that holds the password."
    )

    allow_ips: tuple[str, ...] = option(
        (),
        group=ACCESS,
        metavar="IP|CIDR",
        default_text="everybody",
        help="Who may connect; others are turned away.",
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "listen_addr", listen_host(self.listen_addr, "listen_addr"))
        check_ranges(self)
        check_networks(self.allow_ips, "allow_ips")
