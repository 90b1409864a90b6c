"""A config of what was given: flags, the environment, and the file that --config names."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from appliance.cli.addresses import absolute
from appliance.cli.kinds import CONFIGS, config_class, spoken
from appliance.config.options import ConfigError, flag
from appliance.config.origin import ENVIRONMENT, FILE, FLAG, Origin

if TYPE_CHECKING:
    from appliance.config.file import Settings

_SOURCES = {
    ParameterSource.COMMANDLINE: FLAG,
    ParameterSource.ENVIRONMENT: ENVIRONMENT,
    ParameterSource.DEFAULT_MAP: FILE,
}
_SETTINGS = "sluice.settings"
_TOKEN_FIELDS = ("token", "token_file", "token_env")


def read_file(ctx: click.Context, param: click.Parameter, path: str | None) -> str | None:
    """The call-back of --config, before other flags are looked at: what the file says is their default from then on."""
    ctx.meta.pop(_SETTINGS, None)
    if path is None or ctx.resilient_parsing:
        return path
    from appliance.config.document import open_document  # here, for what reads TOML costs memory
    from appliance.config.file import read_settings

    wanted_class = ctx.command.config_class  # type: ignore[attr-defined]
    called = spoken(wanted_class)
    if not called:
        return path  # of another command, which is looked at
    document = open_document(path)
    wanted = document.command
    if wanted and wanted != called:
        raise document.error("command", f"this file is for `sluice {wanted}`, and this is `sluice {called}`")
    settings = ctx.meta[_SETTINGS] = read_settings(document, wanted_class, map(config_class, CONFIGS.values()))
    ctx.default_map = dict(settings.values)
    return path


def config_of(ctx: click.Context, wanted_class: type, again: Callable[[], Any] | None = None) -> Any:
    """The config of a context that has been parsed. Raises ConfigError, with its place where that is in a file."""
    values = dict(ctx.params)
    found = {name: _SOURCES.get(source) for name in values if (source := ctx.get_parameter_source(name))}
    sources = {name: source for name, source in found.items() if source is not None}
    if any(sources.get(name) in (FLAG, ENVIRONMENT) for name in _TOKEN_FIELDS):
        for name in _TOKEN_FIELDS:  # one place is enough, and flags win
            if sources.get(name) == FILE:
                values[name] = None
                del sources[name]
    origin = _origin(ctx, sources, again)
    with origin.locating():
        values = {name: _value(name, value) for name, value in values.items()}
        if sources.get("upstream") == FILE:  # directories in a file are looked for beside it
            here = os.path.dirname(os.path.abspath(origin.path))
            values["upstream"] = tuple(absolute(piece, here) for piece in values["upstream"])
        config = wanted_class(**values)
    if hasattr(wanted_class, "origin"):
        object.__setattr__(config, "origin", origin)
    return config


def _origin(ctx: click.Context, sources: dict[str, str], again: Callable[[], Any] | None) -> Origin:
    settings: Settings | None = ctx.meta.get(_SETTINGS)
    if settings is None:
        return Origin(sources, again=again)
    return Origin(sources, settings.document.path, settings.place, again)


def _value(name: str, given: Any) -> Any:
    """Lists may also be written with commas. Raises ConfigError for one that was given, and is empty: it would mean
    what leaving it out means, such as "everybody"."""
    if not isinstance(given, tuple):
        return given
    pieces = tuple(piece for text in given for piece in map(str.strip, text.split(",")) if piece)
    if given and not pieces:
        raise ConfigError(f"{flag(name)} is empty: give it a value, or leave it out")
    return pieces
