"""Addresses in flags: what is wrong with one is said together with its flag."""

import os
import re
from collections.abc import Iterable

from appliance.config.options import ConfigError
from appliance.wire.address import AddressError, ServerUrl, Upstream, parse_server_url, parse_upstreams


def server_url(text: str) -> ServerUrl:
    try:
        return parse_server_url(text)
    except AddressError as error:
        raise ConfigError(f"--url: {error}") from None


def upstreams(texts: Iterable[str]) -> tuple[Upstream, ...]:
    try:
        return parse_upstreams(map(_absolute, texts))
    except AddressError as error:
        raise ConfigError(f"--upstream: {error}") from None


_relative = re.compile(r"((?:[^=/]*=)?)((?:~|\.\.?)(?:/.*)?)").fullmatch


def _absolute(text: str) -> str:
    """Directories may be written as in a shell: ./site, name=../site, ~/site."""
    pieces = []
    for piece in map(str.strip, text.split(",")):
        relative = _relative(piece)
        if relative is not None:
            path, question, query = relative[2].partition("?")
            piece = relative[1] + os.path.abspath(os.path.expanduser(path)) + question + query
        pieces.append(piece)
    return ",".join(pieces)
