"""`sluice status --watch`: looks at a server again and again, and shows what goes on."""

import json
import sys
import time
from datetime import datetime
from typing import Any

import click

from appliance.cli.asking import Asking, StatusError, TokenRefused
from appliance.cli.screen import Screen
from appliance.cli.terminal import BOLD, DIM, RED, is_clever, paint
from appliance.cli.watch_text import Line, Look, lines, time_of
from appliance.config.status import StatusConfig
from appliance.wire.address import ServerUrl

WAIT_SECONDS = 3.0  # for an answer: who looks each second is to hear soon that there is none
_PLAIN_ROWS = 200  # of a look that is no screen
_FOOTER = Line("q ends this", DIM)


def watch(config: StatusConfig, url: ServerUrl, token: str) -> None:
    """Until q or a signal. Raises StatusError where the first look fails, and TokenRefused at any time."""
    looking = Looking(url, token, config)
    try:
        first = looking.look()
        if config.json or not is_clever(sys.stdout):
            _print_on(looking, first, config)
        else:
            _show(looking, first, config.interval)
    except KeyboardInterrupt:
        pass
    finally:
        looking.close()


class Looking:
    """Looks at a server through one connection."""

    def __init__(self, url: ServerUrl, token: str, config: StatusConfig) -> None:
        self._url = url
        self._token = token
        self._asking = Asking(url, config, keep=True, wait_seconds=WAIT_SECONDS)

    def look(self) -> Look:
        overview = self._ask("overview")
        clients, routes = self._ask("clients"), self._ask("routes")
        things = (clients.get("clients"), routes.get("names"), routes.get("ports"))
        return Look(
            time.monotonic(), overview, *([one for one in some or () if isinstance(one, dict)] for some in things)
        )

    def close(self) -> None:
        self._asking.close()

    def _ask(self, what: str) -> dict[str, Any]:
        answer = self._asking.get(f"/api/v1/{what}", self._token)
        if answer.status == 401:
            raise TokenRefused(f"{self._url} refuses the token: pass the server's with --token-file FILE")
        if answer.status == 404:
            raise StatusError(
                f"{self._url} tells nothing that can be watched: it is older than this program; upgrade it"
            )
        try:
            found = json.loads(answer.body)
        except ValueError:
            found = None
        if answer.status != 200 or not isinstance(found, dict):
            raise StatusError(f"{self._url} answers {answer.status} with something else: is it a Sluice server?")
        return found


def _print_on(looking: Looking, look: Look, config: StatusConfig) -> None:
    """For pipes and files: a block for each look, or a line of JSON."""
    before: Look | None = None
    while True:
        now = datetime.now().astimezone()
        if config.json:
            at = {"at": now.isoformat(timespec="milliseconds")}
            found = {**at, **look.overview, "clients": look.clients, "names": look.names, "ports": look.ports}
            click.echo(json.dumps(found))
        else:
            for line in lines(look, before, time_of(now), _PLAIN_ROWS):
                click.echo(paint(line.text, BOLD if line.colour == BOLD else ""))
            click.echo()
        sys.stdout.flush()
        before = look
        while look is before:  # until there is another one
            time.sleep(config.interval)
            try:
                look = looking.look()
            except TokenRefused:
                raise
            except StatusError as error:
                click.echo(f"{time_of(datetime.now())} {error.format_message()}", err=True)


def _show(looking: Looking, look: Look, interval: float) -> None:
    """On a terminal."""
    before: Look | None = None
    footer = _FOOTER
    with Screen() as screen:
        due = time.monotonic() + interval
        clock = time_of(datetime.now())
        while True:
            screen.draw(lines(look, before, clock, screen.size[1] - 1), footer)
            if set(screen.wait(due - time.monotonic())) & set("qQ"):
                return
            if time.monotonic() < due:
                continue
            try:
                before, look, footer = look, looking.look(), _FOOTER
                clock = time_of(datetime.now())
            except TokenRefused:
                raise
            except StatusError as error:
                footer = Line(f"{time_of(datetime.now())} trying again (q ends this): {error.format_message()}", RED)
            due = time.monotonic() + interval
