"""Where each option of a config was given; and the option --config, which names a file of others."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from appliance.config.options import ConfigError, option
from appliance.config.shared import CONFIGURATION

DEFAULT, FLAG, ENVIRONMENT, FILE = "default", "flag", "environment", "file"

_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*[a-z])(?![\w-])")


@dataclass(frozen=True)
class Origin:
    """`sources`: by field, FLAG, ENVIRONMENT or FILE; what is not there is a default. `path`: the file, or "".

    `place`: where in the file a field is, like "server.toml:3"; of a list, the piece that the message speaks of.
    `again`: the config of the same flags and the file as it is now; it raises ConfigError.
    """

    sources: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    place: Callable[[str, str], str] = lambda name, message: ""
    again: Callable[[], Any] | None = None

    def located(self, error: ConfigError) -> ConfigError:
        """A ConfigError, which names flags, with the place of the first that is in the file."""
        message = str(error)
        names = (found[1].replace("-", "_") for found in _FLAG.finditer(message))
        name = next((name for name in names if self.sources.get(name) == FILE), "")
        if not name or error.file:
            return error
        place = self.place(name, message)
        file, _, line = place.rpartition(":")
        number = int(line) if line.isdigit() else 0
        return ConfigError(f"{place}: {message}", file=file, line=number, key=name.replace("_", "-"))

    @contextlib.contextmanager
    def locating(self) -> Iterator[None]:
        """A ConfigError from within says where in the file that is which it complains of."""
        try:
            yield
        except ConfigError as error:
            raise self.located(error) from None


@dataclass(frozen=True, kw_only=True)
class ConfigFileOptions:
    """`origin`: of the options' values, where a command line made them."""

    origin: ClassVar[Origin] = Origin()

    config: str | None = option(
        None,
        group=CONFIGURATION,
        metavar="FILE",
        help="TOML file with flags as keys, like control-port = 8123. Flags given here win over it.",
    )
