"""Which parts are looked at, in which order, and how that is told."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from appliance.cli import checking
from appliance.cli.doctor import client, machine, names, server
from appliance.cli.doctor.findings import ERROR, OK, WARNING, Finding, Findings, render, worst
from appliance.cli.terminal import BOLD, doing, paint
from appliance.cli.watch_text import COLOURS
from appliance.config.client_options import ClientOptions
from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.doctor import DoctorConfig
from appliance.config.options import ConfigError

USUAL_PLACE = "/etc/sluice"
USUAL_FILES = ("server.toml", "client.toml")
EXIT_ILL = 1

_MORE = "--config FILE looks at a server or client here, --url URL at a server elsewhere, --name NAME at the DNS"

Part = tuple[str, Findings]


def doctor(config: DoctorConfig) -> None:
    """Print what there is to say. Exits 1 where something is wrong."""
    found: list[tuple[str, list[Finding]]] = []
    for heading, findings in parts(config):
        with doing(f"looking at {heading}"):
            seen = list(findings)
        found.append((heading, seen))
        if not config.json:
            for line in render(heading, seen, _painted):
                click.echo(line)
    every = [finding for _, seen in found for finding in seen]
    state = worst(every)
    if config.json:
        listed = [{"about": heading, **finding._asdict()} for heading, seen in found for finding in seen]
        click.echo(json.dumps({"state": state, "findings": listed}, indent=2))
    else:
        click.echo(_summary(every))
    if state == ERROR:
        sys.stdout.flush()
        raise click.exceptions.Exit(EXIT_ILL)


def parts(config: DoctorConfig) -> Iterator[Part]:
    yield "this machine", machine.look()
    if config.url.strip():
        yield config.url, client.look(config)
        yield from _named(config)
        return
    if config.config is not None:
        yield _of_file(config.config, config)
        return
    if os.path.isdir(USUAL_PLACE) and not os.access(USUAL_PLACE, os.X_OK):
        text = "this user may not look into it, and so not at what is configured"
        yield USUAL_PLACE, iter([Finding("file", WARNING, text, "run this as root")])
    there = [path for name in USUAL_FILES if os.path.exists(path := os.path.join(USUAL_PLACE, name))]
    if not there and not config.name and os.access(USUAL_PLACE, os.X_OK) == os.path.isdir(USUAL_PLACE):
        text = f"there is no {' and no '.join(USUAL_FILES)}, so nothing of a server or a client was looked at"
        yield USUAL_PLACE, iter([Finding("file", OK, text, _MORE)])
    yield from (_of_file(path, config) for path in there)
    if not there:
        yield from _named(config)


def _named(config: DoctorConfig) -> Iterator[Part]:
    if config.name:
        yield "names", names.look_at_own(config.name)


def _of_file(path: str, config: DoctorConfig) -> Part:
    try:
        words, found = checking.configured(path)
    except ConfigError as error:
        fix = "correct that; sluice config check shows whether it is good"
        if Path(path).exists() and not os.access(path, os.R_OK):
            fix = "run this as root"
        return path, iter([Finding("file", ERROR, str(error), fix)])
    heading = f"sluice {words} --config {path}"
    if isinstance(found, ControlPlaneOptions):
        return heading, server.look(found, config.name)
    assert isinstance(found, ClientOptions)
    return heading, client.look(found)


def _painted(text: str, level: str) -> str:
    return paint(text, COLOURS[level.strip()] if level else BOLD)


def _summary(findings: list[Finding]) -> str:
    errors, warnings = (sum(one.level == level for one in findings) for level in (ERROR, WARNING))
    if not errors and not warnings:
        return "All is well."
    return f"{errors} {'error' if errors == 1 else 'errors'}, {warnings} {'warning' if warnings == 1 else 'warnings'}."
