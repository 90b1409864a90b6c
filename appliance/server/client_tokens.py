"""Tokens that let a client connect, and nothing else: each with a name, revocable, with limits. Kept in a file."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from appliance.certificates import keyfile, state
from appliance.config.options import ConfigError
from appliance.server.limits import MOST_LETTERS, MOST_NAMES, MOST_PORTS, UNLIMITED, Limits
from appliance.wire.address import AddressError

MOST_TOKENS = 1000
VERSION = 1  # of the file's form
_MOST_BYTES = 4 << 20  # of the file: more would keep the server busy with each change
_SCOPES = "names", "ports"

NAMED = "1 to 64 letters (a to z), digits, dots, dashes and underscores, the first a letter or a digit"
is_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch
_is_digest = re.compile(r"[0-9a-f]{64}").fullmatch

log = logging.getLogger("sluice.tokens")


class TokensError(Exception):
    """It was not done; says why, to be shown."""


class Damaged(ValueError):
    """The file is not one of ours; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ClientToken:
    """`digest`: SHA-256 of the token, in hexadecimal digits. The token itself is kept nowhere: it has 256 bits of
    chance, made here, so nobody can try out what has this digest, and a slow hash, as passwords need it, gains nothing.
    """

    name: str
    digest: str
    created: datetime
    limits: Limits


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who has shown a token: a client with one of its own, or, where `token` is None, somebody with the server's."""

    token: ClientToken | None = None

    @property
    def called(self) -> str:
        """The token's name; "" is the server's."""
        return self.token.name if self.token is not None else ""

    @property
    def limits(self) -> Limits:
        return self.token.limits if self.token is not None else UNLIMITED


OWN = Bearer()


def digest_of(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


class ClientTokens:
    """All of them. What another server of the same state directory changes in the file is noticed by `look`.

    `problem`: why the file cannot be used, or "": then no token is let in, and none is changed. `on_change`: called
    after tokens have come or gone, must not wait.
    """

    def __init__(self, path: Path | None = None) -> None:
        """None: they are kept in memory alone."""
        self._path = path
        self._by_digest: dict[str, ClientToken] = {}
        self._seen: object = None
        self.problem = ""
        self.on_change: Callable[[], None] = lambda: None
        self.look()

    def find(self, digest: str) -> ClientToken | None:
        """The one that is presented. How long the look-up takes tells of digests alone, which nobody can choose."""
        self.look()
        return self._by_digest.get(digest)

    def holds(self, token: ClientToken) -> bool:
        """Whether it is still good, with the limits that it had."""
        found = self._by_digest.get(token.digest)
        return bool(self.problem) or (found is not None and found.limits == token.limits)

    def listing(self) -> list[ClientToken]:
        """In the order of their names."""
        self.look()
        return sorted(self._by_digest.values(), key=lambda token: token.name.lower())

    def add(self, name: str, limits: Limits) -> tuple[str, ClientToken]:
        """A new token, which is told this once, and what is kept of it. Raises TokensError."""
        if not is_name(name):
            raise TokensError(f"a name has {NAMED}")
        with self._alone():
            return self._add(name, limits)

    def _add(self, name: str, limits: Limits) -> tuple[str, ClientToken]:
        if any(token.name == name for token in self._by_digest.values()):
            raise TokensError(f"there is a token {name} already: remove it, or take another name")
        if len(self._by_digest) >= MOST_TOKENS:
            raise TokensError(f"there are {MOST_TOKENS} tokens: remove some")
        text = f"sluice_{secrets.token_urlsafe(32)}"  # what it is for is seen wherever it turns up
        created = datetime.now().astimezone().replace(microsecond=0)
        token = ClientToken(name, digest_of(text.encode()), created, limits)
        self._keep({**self._by_digest, token.digest: token})
        log.info("client token %s was made", name)
        return text, token

    def remove(self, name: str) -> bool:
        """From now on it is good for nothing. Says whether there was one. Raises TokensError."""
        with self._alone():
            left = {digest: token for digest, token in self._by_digest.items() if token.name != name}
            if len(left) == len(self._by_digest):
                return False
            self._keep(left)
        log.info("client token %s was removed", name)
        self.on_change()
        return True

    def look(self) -> None:
        """Read the file, if it has changed."""
        if self._path is None:
            return
        seen = _seen(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._by_digest, self.problem = _read(self._path), ""
        except (OSError, Damaged) as error:
            why = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else f"is damaged: {error}"
            self._by_digest = {}
            self.problem = f"{self._path} {why}; no client token is let in until it is mended or moved away"
            log.error("%s", self.problem)
        self.on_change()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """What is there now stays as it is until the end of the block, whichever server of the directory wants to
        change it. Raises TokensError."""
        try:
            if self._path is not None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with keyfile.locked(self._path.parent) if self._path is not None else nullcontext():
                self.look()
                if self.problem:
                    raise TokensError(self.problem)
                yield
        except OSError as error:
            raise TokensError(f"{self._path} cannot be written: {error.strerror or error}") from None
        except ConfigError as error:
            raise TokensError(str(error)) from None

    def _keep(self, tokens: dict[str, ClientToken]) -> None:
        if self._path is not None:
            content = {"version": VERSION, "tokens": [_written(token) for token in tokens.values()]}
            data = json.dumps(content, indent=1).encode() + b"\n"
            if len(data) > _MOST_BYTES:  # it could not be read again
                raise TokensError("all tokens together have too many names and ports: remove some")
            try:
                state.replace(self._path, data)
            except OSError as error:
                raise TokensError(f"{self._path} cannot be written: {error.strerror or error}") from None
            self._seen = _seen(self._path)
        self._by_digest = tokens


def _seen(path: Path) -> object:
    """What changes when the file does."""
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    # The time of change, too: who may write to it decides whether it is believed.
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _written(token: ClientToken) -> dict[str, Any]:
    limits = token.limits
    return {
        "name": token.name,
        "sha256": token.digest,
        "created": token.created.isoformat(timespec="seconds"),
        "names": limits.spoken_names,
        "ports": limits.spoken_ports,
        "forward": limits.forward,
    }


def _read(path: Path) -> dict[str, ClientToken]:
    """Raises OSError or Damaged. Either all of it is good, or none: a limit that was lost must let nobody in."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise Damaged("others may write to it, and so let themselves in")
            content = json.loads(file.read(_MOST_BYTES))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, Damaged) else Damaged("it is not JSON") from None
    if not isinstance(content, dict) or not isinstance(content.get("tokens"), list):
        raise Damaged("it has no list of tokens")
    if content.get("version") != VERSION:
        raise Damaged("it is of another version of this program")
    tokens: dict[str, ClientToken] = {}
    for number, one in enumerate(content["tokens"], 1):
        token = _token(one)
        if token is None or token.digest in tokens or any(token.name == other.name for other in tokens.values()):
            raise Damaged(f"token {number} is not understood")
        tokens[token.digest] = token
    return tokens


def _token(one: Any) -> ClientToken | None:
    try:
        if not is_name(one["name"]) or not _is_digest(one["sha256"]) or not isinstance(one["forward"], bool):
            return None
        for scope, most in zip(_SCOPES, (MOST_NAMES, MOST_PORTS), strict=True):
            listed = one[scope]
            if not isinstance(listed, list) or len(listed) > most or any(len(text) > MOST_LETTERS for text in listed):
                return None
        limits = Limits.parse(one["names"], one["ports"], one["forward"])
        created = datetime.fromisoformat(one["created"])
        return ClientToken(one["name"], one["sha256"], created, limits) if created.tzinfo is not None else None
    except (KeyError, TypeError, ValueError, AttributeError, AddressError):
        return None
