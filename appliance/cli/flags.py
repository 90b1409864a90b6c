"""click commands made from config classes: a flag per field, grouped help, a config of what was given."""

import dataclasses
import typing
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from appliance.cli import given, kinds
from appliance.cli.examples import WithExamples
from appliance.config.options import ConfigError, Option, flag, options_of, parse_boolean, parse_duration
from appliance.config.origin import Origin
from appliance.config.shared import GROUPS, HELP, LicenceOptions

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_ARGUMENTS = "sluice.arguments"
_PATHS = {"FILE": "file", "DIR": "dir", "DIRECTORY": "dir"}  # what shells complete, by the metavar


class ConfigCommand(WithExamples):
    """A command whose flags are the options of ``config_class``; its function is called with the config.

    A class that is named, as in `kinds`, is imported when the command is run or asked for its help: of all commands,
    few are.
    """

    def __init__(self, *, config_class: type | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._wanted = config_class

    @cached_property
    def config_class(self) -> type:
        return self._wanted if isinstance(self._wanted, type) else kinds.config_class(self._wanted)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not self.params:
            self.params = flags_of(self.config_class)
        return super().get_params(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ARGUMENTS] = tuple(args)
        try:
            return super().parse_args(ctx, self._split_short(ctx, args))
        except click.NoSuchOption as error:
            from difflib import get_close_matches  # here, for few flags are wrong

            close = get_close_matches(error.option_name, self._taught(ctx))
            raise click.NoSuchOption(error.option_name, possibilities=close, ctx=error.ctx) from None

    def _split_short(self, ctx: click.Context, args: list[str]) -> list[str]:
        """``-p=8000``, which Go's flags allow, as ``-p 8000``: click would take "=8000" for the value."""
        names = {name: param for param in self.get_params(ctx) for name in param.opts}
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
        config = given.config_of(ctx, self.config_class, lambda: self._again(ctx))
        if isinstance(config, LicenceOptions) and config.licence_given:
            click.echo("No licence is needed: the licence flag is ignored.", err=True)
        if getattr(config, "generate", ""):
            from appliance.cli.generate.formats import print_generated

            return print_generated(config)
        assert self.callback is not None
        with getattr(config, "origin", Origin()).locating():
            return ctx.invoke(self.callback, config)

    def _again(self, ctx: click.Context) -> Any:
        """The config of the same arguments, with the files that they name as they are now. Raises ConfigError."""
        try:
            with self.make_context(ctx.info_name, list(ctx.meta[_ARGUMENTS]), parent=ctx.parent) as again:
                return given.config_of(again, self.config_class, lambda: self._again(ctx))
        except click.UsageError as error:
            raise ConfigError(error.format_message().rstrip(".")) from None

    def _taught(self, ctx: click.Context) -> list[str]:
        """The flags that help shows."""
        shown = [param for param in self.get_params(ctx) if isinstance(param, click.Option) and not param.hidden]
        old = {name for param in shown if isinstance(param, Flag) for name in param.described.aliases}
        return [name for param in shown for name in param.opts if name.startswith("--") and name not in old]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Old names of flags work, and nobody is to learn them."""
        old = {name for param in self.get_params(ctx) if isinstance(param, Flag) for name in param.described.aliases}
        return [item for item in super().shell_complete(ctx, incomplete) if item.value not in old]

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


class Flag(click.Option):
    """One option of a config class; help shows its unit, its default, and not its old names."""

    def __init__(self, field: dataclasses.Field[Any], described: Option, field_type: Any) -> None:
        required = field.default is dataclasses.MISSING
        names = [name for name in (described.short, flag(field.name), *described.aliases) if name]
        behaviour: dict[str, Any] = {} if required else {"default": field.default}
        behaviour |= {"envvar": described.environment, "show_envvar": described.environment is not None}
        if field_type is bool:
            # With a value or without: --auto-tls, --auto-tls=false.
            behaviour |= {"is_flag": False, "flag_value": "true", "type": BOOLEAN}
        elif typing.get_origin(field_type) is tuple:
            behaviour |= {"multiple": True, "type": str}
        elif described.unit == "seconds":
            behaviour |= {"type": DURATION_OR_NEVER if described.minimum == 0 else DURATION}
        elif described.choices:
            behaviour |= {"type": Choice(described.choices)}
        elif described.bare is not None:
            behaviour |= {"is_flag": False, "flag_value": described.bare, "type": str}
        else:
            behaviour |= {"type": int if field_type is int else float if field_type is float else str}
        if field.name == "config":
            behaviour |= {"is_eager": True, "callback": given.read_file}
        behaviour |= {"required": required, "hidden": described.hidden, "help": described.help}
        super().__init__([field.name, *names], **behaviour)
        self.described = described
        self.field_default = field.default

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """A variable stands in for a flag that is given nowhere: what a file says was meant for this program, and a
        variable like $PORT is there for many."""
        return None if self.name in (ctx.default_map or {}) else super().resolve_envvar_value(ctx)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        if self.hidden:
            return None
        left = ", ".join(filter(None, (self.described.short, flag(self.name or ""))))
        if isinstance(self.type, Boolean):
            left += "[=false]" if self.field_default is True else ""
        elif self.described.bare is not None:
            left += f"[={self.described.metavar or 'TEXT'}]"
        else:
            left += f" {self.described.metavar or 'TEXT'}"
        notes = filter(None, (self._shown_default(), "repeatable" if self.multiple else ""))
        text = "; ".join(notes)
        return left, self.described.help + (f"  [{text}]" if text else "")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        metavar = self.described.metavar or ""
        if metavar in _PATHS:
            return [_item(incomplete, type=_PATHS[metavar])]
        words = [word for word in metavar.split("|") if word.islower()]
        return super().shell_complete(ctx, incomplete) or [_item(word) for word in words if word.startswith(incomplete)]

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


class Positional(click.Argument):
    """The word behind a command; the usage line and the command's own text tell of it."""

    def get_help_record(self, ctx: click.Context) -> Any:
        return None


class Boolean(click.ParamType):
    name = "true|false"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        if isinstance(value, bool):
            return value
        try:
            return parse_boolean(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        return [_item(word) for word in ("true", "false") if word.startswith(incomplete)]


class Choice(click.ParamType):
    """One of some words; "" among them is for leaving the flag out."""

    name = "choice"

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        word = value.strip().lower()
        if word not in self.words:
            self.fail(f"{value!r} is none of {', '.join(filter(None, self.words))}", param, ctx)
        return word

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        return [_item(word) for word in self.words if word and word.startswith(incomplete)]


class Duration(click.ParamType):
    """`never`: whether there may be none, which is 0 and is written "never", too."""

    name = "duration"

    def __init__(self, never: bool = False) -> None:
        self.never = never

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        if self.never and value.strip().lower() in ("never", "off"):
            return 0.0
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


BOOLEAN = Boolean()
DURATION = Duration()
DURATION_OR_NEVER = Duration(never=True)


def _item(value: str, **about: Any) -> "CompletionItem":
    from click.shell_completion import CompletionItem  # here, for none but shells want them

    return CompletionItem(value, **about)


def flags_of(config_class: type) -> list[click.Parameter]:
    types = typing.get_type_hints(config_class)
    return [
        Positional([field.name], metavar=described.metavar)
        if described.positional
        else Flag(field, described, types[field.name])
        for field, described in options_of(config_class)
    ]
