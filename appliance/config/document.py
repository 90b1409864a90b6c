"""A configuration file as it is read: TOML, and on which line of it what is. What the keys mean is in `file`."""

import os
import re
import select
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.config.options import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 1 << 20
PIPE_SECONDS = 5.0  # for what comes out of a pipe, like <(...) of a shell
COMMAND = "command"  # the key that says what the file is for
_WHERE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_KEY = re.compile(r"""\s*\[*\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*[=.\]]""")
# What to do about it, by how TOML's reader begins to say what it is.
_ADVICE = {
    "Invalid value": 'text belongs in quotes: key = "text"',
    "Illegal character '\\n'": "a quote that was opened is not closed on its line",
    "Unterminated string": "a quote that was opened is not closed",
    "Expected '=' after a key": "write key = value",
    "Unclosed array": "a bracket that was opened is not closed: ]",
}


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
            raise self.error(COMMAND, f'command is text, like {COMMAND} = "http server"')
        return " ".join(command.split())

    def line(self, key: str, piece: str = "") -> int:
        """On which a key is; of a list in several lines, that of its `piece`."""
        number = line_of(self.text, key)
        if piece:
            for at, line in enumerate(self.text.split("\n")[number - 1 :], number):
                if piece in line:
                    return at
                if at > number and any(_names(line)):
                    break
        return number

    def place(self, key: str, piece: str = "") -> str:
        """Where a key is: "/etc/sluice/server.toml:3"."""
        return f"{self.path}:{self.line(key, piece)}"

    def error(self, key: str, text: str, piece: str = "") -> ConfigError:
        line = self.line(key, piece)
        return ConfigError(f"{self.path}:{line}: {text}", file=self.path, line=line, key=key)


def open_document(path: str) -> Document:
    """Raises ConfigError."""
    try:
        content, readable = _read(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--config {path} cannot be read: {reason}", file=path) from None
    if len(content) > MAX_BYTES:
        text = f"--config {path} is larger than {MAX_BYTES >> 20} MiB: this is no configuration file"
        raise ConfigError(text, file=path)
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: this is not UTF-8 text", file=path, line=line) from None
    try:
        keys = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(path, text, str(error)) from None
    return Document(path, text, keys, readable)


def _read(path: str) -> tuple[bytes, bool]:
    """At most MAX_BYTES + 1 of its bytes, and whether everybody may read it. Raises OSError or ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        content = b""
        deadline = time.monotonic() + PIPE_SECONDS
        while len(content) <= MAX_BYTES:
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # which never wait
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                    raise ValueError(f"it does not end within {PIPE_SECONDS:g} seconds")
            piece = os.read(descriptor, MAX_BYTES + 1 - len(content))
            if not piece:
                break
            content += piece
    finally:
        os.close(descriptor)
    return content, bool(mode & stat.S_IROTH)


def _not_toml(path: str, text: str, reason: str) -> ConfigError:
    found = _WHERE.search(reason)
    lines = text.split("\n")
    line = int(found[1]) if found is not None and found[1] else text.count("\n") + (not text.endswith("\n"))
    key = next(filter(None, _names(lines[line - 1])), "") if line <= len(lines) else ""
    before = _parsed("\n".join(lines[: line - 1]))
    if key and before is not None and key in before:
        said = f"{key} is there twice, the other one is on line {line_of(text, key)}: leave one of them out"
    else:
        reason = _WHERE.sub("", reason)
        advice = next((advice for begin, advice in _ADVICE.items() if reason.startswith(begin)), "")
        said = f"{reason[:1].lower()}{reason[1:]}" + (f" ({advice})" if advice else "")
    return ConfigError(f"{path}:{line}: {said}", file=path, line=line, key=key)


def line_of(text: str, key: str) -> int:
    """The line on which a key of a TOML document begins; 1 where it is not found."""
    lines = text.split("\n")
    found = [number for number, line in enumerate(lines) if key in _names(line)]
    for number in found:
        # Within a text of several lines, anything may look like a key: then what is before is no document.
        if len(found) == 1 or _is_whole("\n".join(lines[:number])):
            return number + 1
    return 1


def _names(line: str) -> tuple[str | None, ...]:
    found = _KEY.match(line)
    return found.groups() if found is not None else ()


def _is_whole(text: str) -> bool:
    return _parsed(text) is not None


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    return found
