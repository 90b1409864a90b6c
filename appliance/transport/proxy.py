"""HTTP proxies on the client's way out: which one the environment names, and a connection through it."""

from __future__ import annotations

import base64
import math
import os
import re
import time
from typing import TYPE_CHECKING

from appliance.transport import reach
from appliance.transport.connection import Connection
from appliance.wire.address import ServerUrl, join_host_port

if TYPE_CHECKING:
    from urllib.parse import SplitResult

MAX_HEAD_BYTES = 16384

_status = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]").match


def setting_for(url: ServerUrl) -> SplitResult | None:
    """The proxy that HTTPS_PROXY (HTTP_PROXY for ws://) and NO_PROXY give for this server."""
    if url.loopback:
        return None
    if not any(name.lower() in ("https_proxy", "http_proxy", "all_proxy") for name in os.environ):
        return None
    import urllib.parse  # here, for they bring an HTTP client of their own along: a megabyte that few need
    import urllib.request

    proxies = urllib.request.getproxies_environment()
    text = proxies.get("https" if url.scheme == "wss" else "http") or proxies.get("all")
    if not text or urllib.request.proxy_bypass_environment(url.host, proxies):  # type: ignore[attr-defined]
        return None
    try:
        proxy = urllib.parse.urlsplit(text if "://" in text else f"http://{text}")
        proxy.port  # noqa: B018  (which may be no number)
    except ValueError:  # its text is not shown: it may hold a password
        raise ConnectionError("the proxy setting is not understood: write http://host:port") from None
    return proxy


def through(proxy: SplitResult, url: ServerUrl, seconds: float) -> Connection:
    """A connection to the server through an HTTP proxy's CONNECT (RFC 9110 9.3.6). Raises ConnectionError."""
    if proxy.scheme != "http" or not proxy.hostname:
        raise ConnectionError(f"the proxy {proxy.scheme}://{proxy.hostname} cannot be used: write http://host:port")
    where = join_host_port(proxy.hostname, proxy.port or 80)
    deadline = time.monotonic() + seconds
    try:
        connection = reach.tcp(proxy.hostname, proxy.port or 80, seconds)
    except OSError as error:
        raise ConnectionError(f"the proxy {where} was not reached: {error.strerror or error}") from None
    try:
        connection.deadline = deadline
        connection.write(_connect_request(proxy, url))
        status = _connect_status(connection)
    except OSError as error:
        connection.close()
        raise ConnectionError(f"the proxy {where} gave no answer: {error.strerror or error}") from None
    except BaseException:
        connection.close()
        raise
    if not 200 <= status < 300:
        connection.close()
        advice = " (its user and password belong into HTTPS_PROXY)" if status == 407 else ""
        raise ConnectionError(f"the proxy {where} answered {status} to CONNECT {url.authority}{advice}")
    connection.deadline = math.inf
    return connection


def credentials(proxy: SplitResult) -> dict[str, str]:
    """The header fields that let us in."""
    from urllib.parse import unquote

    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _connect_request(proxy: SplitResult, url: ServerUrl) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in credentials(proxy).items())
    return f"CONNECT {url.authority} HTTP/1.1\r\nHost: {url.authority}\r\n{fields}\r\n".encode()


def _connect_status(connection: Connection) -> int:
    """The status of the proxy's answer. Behind it nothing comes before we have spoken."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.read()
        if not more:
            raise ConnectionResetError("the connection has ended")
        data += more
        if len(data) > MAX_HEAD_BYTES:
            raise ConnectionError("it is too long")
    found = _status(data)
    if found is None:
        raise ConnectionError("what answers there does not speak HTTP")
    status = int(found[1])
    if 200 <= status < 300 and not data.endswith(b"\r\n\r\n"):
        raise ConnectionError("more came than was asked for")
    return status
