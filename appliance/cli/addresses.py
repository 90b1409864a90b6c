"""Addresses in flags: what is wrong with one is said together with its flag."""

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
        return parse_upstreams(texts)
    except AddressError as error:
        raise ConfigError(f"--upstream: {error}") from None
