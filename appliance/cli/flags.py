"""click commands made from config classes: a flag per field, grouped help, a config of what was given."""

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

import click

from appliance.config.options import Option, flag, options_of, parse_boolean, parse_duration
from appliance.config.shared import GROUPS, HELP, LicenceOptions


class ConfigCommand(click.Command):
    """A command whose flags are the options of ``config_class``; its function is called with the config."""

    def __init__(self, *, config_class: type, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs | {"params": flags_of(config_class)})
        self.config_class = config_class
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._split_short(args))

    def _split_short(self, args: list[str]) -> list[str]:
        """``-p=8000``, which Go's flags allow, as ``-p 8000``: click would take "=8000" for the value."""
        names = {name: param for param in self.params for name in param.opts}
        pieces: list[str] = []
        for text in args:
            before = names.get(pieces[-1]) if pieces else None
            is_value = before is not None and not isinstance(before.type, Boolean)
            if text[:2] in names and text[2:3] == "=" and not is_value:
                pieces += [text[:2], text[3:]]
            else:
                pieces.append(text)
        return pieces

    def invoke(self, ctx: click.Context) -> Any:
        config = self.config_class(**{name: _value(given) for name, given in ctx.params.items()})
        if isinstance(config, LicenceOptions) and config.licence_given:
            click.echo("No licence is needed: the licence flag is ignored.", err=True)
        assert self.callback is not None
        return ctx.invoke(self.callback, config)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in GROUPS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                groups[param.described.group if isinstance(param, Flag) else HELP].append(record)
        for name, records in groups.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"  {example}\n")


class Flag(click.Option):
    """One option of a config class; help shows its unit, its default, and not its old names."""

    def __init__(self, field: dataclasses.Field[Any], described: Option, field_type: Any) -> None:
        required = field.default is dataclasses.MISSING
        names = [name for name in (described.short, flag(field.name), *described.aliases) if name]
        behaviour: dict[str, Any] = {} if required else {"default": field.default}
        if field_type is bool:
            # With a value or without: --auto-tls, --auto-tls=false.
            behaviour |= {"is_flag": False, "flag_value": "true", "type": BOOLEAN}
        elif typing.get_origin(field_type) is tuple:
            behaviour |= {"multiple": True, "type": str}
        elif described.unit == "seconds":
            behaviour |= {"type": DURATION}
        elif described.choices:
            behaviour |= {"type": click.Choice(described.choices)}
        else:
            behaviour |= {"type": int if field_type is int else float if field_type is float else str}
        super().__init__([field.name, *names], required=required, hidden=described.hidden, **behaviour)
        self.described = described
        self.field_default = field.default

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        if self.hidden:
            return None
        left = ", ".join(filter(None, (self.described.short, flag(self.name or ""))))
        if isinstance(self.type, Boolean):
            left += "[=false]" if self.field_default is True else ""
        else:
            left += f" {self.described.metavar or 'TEXT'}"
        notes = filter(None, (self._shown_default(), "repeatable" if self.multiple else ""))
        text = "; ".join(notes)
        return left, self.described.help + (f"  [{text}]" if text else "")

    def _shown_default(self) -> str:
        if self.required:
            return "required"
        if self.described.default_text:
            return f"default: {self.described.default_text}"
        if self.field_default in (None, (), False, ""):
            return ""
        if isinstance(self.field_default, tuple):
            return f"default: {','.join(self.field_default)}"
        if isinstance(self.type, Duration):
            return f"default: {self.field_default:g}s"
        return f"default: {'true' if self.field_default is True else self.field_default}"


class Boolean(click.ParamType):
    name = "true|false"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        if isinstance(value, bool):
            return value
        try:
            return parse_boolean(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Duration(click.ParamType):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


BOOLEAN = Boolean()
DURATION = Duration()


def flags_of(config_class: type) -> list[click.Parameter]:
    types = typing.get_type_hints(config_class)
    return [Flag(field, described, types[field.name]) for field, described in options_of(config_class)]


def _value(given: Any) -> Any:
    """Lists may also be written with commas."""
    if not isinstance(given, tuple):
        return given
    pieces = (piece.strip() for text in given for piece in text.split(","))
    return tuple(piece for piece in pieces if piece)
