"""What a client needs: its server, by name, through proxies, over TLS, with the token; and its upstreams."""

import os
import socket
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from appliance.certificates.trust import Distrusted, Trust
from appliance.cli import addresses
from appliance.cli.asking import Asking, StatusError, TokenRefused
from appliance.cli.doctor import machine, names
from appliance.cli.doctor.findings import ERROR, OK, WARNING, Finding, Findings
from appliance.cli.status import decoded
from appliance.config.build import VERSION
from appliance.config.client_options import ClientOptions
from appliance.config.options import ConfigError
from appliance.config.secrets import find_token
from appliance.config.shared import TokenOptions
from appliance.config.status import AskingOptions
from appliance.wire.address import ServerUrl, Upstream, join_host_port

DIAL_SECONDS = 3.0
SHORT_TOKEN = 16
ENDING_DAYS = 7  # a certificate that ends sooner and has not been renewed
_MAKE_TOKEN = "make one: head -c 32 /dev/urandom | base64 > token"

Asker = AskingOptions | ClientOptions


def look(config: Asker) -> Findings:
    """At the server of a client, or of nobody in particular."""
    yield from token(config)
    try:
        url = addresses.server_url(config.url)
    except ConfigError as error:
        yield Finding("url", ERROR, str(error), "write it like wss://203.0.113.7:8123")
        return
    server, found = _find(url)
    yield from found
    if server or proxied(url):
        yield from _ask(config, url)
    if isinstance(config, ClientOptions):
        yield from _look_at_offers(config, url, server)


def token(config: TokenOptions) -> Findings:
    try:
        found = find_token(config, os.environ)
    except ConfigError as error:
        yield Finding("token", ERROR, str(error), "the file must hold the server's token alone, readable for this user")
        return
    if found is None:
        yield Finding("token", WARNING, "none is given, so it cannot be tried", config.no_token_advice)
    elif config.token_file is not None and os.stat(config.token_file).st_mode & 0o004:
        yield Finding("token", WARNING, f"everybody here may read {config.token_file}", f"chmod o= {config.token_file}")
    elif len(found) < SHORT_TOKEN:
        yield Finding("token", WARNING, f"it has {len(found)} signs only, which can be guessed", _MAKE_TOKEN)
    else:
        yield Finding("token", OK, "it can be read, and is long enough")


def _find(url: ServerUrl) -> tuple[tuple[str, ...], list[Finding]]:
    """The server's addresses, and what there is to say of them."""
    if names.is_number(url.host):
        return (url.host,), []
    try:
        found = names.addresses_of(url.host)
    except OSError as error:
        if proxied(url):
            return (), [Finding("dns", OK, f"{url.host} has no address here: the proxy looks it up")]
        fix = "look at the name in --url, and at this machine's DNS: /etc/resolv.conf"
        return (), [Finding("dns", ERROR, f"{url.host} has no address ({error.strerror or error})", fix)]
    text = f"{url.host} is {', '.join(found)}"
    if all(":" in address for address in found) and not machine.has_route(socket.AF_INET6):
        fix = "give the name an A record, or this machine IPv6"
        return found, [Finding("dns", ERROR, f"{text}, and this machine has no IPv6", fix)]
    return found, [Finding("dns", OK, text)]


def proxied(url: ServerUrl) -> bool:
    from appliance.transport import proxy

    try:
        return proxy.setting_for(url) is not None
    except ConnectionError:
        return True


def _ask(config: Asker, url: ServerUrl) -> Findings:
    try:
        found = find_token(config, os.environ)
    except ConfigError:
        found = None  # which has been said
    started = time.time()
    try:
        asking = Asking(url, config)
        answer = asking.get("/status" if found is not None else "/healthz", found)
    except ConfigError as error:  # of --tls-ca
        yield Finding("tls", ERROR, str(error), "see docs/trust.md")
        return
    except TokenRefused:  # by a server that knows it: it is a client's own
        yield Finding("server", OK, f"{url} answers, {'through the proxy' if proxied(url) else 'directly'}")
        yield _handshake(url, config, *asking.handshake)
        yield Finding("token", OK, "the server takes it, from clients alone")
        assert found is not None
        yield _upgrade(config, url, found)
        return
    except StatusError as error:
        text, _, fix = error.format_message().partition("; ")
        yield Finding("server", ERROR, text, fix or "see docs/trust.md")
        return
    yield Finding("server", OK, f"{url} answers, {'through the proxy' if proxied(url) else 'directly'}")
    yield _handshake(url, config, *asking.handshake)
    if answer.date is not None:
        yield machine.compare_clock(answer.date, started, "the server")
    if answer.status == 401:
        yield Finding("token", ERROR, f"{url} refuses it", "copy the server's token file to here")
    elif answer.status != 200:
        text = f"{url} answers {answer.status}: this is no control plane of a server"
        yield Finding("server", ERROR, text, "give the control port in --url, which is 8123 unless changed")
    elif found is not None:
        yield Finding("token", OK, "the server takes it")
        try:
            yield _compare_version(decoded(answer.body, url)["info"])
        except StatusError as error:
            yield Finding("server", ERROR, error.format_message(), "give the server's control port in --url")
            return
        yield _upgrade(config, url, found)


def _handshake(url: ServerUrl, config: Asker, version: str, until: str) -> Finding:
    if url.scheme == "ws":
        text = "there is none: whoever is in between reads the token and all else"
        level = OK if url.loopback else WARNING
        fix = "" if url.loopback else "write wss://, unless something else encrypts the way there"
        return Finding("tls", level, text, fix)
    if config.insecure:
        return Finding("tls", WARNING, f"{version}, and --insecure takes any server for the right one", "leave it out")
    try:
        ends = parsedate_to_datetime(until)
    except (TypeError, ValueError):
        return Finding("tls", OK, f"{version}, and the server is the right one")
    days = (ends.astimezone(timezone.utc) - datetime.now(timezone.utc)).days
    text = f"{version}, the server is the right one, its certificate is good for {days} days"
    if days < ENDING_DAYS:
        return Finding("tls", WARNING, text, "look at the server's log: why it is not renewed")
    return Finding("tls", OK, text)


def _compare_version(info: dict[str, Any]) -> Finding:
    theirs = str(info.get("version"))
    if theirs != VERSION:
        fix = "upgrade the older one; the server first"
        return Finding("version", WARNING, f"the server is {theirs}, and this is {VERSION}", fix)
    return Finding("version", OK, f"the server is {theirs}, too")


def _upgrade(config: Asker, url: ServerUrl, token: str) -> Finding:
    """Whether what is in between lets a WebSocket through: the way of all that a client does."""
    from appliance.transport.dial import Dialer, fetch_ca
    from appliance.transport.tls import client_context

    trust = Trust(config, url, os.environ, lambda level, text: None)
    try:
        context = None
        if url.scheme != "ws":
            context = client_context(trust.decide(fetch_ca(url) if trust.asks else None), verify=trust.verifies)
        connection, _ = Dialer(url, token, context).open("/connect")
        connection.close()
    except (OSError, Distrusted) as error:
        fix = "what is in between (a proxy, a CDN) must let WebSockets through: see docs/behind-a-proxy.md"
        return Finding("websocket", ERROR, f"the connection is not upgraded: {error}", fix)
    return Finding("websocket", OK, "the server upgrades the connection")


def _look_at_offers(config: ClientOptions, url: ServerUrl, server: tuple[str, ...]) -> Findings:
    try:
        offers = addresses.offers_of(config)
    except ConfigError as error:
        yield Finding("upstream", ERROR, str(error), "sluice http client --help shows how they are written")
        return
    for upstream in offers.upstreams:
        yield _reach(upstream)
    for forward in offers.local:
        yield _local(config.local_addr, forward.local_port)
    if not url.loopback:
        patterns: Iterable[str] = (upstream.pattern for upstream in offers.http if upstream.pattern)
        yield from names.look_at_visitors(patterns, server, url.host)


def _reach(upstream: Upstream) -> Finding:
    if upstream.scheme == "directory":
        if os.access(upstream.path, os.R_OK | os.X_OK) and os.path.isdir(upstream.path):
            return Finding("upstream", OK, f"{upstream.label} can be read")
        return Finding("upstream", ERROR, f"{upstream.label}: this is no directory that can be read", "see --upstream")
    try:
        if upstream.path:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(DIAL_SECONDS)
                sock.connect(upstream.path)
        else:
            socket.create_connection((upstream.host, upstream.port), DIAL_SECONDS).close()
    except (OSError, UnicodeError) as error:
        place = upstream.path or join_host_port(upstream.host, upstream.port)
        text = f"{upstream.label} cannot be reached ({getattr(error, 'strerror', None) or error})"
        return Finding("upstream", ERROR, text, f"start what is to listen at {place}, or correct --upstream")
    return Finding("upstream", OK, f"{upstream.label} takes connections")


def _local(host: str, port: int) -> Finding:
    place = join_host_port(host, port)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except OSError as error:
        text = f"{place} of --local cannot be listened on ({error.strerror or error})"
        return Finding("local", WARNING, text, "right if the client runs already; else choose another port")
    return Finding("local", OK, f"{place} is free")
