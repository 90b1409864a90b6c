"""Options of ``sluice tokens``: list, add and remove."""

import re
from dataclasses import dataclass

from appliance.config.options import ConfigError, option
from appliance.config.shared import UPSTREAMS
from appliance.config.status import AskingOptions

_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch


@dataclass(frozen=True, kw_only=True)
class TokensConfig(AskingOptions):
    def __post_init__(self) -> None:
        self.check_url()


@dataclass(frozen=True, kw_only=True)
class NamedTokenConfig(TokensConfig):
    name: str = option(positional=True, metavar="NAME", help="What the token is called.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _name(self.name):
            raise ConfigError(
                f"NAME {self.name!r}: 1 to 64 letters (a to z), digits, dots, dashes and underscores are needed, the "
                "first a letter or a digit"
            )


@dataclass(frozen=True, kw_only=True)
class NewTokenConfig(NamedTokenConfig):
    names: tuple[str, ...] = option(
        (),
        group=UPSTREAMS,
        metavar="NAME",
        help="Names that its clients may serve, like app.example.com, *.home.example.com, or * for all. With --ports "
        "alone: none; with neither: all.",
    )
    ports: tuple[str, ...] = option(
        (),
        group=UPSTREAMS,
        metavar="PORT",
        help="Ports that its clients may open, of those that the server allows, like 2222, 8000-8010, or * for all. "
        "With --names alone: none; with neither: all.",
    )
    forward: bool = option(
        False, group=UPSTREAMS, help="Let its clients use --local, if the server's --client-forwarding is on."
    )
