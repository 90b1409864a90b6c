"""Specifications that people write: upstreams, the server's URL, addresses to listen on, host names."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_HOST_LENGTH = 253  # RFC 1035, section 2.3.4, as text
_AUTHORITY = re.compile(r"(?:([A-Za-z0-9_.-]+)|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{0,5}))?")
_BROWSE = "?browse=true"
_TCP = "tcp://"
_DEFAULT_PORT = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SERVER_SCHEMES = {"wss": "wss", "ws": "ws", "https": "wss", "http": "ws"}


class AddressError(ValueError):
    """The text is not an address of its kind; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A service in the client's network, and the names or the port of the server under which visitors reach it.

    ``pattern`` is "" for every host, a name, or "*.name"; ``target`` the canonical text of what follows it, for TCP
    with ``tcp://`` before it. ``port_offered``: the server's port, and 0 for HTTP.
    """

    pattern: str
    target: str
    scheme: str  # http, https, tcp, unix or directory
    host: str
    port: int
    path: str  # of a socket or directory, else ""
    insecure: bool
    browse: bool = False  # a directory whose contents may be listed
    port_offered: int = 0

    @property
    def label(self) -> str:
        """As shown: ``name=http://host:port``; for TCP ``host:port``, or ``PORT=host:port`` where the ports differ."""
        if not self.port_offered:
            return f"{self.pattern or '*'}={self.target}"
        target = self.target.removeprefix(_TCP)
        return target if self.port == self.port_offered else f"{self.port_offered}={target}"


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """Where the control plane is."""

    scheme: str  # wss or ws
    host: str
    port: int

    @property
    def public(self) -> bool:
        """Whether the server should have a certificate that public authorities vouch for."""
        return self.scheme == "wss" and self.port == 443

    @property
    def loopback(self) -> bool:
        """Whether it is this machine, by an address that never leaves it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def authority(self) -> str:
        return join_host_port(self.host, self.port)

    @property
    def host_field(self) -> str:
        """As it stands in Host: without the scheme's own port, for proxies compare it with names (RFC 9110 4.2.3)."""
        if self.port == _DEFAULT_PORT[self.scheme]:
            return f"[{self.host}]" if ":" in self.host else self.host
        return self.authority

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_upstreams(texts: Iterable[str]) -> tuple[Upstream, ...]:
    """All upstreams of one client, each text one or several with commas between. Raises AddressError."""
    found: dict[str, Upstream] = {}
    for text in (piece.strip() for pieces in texts for piece in pieces.split(",")):
        if not text:
            continue
        upstream = parse_upstream(text)
        if upstream.pattern in found:
            raise AddressError(f"{upstream.pattern or 'the default upstream'} is given twice: once is enough")
        found[upstream.pattern] = upstream
    return tuple(found.values())


def parse_upstream(text: str) -> Upstream:
    """``[pattern=]target``, for HTTP. Raises AddressError."""
    name, equals, target = text.strip().partition("=")
    if not equals or any(sign in name for sign in "/?"):  # an "=" inside a target's path or query
        return _web_target(text, "")
    if not target.strip():
        raise AddressError(f"{text!r} has nothing after the =: write name=http://host:port")
    if name.lstrip().startswith("-"):
        raise AddressError(f"{text!r} begins with a dash, as flags do: --upstream is followed by name=http://host:port")
    return _web_target(target, _pattern(name.strip()))


def parse_pattern(text: str) -> str:
    """A name, ``*.name``, or ``*`` for every name, which is "". Raises AddressError."""
    if not text.strip():
        raise AddressError("a name is empty: write app.example.com, *.example.com, or * for all")
    return _pattern(text.strip())


def parse_target(text: str, pattern: str = "") -> Upstream:
    """A target as it travels: what follows a pattern, or ``tcp://host:port``. Raises AddressError."""
    return _tcp_target(text.strip()) if text.strip().startswith(_TCP) else _web_target(text, pattern)


def parse_server_url(text: str) -> ServerUrl:
    """``wss://host:8123``, ``ws://``, synonyms ``https://`` and ``http://``, or a bare ``host:port``."""
    scheme, authority, path, query = _split_url(text.strip(), "wss")
    if scheme not in _SERVER_SCHEMES:
        raise AddressError(f"{text!r}: {scheme!r} is not possible here; write wss://host:8123")
    host, port = _host_port(authority, text)
    if path not in ("", "/", "/connect", "/connect/") or query:
        raise AddressError(f"{text!r}: nothing may follow the port; write {scheme}://{authority}")
    scheme = _SERVER_SCHEMES[scheme]
    return ServerUrl(scheme, host, _DEFAULT_PORT[scheme] if port is None else port)


def parse_listen(text: str, default_host: str) -> tuple[str, int]:
    """Host and port to listen on: "8080", ":8080", "127.0.0.1:8080", "[::1]:8080". Raises AddressError."""
    text = text.strip()
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise AddressError(f"{text!r} has no port between 0 and 65535")
    if not host:
        return default_host, int(port)
    return host_key(host), int(port)


def host_key(text: str) -> str:
    """A Host as routes know it: lower case, no port, no trailing dot, no brackets. Raises AddressError."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return _bare_ipv6(text)
    if found[3] and int(found[3]) > 65535:
        raise AddressError(f"{text!r} has a port above 65535")
    return _ipv6(found[2], text) if found[2] else _name(found[1], text)


def join_host_port(host: str, port: int) -> str:
    """``host:port``, with brackets where the host is an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _web_target(text: str, pattern: str) -> Upstream:
    """URL, ``host:port``, ``unix:/socket``, ``/directory``."""
    text = text.strip()
    if not text.isprintable():
        raise AddressError(f"upstream {text!r} has control characters")
    if text.startswith("/"):
        path = text.removesuffix(_BROWSE)
        return Upstream(pattern, text, "directory", "", 0, path, False, browse=path != text)
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path[2:] if path.startswith("///") else path
        if not path.startswith("/") or path.startswith("//") or path.endswith("/"):
            raise AddressError(f"upstream {text!r}: a socket is written unix:/path/to/socket")
        return Upstream(pattern, f"unix:{path}", "unix", "", 0, path, False)
    return _http_target(text, pattern)


def _tcp_target(text: str) -> Upstream:
    host, port = _host_port(text.removeprefix(_TCP), text)
    if port is None:
        raise AddressError(f"{text!r} has no port: write {text}:22")
    return Upstream("", _TCP + join_host_port(host, port), "tcp", host, port, "", False)


def _http_target(text: str, pattern: str) -> Upstream:
    scheme, authority, path, query = _split_url(text, "http")
    if scheme not in ("http", "https"):
        raise AddressError(f"upstream {text!r}: {scheme!r} is none of http://, https://, unix:/socket, /directory")
    if path not in ("", "/"):
        raise AddressError(f"upstream {text!r} has a path: leave it out, visitors' paths are passed as they are")
    host, port = _host_port(authority, text)
    if port is None:
        if re.fullmatch(r"[0-9]+", host):
            raise AddressError(f"upstream {text!r} is a port alone: write 127.0.0.1:{host}")
        port = _DEFAULT_PORT[scheme]
    insecure = _insecure(query, scheme, text)
    shown = join_host_port(host, port) if port != _DEFAULT_PORT[scheme] else join_host_port(host, 0)[:-2]
    target = f"{scheme}://{shown}" + ("?insecure=true" if insecure else "")
    return Upstream(pattern, target, scheme, host, port, "", insecure)


def _insecure(query: str, scheme: str, text: str) -> bool:
    if query in ("", "insecure=false"):
        return False
    if query != "insecure=true":
        raise AddressError(f"upstream {text!r}: only ?insecure=true may follow it")
    if scheme != "https":
        raise AddressError(f"upstream {text!r}: ?insecure=true is for https:// alone")
    return True


def _split_url(text: str, default_scheme: str) -> tuple[str, str, str, str]:
    """Scheme, authority, path and query. Not urllib's: that one forgives spaces, tabs and user names."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = default_scheme, text
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        raise AddressError("a user name or password cannot be part of an address")  # nor of this message
    return scheme.lower(), authority, slash + path, query


def _host_port(authority: str, text: str) -> tuple[str, int | None]:
    found = _AUTHORITY.fullmatch(authority)
    if found is None or found[3] == "":
        raise AddressError(f"{text!r}: {authority!r} is not host:port (IPv6: [address]:port)")
    if found[3] and not 0 < int(found[3]) < 65536:
        raise AddressError(f"{text!r}: a port is between 1 and 65535")
    return host_key(authority), int(found[3]) if found[3] else None


def _pattern(given: str) -> str:
    name = given
    if name == "*":
        return ""
    if not name:
        raise AddressError("an upstream begins with =: write name=http://host:port, or leave the = out")
    wildcard = name.startswith("*.")
    name = name[2:] if wildcard else name
    if "*" in name:
        raise AddressError(f"{given!r}: * may only stand alone or for the first part, as in *.example.com")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")  # browsers send international names in this form
        except UnicodeError:
            raise AddressError(f"{given!r} is not a host name") from None
    found = _AUTHORITY.fullmatch(name)
    if found is not None and found[3] is not None:
        raise AddressError(f"{given!r}: leave the port out, names are the same on every port")
    key = host_key(name)
    if wildcard and (":" in key or re.fullmatch(r"[0-9.]+", key)):
        raise AddressError(f"{given!r}: *. goes before a name, not an address")
    return f"*.{key}" if wildcard else key


def _name(name: str, text: str) -> str:
    key = name.lower().removesuffix(".")
    if not key or name.startswith(".") or ".." in name or len(key) > MAX_HOST_LENGTH:
        raise AddressError(f"{text!r} is not a host name")
    return key


def _ipv6(address: str, text: str) -> str:
    try:
        return ipaddress.IPv6Address(address).compressed
    except ValueError:
        raise AddressError(f"{text!r} is not an IPv6 address") from None


def _bare_ipv6(text: str) -> str:
    if text.count(":") < 2 or "%" in text:  # a zone is no part of a name that visitors send
        raise AddressError(f"{text!r} is not a host name")
    return _ipv6(text, text)
