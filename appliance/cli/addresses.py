"""Addresses in flags: what is wrong with one is said together with its flag."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from appliance.config.client_options import ClientOptions
from appliance.config.http_client import HttpClientConfig
from appliance.config.options import ConfigError
from appliance.config.tcp_client import TcpClientConfig
from appliance.wire.address import (
    AddressError,
    ServerUrl,
    Upstream,
    parse_listen,
    parse_server_url,
    parse_target,
    parse_upstreams,
)
from appliance.wire.ports import (
    ForwardRules,
    LocalForward,
    PortOffer,
    PortSet,
    offers_a_port,
    parse_local_forwards,
    parse_tcp_upstreams,
)

if TYPE_CHECKING:
    from appliance.config.control_plane import ControlPlaneOptions

Given = TypeVar("Given")
Parsed = TypeVar("Parsed")


class Offers(NamedTuple):
    """What a client does: upstreams for HTTP, upstreams for TCP, and the ports that it opens itself."""

    http: tuple[Upstream, ...]
    tcp: tuple[PortOffer, ...]
    local: tuple[LocalForward, ...]

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """Those for HTTP, then those for TCP."""
        return self.http + tuple(map(_as_upstream, self.tcp))


def server_url(text: str) -> ServerUrl:
    return _parsed("--url", parse_server_url, text)


def offers_of(config: ClientOptions) -> Offers:
    """What any client is to do. Raises ConfigError, which names the flag."""
    pieces = [piece for text in config.upstream for piece in map(str.strip, text.split(",")) if piece]
    for_ports: list[str] = []
    if isinstance(config, TcpClientConfig):
        both = isinstance(config, HttpClientConfig)
        for_ports = [piece for piece in pieces if not both or offers_a_port(piece)]
        _parsed("--port", _only_ports, config.port)
        _parsed("--ports", _only_ports, config.ports)
    names = [piece for piece in pieces if piece not in for_ports]
    if config.offered_ports:
        bare = next((name for name in names if not re.search("[=/:]", name)), None)
        if bare is not None:
            raise ConfigError(
                f"--upstream {bare!r} beside --port is ambiguous: write http://{bare} for a website, or "
                f"{config.offered_ports[0]}={bare} for that port"
            )
    return Offers(
        _parsed("--upstream", parse_upstreams, map(absolute, names)),
        _parsed("--upstream", lambda texts: parse_tcp_upstreams(texts, config.offered_ports), for_ports),
        _parsed("--local", parse_local_forwards, config.local),
    )


def inspector_address(config: ClientOptions) -> tuple[str, int] | None:
    """Where a client's page is to listen; None where it has none. Raises ConfigError."""
    given = config.inspect if isinstance(config, HttpClientConfig) else None
    if given is None:
        return None
    host, port = _parsed("--inspect", lambda text: parse_listen(text, "127.0.0.1"), given)
    if host != "localhost" and not _is_loopback(host):
        raise ConfigError(
            f"--inspect {given}: the page has no log-in, so its address must be this machine's own, like 127.0.0.1:4040"
        )
    return host, port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_rules(config: ControlPlaneOptions) -> None:
    """Raise ConfigError for rules of a server that cannot be understood."""
    from appliance.config.tcp_server import TcpServerConfig  # here, for clients look at addresses, too

    if isinstance(config, TcpServerConfig):
        _parsed("--allow-ports", lambda texts: PortSet.parse(*texts), config.allow_ports)
    if config.allow_forward_to:
        _parsed("--allow-forward-to", lambda texts: ForwardRules.parse(*texts), config.allow_forward_to)


def _parsed(flag: str, parse: Callable[[Given], Parsed], given: Given) -> Parsed:
    try:
        return parse(given)
    except AddressError as error:
        raise ConfigError(f"{flag}: {error}") from None


def _only_ports(texts: Iterable[str]) -> None:
    """What is wrong with ports must not be put down to the upstreams that they are parsed with."""
    parse_tcp_upstreams((), texts)


def _as_upstream(offer: PortOffer) -> Upstream:
    target = offer.target if offer.path else f"tcp://{offer.target}"
    return dataclasses.replace(parse_target(target), port_offered=offer.port)


_relative = re.compile(r"((?:[^=/]*=)?)((?:~|\.\.?)(?:/.*)?)").fullmatch


def absolute(piece: str, here: str = "") -> str:
    """Directories may be written as in a shell: ./site, name=../site, ~/site. `here`: what they start from, else where
    we are."""
    relative = _relative(piece)
    if relative is None:
        return piece
    path, question, query = relative[2].partition("?")
    return relative[1] + os.path.abspath(os.path.join(here, os.path.expanduser(path))) + question + query
