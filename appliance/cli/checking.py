"""`sluice config`: a configuration file looked at without being run."""

import dataclasses
import json
from typing import Any

import click

from appliance.cli import given, looking, tables
from appliance.cli.flags import ConfigCommand
from appliance.cli.kinds import CONFIGS, config_class
from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.document import open_document
from appliance.config.options import ConfigError, Option, options_of
from appliance.config.origin import DEFAULT, FILE

_UNSEEN = ("config", "generate", "generate_name")


def check(path: str, as_json: bool = False) -> None:
    """Say what the file runs. Raises ConfigError for what would keep it from running, here and now."""
    try:
        words, config = configured(path)
        tokenless = config.token is None and config.token_file is None and config.token_env is None
        with config.origin.locating():
            look(dataclasses.replace(config, token="a-flag-s") if tokenless else config)
    except ConfigError as error:
        error.file = error.file or path  # in any case it is this one that does not run
        raise
    if as_json:
        settings = {key: value for key, value, _ in _rows(config, only_given=True)}
        click.echo(json.dumps({"file": path, "command": words, "settings": settings, "token": not tokenless}, indent=2))
        return
    click.echo(f"{path} is good: it is for `sluice {words} --config {path}`, with")
    for key, value, _ in _rows(config, only_given=True):
        click.echo(f"  {key} = {value}")
    if tokenless:
        click.echo("It names no token: give one with --token-file")


def show(path: str, as_json: bool) -> None:
    """Print all settings that are in force with the file, and where each comes from. Raises ConfigError."""
    words, config = configured(path)
    if as_json:
        settings = [{"key": key, "value": value, "source": source} for key, value, source in _rows(config)]
        click.echo(json.dumps({"command": words, "settings": settings}, indent=2))
        return
    for line in tables.table(("Key", "Value", "Source"), _rows(config), (24, 16, 0)):
        click.echo(line)


def look(config: Any) -> None:
    """Raises ConfigError for files and rules that are no good."""
    if isinstance(config, ControlPlaneOptions):
        looking.look_at_server(config)
    else:
        looking.look_at_client(config)


def configured(path: str) -> tuple[str, Any]:
    """The words of the command that a file is for, and its config."""
    document = open_document(path)
    words = document.command or ("client" if "url" in document.keys else "server")
    if words not in CONFIGS:
        raise document.error("command", f"there is no `sluice {words}`: one of {', '.join(CONFIGS)}")
    command = ConfigCommand(name=words, config_class=config_class(CONFIGS[words]))
    try:
        with command.make_context(words, ["--config", path]) as ctx:
            return words, given.config_of(ctx, command.config_class)
    except click.MissingParameter as error:
        name = (error.param.name or "").replace("_", "-") if error.param is not None else ""
        raise ConfigError(f"{path}: {name} is missing", file=path, key=name) from None
    except click.UsageError as error:
        raise ConfigError(f"{path}: {error.format_message()}", file=path) from None


def _rows(config: Any, only_given: bool = False) -> list[tuple[str, str, str]]:
    """Key, value and source of each setting."""
    rows = []
    for field, described in options_of(type(config)):
        source = config.origin.sources.get(field.name, DEFAULT)
        if field.name in _UNSEEN or described.hidden or (only_given and source == DEFAULT):
            continue
        place = config.origin.place(field.name, "") if source == FILE else source
        rows.append((field.name.replace("_", "-"), _shown(getattr(config, field.name), described), place))
    return rows


def _shown(value: Any, described: Option) -> str:
    if described.secret:
        return "(set)" if value is not None else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, float):
        return f"{value:g}s"
    return "" if value is None else str(value)
