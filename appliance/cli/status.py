"""Asks a server for its status."""

import json
import os
from datetime import datetime
from typing import Any

import click

from appliance.cli.addresses import server_url
from appliance.cli.asking import Asking, StatusError, TokenRefused
from appliance.cli.status_text import render
from appliance.cli.terminal import headed
from appliance.config.secrets import load_token
from appliance.config.status import StatusConfig
from appliance.config.trust import TrustOptions
from appliance.wire.address import ServerUrl


def print_status(config: StatusConfig) -> None:
    url = server_url(config.url)
    token = load_token(config, os.environ)
    if config.watch:
        from appliance.cli.watching import watch

        watch(config, url, token)
        return
    body, now = fetch(url, token, config)
    answer = decoded(body, url)
    click.echo(body.decode("utf-8", "replace").rstrip("\n") if config.json else headed(render(answer, now)))


def fetch(url: ServerUrl, token: str, options: TrustOptions) -> tuple[bytes, datetime]:
    """The body of ``GET /status``, and the server's time: ages are told by one clock, whatever ours says."""
    answer = Asking(url, options).get("/status", token)
    if answer.status == 401:
        raise TokenRefused(f"{url} refuses the token: pass the server's with --token-file FILE")
    if answer.status == 400 and url.scheme == "ws":
        raise StatusError(f"{url} does not understand this: it most likely speaks TLS, so write wss:// in --url")
    if answer.status != 200:
        raise StatusError(f"{url} answers {answer.status} to /status: --url must name the control plane of a server")
    return answer.body, answer.now()


def decoded(body: bytes, url: ServerUrl) -> dict[str, Any]:
    """The answer of /status. Raises StatusError for one that is none."""
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
