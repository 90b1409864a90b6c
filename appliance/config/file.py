"""Configuration files: TOML whose keys are flags. What is wrong in one is told with its line."""

import os
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.config.document import COMMAND, Document
from appliance.config.options import Option, options_of, parse_duration

# Flags that mean something to one start of the program alone.
_NOT_IN_FILES = ("config", "generate", "generate_name")
_PATHS = ("FILE", "DIR", "DIRECTORY")


@dataclass(frozen=True)
class Settings:
    """What a file says, checked and as a config class takes it. `keys`: the file's own spelling, by field."""

    document: Document
    values: Mapping[str, Any]
    keys: Mapping[str, str]

    def place(self, field_name: str, message: str = "") -> str:
        """Where it is; of a list, that piece of it which the message speaks of."""
        key = self.keys[field_name]
        return self.document.place(key, _spoken_of(self.document.keys[key], message))


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
            raise document.error(key, f"{key} is there twice, the other one is {keys[name]}")
        if described.secret and document.readable:
            text = f"{key} is a secret, and everybody may read this file: chmod o= {document.path}"
            raise document.error(key, text)
        try:
            values[name] = _value(given, types[name], described, os.path.dirname(os.path.abspath(document.path)))
        except ValueError as error:
            text = f"{key} = {_shown(given, described)}: {error}"
            raise document.error(key, text, _spoken_of(given, str(error))) from None
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
    if spelled in fields:
        raise document.error(key, f"{key} is for the command line, and means nothing in a file: leave it out")
    if any(spelled in _fields(other) for other in others):
        raise document.error(key, f"{key} is a key of other commands: this one has no --{spelled}")
    shown = [name for name, (_, described) in fields.items() if not described.hidden]
    import difflib  # here, for few files are wrong

    close = difflib.get_close_matches(spelled, shown, 1, 0.6)
    if close:
        raise document.error(key, f"unknown key {key}: do you mean {close[0]}?")
    if isinstance(document.keys[key], dict):
        raise document.error(key, f"[{key}] begins a table, and there are none here: write all keys without one")
    raise document.error(key, f"unknown key {key}: keys are the flags that --help shows")


def _value(given: Any, wanted: Any, described: Option, here: str) -> Any:
    """As a config class takes it. Raises ValueError with what is wanted."""
    if isinstance(given, dict):
        raise ValueError("a value is wanted here, not a table")
    if typing.get_origin(wanted) is tuple:
        pieces = given if isinstance(given, list) else [given]
        return tuple(_path(_piece(piece, isinstance(given, list)), described, here) for piece in pieces)
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
    if isinstance(given, bool) or not isinstance(given, int | float) or given != given:  # the last is nan
        raise ValueError('a duration is wanted, like "30s" or 30')
    return float(given)


def _piece(piece: Any, several: bool) -> str:
    if isinstance(piece, bool) or not isinstance(piece, str | int):
        within = f"{_shown_piece(piece)} cannot be in it: " if several else ""
        raise ValueError(f'{within}a list of texts is wanted, like ["one", "another"]')
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
    text = _shown_piece(given)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _shown_piece(given: Any) -> str:
    """As it may be written in TOML, or nearly so."""
    if isinstance(given, list):
        return f"[{', '.join(map(_shown_piece, given))}]"
    if isinstance(given, bool):
        return str(given).lower()
    return str(given.isoformat()) if hasattr(given, "isoformat") else repr(given)


def _spoken_of(given: Any, message: str) -> str:
    """The text of that piece of a list which a message quotes; empty where it does none."""
    pieces = map(_quoted, given) if isinstance(given, list) else ()
    return max((piece for piece in pieces if piece and piece in message), key=len, default="")


def _quoted(piece: Any) -> str:
    return piece if isinstance(piece, str) else _shown_piece(piece).strip("[]")
