"""Asks a server for its status. Plain blocking sockets: a command that ends at once needs no gevent."""

import http.client
import json
import os
import ssl
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import click

from appliance.cli.addresses import server_url
from appliance.cli.status_text import render
from appliance.config.secrets import load_token
from appliance.config.status import StatusConfig
from appliance.wire.address import ServerUrl

WAIT_SECONDS = 10.0
MAX_ANSWER_BYTES = 16 << 20
CA_PATH = "/.well-known/ca.crt"


class StatusError(click.ClickException):
    """The server cannot be reached, or is none."""

    exit_code = 1


class TokenRefused(StatusError):
    exit_code = 3


def print_status(config: StatusConfig) -> None:
    url = server_url(config.url)
    body, now = fetch(url, load_token(config, os.environ), _context(url, config))
    answer = _decoded(body, url)
    click.echo(body.decode("utf-8", "replace").rstrip("\n") if config.json else render(answer, now))


def fetch(url: ServerUrl, token: str, context: ssl.SSLContext | None) -> tuple[bytes, datetime]:
    """The body of ``GET /status``, and the server's time: ages are told by one clock, whatever ours says."""
    code, headers, body = _get(url, "/status", context, {"Authorization": f"Bearer {token}"})
    if code == 401:
        raise TokenRefused(f"{url} refuses the token: pass the server's with --token-file FILE")
    if code != 200:
        raise StatusError(f"{url} answers {code} to /status: --url must name the control plane of a server")
    try:
        return body, parsedate_to_datetime(headers["Date"])
    except (TypeError, ValueError):
        return body, datetime.now(timezone.utc)


def _context(url: ServerUrl, config: StatusConfig) -> ssl.SSLContext | None:
    """How to trust the server: by its own authority, fetched from it, unless a public one vouches for it."""
    if url.scheme == "ws":
        return None
    context = ssl.create_default_context()
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    if config.insecure:
        return unverified
    if config.auto_tls and not url.public:
        code, _, pem = _get(url, CA_PATH, unverified, {})
        if code == 200:
            try:
                own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                own.load_verify_locations(cadata=pem.decode("ascii"))
                return own
            except (ssl.SSLError, ValueError):
                raise StatusError(f"{url} has no certificate at {CA_PATH} but something else") from None
    return context  # a server with a certificate of its own has no authority to offer


def _get(
    url: ServerUrl, path: str, context: ssl.SSLContext | None, headers: dict[str, str]
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection: http.client.HTTPConnection
    if context is None:
        connection = http.client.HTTPConnection(url.host, url.port, timeout=WAIT_SECONDS)
    else:
        connection = http.client.HTTPSConnection(url.host, url.port, timeout=WAIT_SECONDS, context=context)
    try:
        connection.request("GET", path, headers={"Connection": "close", **headers})
        response = connection.getresponse()
        return response.status, response.headers, response.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise StatusError(_explained(error, url)) from None
    finally:
        connection.close()


def _explained(error: OSError | http.client.HTTPException, url: ServerUrl) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {url} cannot be trusted: {error.verify_message}; its names come from "
            "--auto-tls-san on the server, and --insecure here accepts any"
        )
    if isinstance(error, ssl.SSLError):
        return f"{url} does not speak TLS: for a server with --auto-tls=false write ws://{url.authority}"
    if isinstance(error, TimeoutError):
        return f"{url} does not answer within {WAIT_SECONDS:g} seconds: check --url and firewalls"
    if isinstance(error, OSError) and not isinstance(error, ConnectionResetError):
        return f"{url} cannot be reached: {error.strerror or error}; check --url and whether the server runs"
    hint = f"; if it uses TLS, write wss://{url.authority}" if url.scheme == "ws" else ""
    return f"{url} does not answer as a web server does{hint}"


def _decoded(body: bytes, url: ServerUrl) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if (
        not isinstance(answer, dict)
        or not isinstance(answer.get("info"), dict)
        or not isinstance(answer.get("clients"), list)
        or not all(isinstance(client, dict) for client in answer["clients"])
    ):
        raise StatusError(f"{url} answers /status with something else: is it a Sluice server?")
    return answer
