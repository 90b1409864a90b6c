"""Configuration files: TOML whose keys are flags. What is wrong in one is told with its line."""

import os
import re
import stat
import sys
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.config.options import ConfigError, Option, options_of, parse_duration

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 1 << 20
COMMAND = "command"  # the key that says what the file is for
# Flags that mean something to one start of the program alone.
_NOT_IN_FILES = ("config", "generate", "generate_name")
_PATHS = ("FILE", "DIR", "DIRECTORY")
_WHERE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_KEY = re.compile(r"""\s*\[*\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*[=.\]]""")


@dataclass(frozen=True)
class Document:
    """A file that is TOML. `readable`: others than its owner and group may read it."""

    path: str
    text: str
    keys: Mapping[str, Any]
    readable: bool

    @property
    def command(self) -> str:
        """What the file says it is for, like "http server"; "" where it says nothing."""
        command = self.keys.get(COMMAND, "")
        if not isinstance(command, str):
            raise ConfigError(f'{self.place(COMMAND)}: command is text, like {COMMAND} = "http server"')
        return " ".join(command.split())

    def place(self, key: str) -> str:
        """Where a key is: "/etc/sluice/server.toml:3"."""
        return f"{self.path}:{line_of(self.text, key)}"


@dataclass(frozen=True)
class Settings:
    """What a file says, checked and as a config class takes it. `keys`: the file's own spelling, by field."""

    document: Document
    values: Mapping[str, Any]
    keys: Mapping[str, str]

    def place(self, field_name: str) -> str:
        return self.document.place(self.keys[field_name])


def open_document(path: str) -> Document:
    """Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            readable = bool(os.fstat(file.fileno()).st_mode & stat.S_IROTH)
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--config {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"--config {path} is larger than {MAX_BYTES >> 20} MiB: this is no configuration file")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: this is not UTF-8 text") from None
    try:
        keys = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_not_toml(path, text, str(error))) from None
    return Document(path, text, keys, readable)


def _not_toml(path: str, text: str, reason: str) -> str:
    found = _WHERE.search(reason)
    lines = text.count("\n") + (not text.endswith("\n"))
    line = int(found[1]) if found is not None and found[1] else lines
    reason = _WHERE.sub("", reason)
    return f'{path}:{line}: {reason[:1].lower()}{reason[1:]} (text belongs in quotes: key = "text")'


def line_of(text: str, key: str) -> int:
    """The line on which a key of a TOML document begins; 1 where it is not found."""
    lines = text.split("\n")
    found = [number for number, line in enumerate(lines) if key in _names(line)]
    for number in found:
        # Within a text of several lines, anything may look like a key: then what is before is no document.
        if len(found) == 1 or _is_whole("\n".join(lines[:number])):
            return number + 1
    return 1


def _names(line: str) -> tuple[str, ...]:
    found = _KEY.match(line)
    return found.groups() if found is not None else ()


def _is_whole(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def read_settings(document: Document, config_class: type, others: Iterable[type] = ()) -> Settings:
    """What the file says of `config_class`. `others`: classes whose options may have been meant. Raises ConfigError."""
    fields = _fields(config_class)
    types = typing.get_type_hints(config_class)
    values: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for key, given in document.keys.items():
        if key == COMMAND:
            continue
        name = _known(document, key, fields, others)
        described = fields[key.replace("_", "-")][1]
        if name in keys:
            raise ConfigError(f"{document.place(key)}: {key} is there twice, the other one is {keys[name]}")
        if described.secret and document.readable:
            raise ConfigError(
                f"{document.place(key)}: {key} is a secret, and everybody may read this file: chmod o= {document.path}"
            )
        try:
            values[name] = _value(given, types[name], described, os.path.dirname(os.path.abspath(document.path)))
        except ValueError as error:
            raise ConfigError(f"{document.place(key)}: {key} = {_shown(given, described)}: {error}") from None
        keys[name] = key
    return Settings(document, values, keys)


def _fields(config_class: type) -> dict[str, tuple[str, Option]]:
    """By key, as flags are spelled: old names, too."""
    found = {}
    for field, described in options_of(config_class):
        for name in (f"--{field.name}", *described.aliases):
            if name.startswith("--"):
                found[name[2:].replace("_", "-")] = (field.name, described)
    return found


def _known(document: Document, key: str, fields: Mapping[str, tuple[str, Option]], others: Iterable[type]) -> str:
    """The field of a key. Raises ConfigError."""
    spelled = key.replace("_", "-")
    if spelled in fields and fields[spelled][0] not in _NOT_IN_FILES:
        return fields[spelled][0]
    place = document.place(key)
    if spelled in fields:
        raise ConfigError(f"{place}: {key} is for the command line, and means nothing in a file: leave it out")
    if any(spelled in _fields(other) for other in others):
        raise ConfigError(f"{place}: {key} is a key of other commands: this one has no --{spelled}")
    shown = [name for name, (_, described) in fields.items() if not described.hidden]
    import difflib  # here, for few files are wrong

    close = difflib.get_close_matches(spelled, shown, 1, 0.6)
    if close:
        raise ConfigError(f"{place}: unknown key {key}: do you mean {close[0]}?")
    if isinstance(document.keys[key], dict):
        raise ConfigError(f"{place}: [{key}] begins a table, and there are none here: write all keys without one")
    raise ConfigError(f"{place}: unknown key {key}: keys are the flags that --help shows")


def _value(given: Any, wanted: Any, described: Option, here: str) -> Any:
    """As a config class takes it. Raises ValueError with what is wanted."""
    if isinstance(given, dict):
        raise ValueError("a value is wanted here, not a table")
    if typing.get_origin(wanted) is tuple:
        pieces = given if isinstance(given, list) else [given]
        return tuple(_path(_piece(piece), described, here) for piece in pieces)
    if isinstance(given, list):
        raise ValueError("one value is wanted here, not several")
    if wanted is bool:
        return _boolean(given)
    if described.unit == "seconds":
        return _seconds(given, never=described.minimum == 0)
    if described.bare is not None and isinstance(given, bool):
        return described.bare if given else None
    if wanted is int or (wanted is not str and int in typing.get_args(wanted)):
        if isinstance(given, bool) or not isinstance(given, int):
            raise ValueError("a whole number is wanted, without quotes")
        return given
    if not isinstance(given, str):
        raise ValueError("text is wanted, in quotes")
    if described.choices and given.strip().lower() not in described.choices:
        raise ValueError(f"one of {', '.join(filter(None, described.choices))} is wanted")
    return _path(given, described, here)


def _boolean(given: Any) -> bool:
    if not isinstance(given, bool):
        raise ValueError("true or false is wanted, without quotes")
    return given


def _seconds(given: Any, never: bool) -> float:
    if isinstance(given, str):
        if never and given.strip().lower() in ("never", "off"):
            return 0.0
        try:
            return parse_duration(given)
        except ValueError:
            raise ValueError('a duration is wanted, like "30s", "2m" or "1m30s"') from None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError('a duration is wanted, like "30s" or 30')
    return float(given)


def _piece(piece: Any) -> str:
    if isinstance(piece, bool) or not isinstance(piece, str | int):
        raise ValueError('a list is wanted, like ["one", "another"]')
    return str(piece)


def _path(text: str, described: Option, here: str) -> str:
    """Files are looked for beside the one that names them."""
    if described.metavar not in _PATHS or not text.strip():
        return text
    return os.path.join(here, os.path.expanduser(text))


def _shown(given: Any, described: Option) -> str:
    if described.secret:
        return "(a secret)"
    if isinstance(given, dict):
        return "{...}"
    text = str(given).lower() if isinstance(given, bool) else repr(given)
    return text if len(text) <= 60 else f"{text[:60]}..."
