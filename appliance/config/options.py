"""How an option is described: one dataclass field with metadata. No parsing of command lines here."""

import dataclasses
import ipaddress
import re
from collections.abc import Iterator
from typing import Any

LOG_LEVELS = ("debug", "info", "warning", "error")

_METADATA_KEY = "option"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class ConfigError(Exception):
    """The configuration is wrong. One line that names the flag to change; commands exit 2 with it. `file`, `line` and
    `key`: where that is, as far as it is known."""

    def __init__(self, message: str, *, file: str = "", line: int = 0, key: str = "") -> None:
        super().__init__(message)
        self.file = file
        self.line = line
        self.key = key


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """What a command line needs to know about a field beyond its name, type and default.

    ``unit`` "seconds" makes a number accept durations ("90", "1m30s"). ``aliases`` work and are not shown. ``bare``:
    what the flag means without a value. ``positional``: no flag, but the word behind the command. ``environment``: a
    variable that stands in where the flag is not given.
    """

    help: str
    group: str = ""
    short: str | None = None
    aliases: tuple[str, ...] = ()
    metavar: str | None = None
    unit: str | None = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    default_text: str | None = None
    environment: str | None = None
    hidden: bool = False
    secret: bool = False
    bare: str | None = None
    positional: bool = False


def option(default: Any = dataclasses.MISSING, **described: Any) -> Any:
    """A dataclass field that is an option; keywords are those of `Option`. Secrets stay out of ``repr``."""
    described_as = Option(**described)
    return dataclasses.field(default=default, repr=not described_as.secret, metadata={_METADATA_KEY: described_as})


def options_of(config_class: type) -> Iterator[tuple[dataclasses.Field[Any], Option]]:
    """The fields of a config class that are options, in order, each with its description."""
    for field in dataclasses.fields(config_class):
        if _METADATA_KEY in field.metadata:
            yield field, field.metadata[_METADATA_KEY]


def flag(field_name: str) -> str:
    """``token_file`` -> ``--token-file``."""
    return "--" + field_name.replace("_", "-")


def check_ranges(config: Any) -> None:
    """Raise ConfigError for a number out of its option's range, or text that is none of its choices."""
    for field, described in options_of(type(config)):
        value = getattr(config, field.name)
        if described.minimum is not None and value < described.minimum:
            raise ConfigError(f"{flag(field.name)} {value:g} is too small: at least {described.minimum:g}")
        if described.maximum is not None and not value <= described.maximum:
            raise ConfigError(f"{flag(field.name)} {value:g} is too large: at most {described.maximum:g}")
        if described.choices and value not in described.choices:
            raise ConfigError(f"{flag(field.name)} {value!r}: one of {', '.join(filter(None, described.choices))}")


def parse_duration(text: str) -> float:
    """Seconds of "90", "90s", "1m30s", "500ms", "1.5h". Raises ValueError with a reason."""
    text = text.strip().lower()
    total, position = 0.0, 0
    while position < len(text):
        found = _DURATION.match(text, position)
        if found is None or (found[2] is None and found[0] != text):
            break
        total += float(found[1]) * _UNIT_SECONDS[found[2] or "s"]
        position = found.end()
    if not text or position < len(text):
        raise ValueError(f"{text!r} is not a duration; write 30s, 2m or 1m30s")
    return total


def parse_boolean(text: str) -> bool:
    """True or False of the words that Go's flags take. Raises ValueError with a reason."""
    word = text.strip().lower()
    if word in ("true", "t", "1", "yes", "on"):
        return True
    if word in ("false", "f", "0", "no", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def listen_host(text: str, field_name: str) -> str:
    """The bare address to listen on: "127.0.0.1:" (as inlets has it) and "[::1]" lose their punctuation."""
    host = text.strip()
    bracketed = re.fullmatch(r"\[(.*)\]:?", host)
    if bracketed:
        host = bracketed[1]
    elif host.count(":") == 1 and host.endswith(":"):
        host = host[:-1]
    if re.fullmatch(r".*:\d+", host) and host.count(":") == 1:
        raise ConfigError(f"{flag(field_name)} {text!r} has a port: an address alone belongs here")
    if host and not re.fullmatch(r"[A-Za-z0-9._:%-]+", host):
        raise ConfigError(f"{flag(field_name)} {text!r} is not an address")
    return host


def check_networks(networks: tuple[str, ...], field_name: str) -> None:
    """Raise ConfigError unless each is an IP address or a CIDR block."""
    for network in networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise ConfigError(
                f"{flag(field_name)} {network!r} is neither an IP address nor a CIDR block like 10.0.0.0/8"
            ) from None
