"""The list of known servers, as people look at it and change it."""

import json
import os
import sys

import click

from appliance.certificates.known_servers import PUBLIC, Damaged, KnownServers, Unusable, spoken
from appliance.certificates.trust import Distrusted, fingerprint_of, one_certificate
from appliance.cli.addresses import server_url
from appliance.cli.tables import table
from appliance.cli.terminal import BOLD, doing, interruptible, paint
from appliance.config.known import KnownConfig
from appliance.wire.address import ServerUrl


class TrustError(click.ClickException):
    """The server is not what it should be, or cannot be asked, or nothing can be kept."""

    exit_code = 1

    def __init__(self, message: str, told: bool = False) -> None:
        """`told`: the JSON that has been printed says it, too."""
        super().__init__(message)
        self.told = told


def trust(config: KnownConfig) -> None:
    known = KnownServers.of(os.environ)
    try:
        if config.list:
            _show(known, config.json)
        elif config.forget:
            _forget(known, server_url(config.url), config.json)
        else:
            _accept(known, server_url(config.url), config.ca_fingerprint, config.json)
    except Unusable as error:
        raise TrustError(f"no servers can be remembered ({error}): give clients --ca-fingerprint instead") from None
    except Damaged as error:
        raise TrustError(str(error)) from None


def _show(known: KnownServers, as_json: bool) -> None:
    listed, damaged = known.listing()
    if as_json:
        servers = [{"server": one.server, "authority": spoken(one.mark), "since": one.since} for one in listed]
        _print({"file": str(known.path), "servers": servers, "damagedLines": damaged})
    elif not listed:
        click.echo(f"No servers are known in {known.path}.")
    else:
        rows = [(one.server, spoken(one.mark), one.since) for one in listed]
        for number, line in enumerate(table(("Server", "Authority", "Since"), rows, (0, 0, 0))):
            click.echo(line if number else paint(line, BOLD))
    if damaged:
        lines = f"line{'s' if len(damaged) > 1 else ''} {', '.join(map(str, damaged))}"
        raise TrustError(f"not understood in {known.path}: {lines}; correct or delete that", told=as_json)


def _forget(known: KnownServers, url: ServerUrl, as_json: bool) -> None:
    if not known.drop(url.authority):
        raise TrustError(f"{url.authority} is not known: nothing was to forget")
    if as_json:
        _print({"server": url.authority, "forgotten": True})
    else:
        click.echo(f"{url.authority} is forgotten: the next client believes what the server shows then.")


def _accept(known: KnownServers, url: ServerUrl, wanted: str | None, as_json: bool) -> None:
    with doing(f"asking {url}"):
        mark = _mark_of(url)
    try:
        before = known.find(url.authority)
        was = "not known" if before is None else f"{spoken(before.mark)}, since {before.since}"
    except Damaged as error:
        before, was = None, f"not readable: {error}"
    click.echo(f"Server:  {url}", err=as_json)
    click.echo(
        f"Shows:   {'no authority of its own: public ones vouch for it' if mark == PUBLIC else spoken(mark)}",
        err=as_json,
    )
    click.echo(f"Before:  {was}", err=as_json)
    if wanted is not None and mark != wanted:
        raise TrustError(f"{url.authority} does not show {spoken(wanted)}: nothing has been changed")
    changed = before is None or before.mark != mark
    if changed:
        if wanted is None:
            _ask(mark, url, as_json)
        known.put(url.authority, mark)
    if as_json:
        _print(
            {
                "server": url.authority,
                "shows": spoken(mark),
                "before": None if before is None else spoken(before.mark),
                "trusted": True,
                "changed": changed,
            }
        )
    else:
        click.echo(f"It is trusted from now on, by {known.path}." if changed else "It is trusted already.")


def _print(answer: dict[str, object]) -> None:
    click.echo(json.dumps(answer, indent=2))


def _ask(mark: str, url: ServerUrl, aside: bool) -> None:
    """Whether the user believes it. Raises TrustError if not, or if nobody is there to be asked."""
    if not sys.stdin.isatty():
        if mark == PUBLIC:
            raise TrustError("nobody is here to be asked: --forget makes the next client believe what it is shown")
        raise TrustError(
            "nobody is here to be asked: if `sluice certificates` on the server shows the same, "
            f"repeat this with --ca-fingerprint {mark}"
        )
    if mark != PUBLIC:
        click.echo("Compare it with what `sluice certificates` shows on the server.", err=aside)
    if not click.confirm("Trust it?", default=False, err=aside):
        raise TrustError(f"{url.authority}: nothing has been changed")


def _mark_of(url: ServerUrl) -> str:
    """What vouches for the server now. Its way there is a client's: through proxies, too."""
    from appliance.transport.dial import Refused, connect, find_ca
    from appliance.transport.tls import client_context

    interruptible()
    try:
        shown = find_ca(url)
        if shown is None:
            connect(url, client_context(None)).close()  # Untrusted where they do not
            return PUBLIC
        return fingerprint_of(one_certificate(shown, url.authority))
    except Refused as error:
        if error.status == 403:
            raise TrustError(f"{url.authority} does not let us in: {error}") from None
        raise TrustError(f"{error}: --url must name the control plane of a server") from None
    except Distrusted as error:
        raise TrustError(str(error)) from None
    except OSError as error:
        raise TrustError(
            f"{url.authority}: {error.strerror or error}; check --url and whether the server runs"
        ) from None
