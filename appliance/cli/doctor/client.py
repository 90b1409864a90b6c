"""What a client needs: its server, by name, through proxies, over TLS, with the token."""

import os
import socket
import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from appliance.certificates.known_servers import spoken
from appliance.certificates.trust import Distrusted, Trust
from appliance.cli import addresses
from appliance.cli.asking import CONTROL_PLANE, Answer, Asking, ProxyRefused, StatusError, TokenRefused, Untrusted
from appliance.cli.doctor import machine, names, offers, secret
from appliance.cli.doctor.findings import ERROR, OK, WARNING, Finding, Findings
from appliance.cli.status import decoded
from appliance.cli.terminal import interruptible
from appliance.config.build import VERSION
from appliance.config.client_options import ClientOptions
from appliance.config.options import ConfigError
from appliance.config.secrets import find_token
from appliance.config.status import AskingOptions
from appliance.wire.address import ServerUrl

ENDING_DAYS = 7  # a certificate that ends sooner and has not been renewed
_COMPARE = "accept it only if `sluice certificates` on the server shows the same authority"

Asker = AskingOptions | ClientOptions


def look(config: Asker) -> Findings:
    """At the server of a client, or of nobody in particular."""
    yield from secret.look(config)
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
        yield from offers.look(config, url, server)


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
        token = find_token(config, os.environ)
    except ConfigError:
        token = None  # which has been said
    started = time.time()
    try:
        asking = Asking(url, config, looks=True)
        answer = asking.get("/healthz", None)  # first of all: who is it?
        clients_own = False
        if token is not None and asking.stranger is None and answer.status == 200:
            try:
                answer = asking.get("/status", token)
            except TokenRefused:  # by a server that knows it
                clients_own = True
    except ConfigError as error:  # of --tls-ca
        yield Finding("tls", ERROR, str(error), "name a file of certificates (PEM) that this user may read")
        return
    except StatusError as error:
        check = "proxy" if isinstance(error, ProxyRefused) else "server"
        yield Finding(check, ERROR, error.what, _COMPARE if isinstance(error, Untrusted) else error.fix)
        return
    yield Finding("server", OK, f"{url} answers, {'through the proxy' if proxied(url) else 'directly'}")
    yield _handshake(url, config, asking)
    if answer.date is not None:
        yield machine.compare_clock(answer.date, started, "the server")
    if asking.stranger is not None:
        yield _not_known(url, asking.stranger, token)
    if answer.status not in (200, 401) and not clients_own:
        yield _no_server(url, answer)
    elif token is not None and asking.stranger is None:
        yield from _taken(config, url, token, answer, clients_own)


def _not_known(url: ServerUrl, mark: str, token: str | None) -> Finding:
    """A client would believe it at its first use; who only looks does not, and keeps the token."""
    kept = ", and the token was not sent to it" if token is not None else ""
    text = f"{url.authority} is not known here yet: {spoken(mark)}; a client will remember it{kept}"
    fix = f"if `sluice certificates` there shows the same: sluice trust --url {url} --ca-fingerprint {mark}"
    return Finding("trust", WARNING, text, fix)


def _no_server(url: ServerUrl, answer: Answer) -> Finding:
    text = f"{url} answers {answer.status}: this is no control plane of a server"
    if url.scheme == "ws" and answer.status == 400:  # as ours answers who does not speak TLS
        return Finding("server", ERROR, text, f"it most likely speaks TLS: write wss://{url.authority} in --url")
    return Finding("server", ERROR, text, CONTROL_PLANE)


def _taken(config: Asker, url: ServerUrl, token: str, answer: Answer, clients_own: bool) -> Findings:
    """The token has been sent; `clients_own`: the server knows it, and shows its status to others alone."""
    if clients_own:
        yield Finding("token", OK, "the server takes it, from clients alone")
    elif answer.status == 401:
        yield Finding("token", ERROR, f"{url} refuses it", "copy the server's token file to here")
        return
    else:
        try:
            info = decoded(answer.body, url)["info"]
        except StatusError as error:
            yield Finding("server", ERROR, error.what, CONTROL_PLANE)
            return
        yield Finding("token", OK, "the server takes it")
        yield _compare_version(info)
    yield _upgrade(config, url, token)


def _handshake(url: ServerUrl, config: Asker, asking: Asking) -> Finding:
    if url.scheme == "ws":
        text = "there is none: whoever is in between reads the token and all else"
        level = OK if url.loopback else WARNING
        fix = "" if url.loopback else "write wss://, unless something else encrypts the way there"
        return Finding("tls", level, text, fix)
    version, until = asking.handshake
    if config.insecure:
        return Finding("tls", WARNING, f"{version}, and --insecure takes any server for the right one", "leave it out")
    text = version if asking.stranger is not None else f"{version}, the server is the right one"
    try:
        ends = parsedate_to_datetime(until)
    except (TypeError, ValueError):
        return Finding("tls", OK, text)
    days = (ends.astimezone(timezone.utc) - datetime.now(timezone.utc)).days
    text = f"{text}, its certificate is good for {days} days"
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
    from appliance.transport.dial import Dialer, find_ca
    from appliance.transport.tls import client_context

    interruptible()
    trust = Trust(config, url, os.environ, lambda level, text: None)
    try:
        context = None
        if url.scheme != "ws":
            context = client_context(trust.decide(find_ca(url) if trust.asks else None), verify=trust.verifies)
        if trust.stranger is not None:
            raise Distrusted("it has not shown the same authority twice")
        connection, _ = Dialer(url, token, context).open("/connect")
        connection.close()
    except (OSError, Distrusted) as error:
        fix = (
            "what is in between (a proxy, a CDN) must let WebSockets through; nginx: proxy_http_version 1.1, and "
            "proxy_set_header for Upgrade and Connection"
        )
        return Finding("websocket", ERROR, f"the connection is not upgraded: {error}", fix)
    return Finding("websocket", OK, "the server upgrades the connection")
