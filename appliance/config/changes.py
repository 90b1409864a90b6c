"""What differs between two configs of a kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TypeVar

from appliance.config.options import options_of
from appliance.config.origin import ConfigFileOptions

Config = TypeVar("Config", bound=ConfigFileOptions)

_NEVER = frozenset(("config", "generate", "generate_name"))


def changed(before: ConfigFileOptions, after: ConfigFileOptions) -> list[str]:
    """The fields whose values differ."""
    return [
        field.name
        for field, _ in options_of(type(before))
        if field.name not in _NEVER and getattr(before, field.name) != getattr(after, field.name)
    ]


def merged(before: Config, after: Config, names: Iterable[str]) -> Config:
    """`before`, with what `after` has in these fields. Raises ConfigError where that does not go together."""
    config = dataclasses.replace(before, **{name: getattr(after, name) for name in names})
    object.__setattr__(config, "origin", after.origin)
    if hasattr(before, "port_given"):
        object.__setattr__(config, "port_given", before.port_given)
    return config


def spoken(names: Iterable[str]) -> str:
    """As flags and keys are spelled: "allow-ips, token"."""
    return ", ".join(name.replace("_", "-") for name in names)


def said(live: list[str], waiting: list[str]) -> str:
    """What has changed, and what would need a restart to change."""
    text = f"changed: {spoken(live)}" if live else "no setting has changed"
    if waiting:
        needs = "needs" if len(waiting) == 1 else "need"
        text += f"; {spoken(waiting)} {needs} a restart and stay{'s' if len(waiting) == 1 else ''} as before"
    return text
