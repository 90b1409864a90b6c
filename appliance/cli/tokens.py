"""Tokens of clients: lists, makes and removes those of a running server."""

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from appliance.cli.addresses import server_url
from appliance.cli.asking import Answer, Asking, Request, StatusError, TokenRefused
from appliance.cli.status_text import since
from appliance.cli.tables import shown, table
from appliance.cli.terminal import headed
from appliance.config.secrets import load_token
from appliance.config.tokens import NamedTokenConfig, NewTokenConfig, TokensConfig

PATH = "/api/v1/tokens"

_HEADINGS = ("Name", "Made", "Clients", "Names", "Ports", "Forwards")
_WIDTHS = (16, 12, 7, 20, 12, 0)


def list_tokens(config: TokensConfig) -> None:
    answer = _asked(config, "GET", PATH)
    found = _read(answer, config)
    tokens = found.get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(one, dict) for one in tokens):
        raise StatusError(f"{config.url} answers with something else: is it a Sluice server?")
    if found.get("problem"):
        click.echo(f"Warning: {shown(found['problem'])}", err=True)
    if config.json:
        click.echo(json.dumps(tokens, indent=2))
    elif tokens:
        now = answer.now()
        rows = [(shown(one.get("name")), since(one.get("created"), now, " ago"), *_cells(one)) for one in tokens]
        click.echo(headed("\n".join(table(_HEADINGS, rows, _WIDTHS))))
    else:
        click.echo("No client has a token of its own. To make one: sluice tokens add NAME")


def add_token(config: NewTokenConfig) -> None:
    """The token alone is printed, to be put into a file; what to do with it is said beside."""
    wanted = {"name": config.name, "names": config.names, "ports": config.ports, "forward": config.forward}
    made = _read(_asked(config, "POST", PATH, wanted), config)
    if config.json:
        click.echo(json.dumps(made, indent=2))
        return
    click.echo(shown(made.get("token")))
    _, names, ports, forwards = _cells(made)
    click.echo(
        f"The token of {config.name}, shown this once: put it into a file on the client's machine that nobody else can "
        f"read, and start the client with --token-file FILE. Names: {names}; ports: {ports}; local forwards: "
        f"{forwards}. To revoke it: sluice tokens remove {config.name}",
        err=True,
    )


def remove_token(config: NamedTokenConfig) -> None:
    answer = _asked(config, "DELETE", f"{PATH}/{quote(config.name)}")
    if answer.status != 204:
        _read(answer, config)
    if config.json:
        click.echo(json.dumps({"removed": config.name}))
    else:
        click.echo(f"The token {config.name} is good for nothing any more; the sessions of its clients have ended.")


def _asked(config: TokensConfig, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
    url = server_url(config.url)
    token = load_token(config, os.environ)
    data = None if body is None else json.dumps(body).encode()
    return Asking(url, config).send(Request(method, path, token, data))


def _read(answer: Answer, config: TokensConfig) -> dict[str, Any]:
    """Raises StatusError for what is not the answer of a server that did it."""
    url = server_url(config.url)
    if answer.status == 401:
        raise TokenRefused(f"{url} refuses the token: pass the server's with --token-file FILE")
    if answer.status in (400, 404, 409) and "problem" in (answer.fields["Content-Type"] or ""):
        if answer.said == "there is nothing at this address":
            raise StatusError(f"{url} knows nothing of tokens of clients: it is older than this program; upgrade it")
        raise StatusError(answer.said)
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = None
    if answer.status not in (200, 201) or not isinstance(found, dict):
        raise StatusError(f"{url} answers {answer.status} to {PATH}: --url must name the control plane of a server")
    return found


def _cells(token: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Clients, names, ports, local forwards."""
    names, ports = token.get("names") or (), token.get("ports") or ()
    nothing = "none" if names or ports else "any"
    return (
        shown(token.get("clients")),
        ", ".join(map(shown, names)) or nothing,
        ", ".join(map(shown, ports)) or nothing,
        "yes" if token.get("forward") else "no",
    )
