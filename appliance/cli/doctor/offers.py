"""What a client offers and opens: whether its upstreams are there, and whether visitors find the way to the server."""

import os
import socket
import ssl
from collections.abc import Iterable

from appliance.cli import addresses
from appliance.cli.doctor import names
from appliance.cli.doctor.findings import ERROR, OK, WARNING, Finding, Findings
from appliance.config.client_options import ClientOptions
from appliance.config.options import ConfigError
from appliance.wire.address import ServerUrl, Upstream, join_host_port

DIAL_SECONDS = 3.0


def look(config: ClientOptions, url: ServerUrl, server: tuple[str, ...]) -> Findings:
    try:
        found = addresses.offers_of(config)
    except ConfigError as error:
        yield Finding("upstream", ERROR, str(error), "sluice http client --help shows how they are written")
        return
    for upstream in found.upstreams:
        yield _reach(upstream)
    for forward in found.local:
        yield _local(config.local_addr, forward.local_port)
    if not url.loopback:
        patterns: Iterable[str] = (upstream.pattern for upstream in found.http if upstream.pattern)
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
            with socket.create_connection((upstream.host, upstream.port), DIAL_SECONDS) as sock:
                if upstream.scheme == "https" and (reason := _no_tls(sock, upstream.host)):
                    text = f"{upstream.label} takes connections, and does not speak TLS ({reason})"
                    return Finding("upstream", ERROR, text, "write http:// in --upstream, if it speaks that")
    except (OSError, UnicodeError) as error:
        place = upstream.path or join_host_port(upstream.host, upstream.port)
        text = f"{upstream.label} cannot be reached ({getattr(error, 'strerror', None) or error})"
        return Finding("upstream", ERROR, text, f"start what is to listen at {place}, or correct --upstream")
    return Finding("upstream", OK, f"{upstream.label} takes connections")


def _no_tls(sock: socket.socket, host: str) -> str:
    """Why it does not speak TLS; empty where it does, whatever its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        context.wrap_socket(sock, server_hostname=host).close()
    except OSError as error:
        return str(getattr(error, "reason", None) or error.strerror or error)
    return ""


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
