"""Manual pages, from the text that --help shows. Pure: a command in, the source of a page (man(7)) out."""

import re
import textwrap
from collections.abc import Iterator

import click

from appliance.cli.examples import WithExamples
from appliance.cli.flags import ConfigCommand, Flag
from appliance.config.build import VERSION
from appliance.config.shared import GROUPS, HELP

Walked = tuple[tuple[str, ...], click.Command]

_WIDTH = 78
_WORDS = re.compile(r"(?<![\w-])(--[a-z][a-z-]*|`[^`]+`)")


def walk(command: click.Command, words: tuple[str, ...] = ("sluice",)) -> Iterator[Walked]:
    """A command and those below it that are shown, each with its words."""
    yield words, command
    if isinstance(command, click.Group):
        for name, below in sorted(command.commands.items()):
            if not below.hidden:
                yield from walk(below, (*words, name))


def page(words: tuple[str, ...], command: click.Command, root: click.Command, date: str) -> str:
    """`date`: like 2026-01-31."""
    ctx = _context(words, root)
    first, _, rest = (command.help or "").strip().partition("\n\n")
    title = "-".join(words)
    lines = [
        f'.TH "{title.upper()}" "1" "{date}" "Sluice {VERSION}" "Sluice"',
        ".SH NAME",
        rf"{_escaped(title)} \- {_escaped(_one_line(first).rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_escaped(' '.join(words))}",
        _escaped(" ".join(command.collect_usage_pieces(ctx))),
        ".SH DESCRIPTION",
        _text(first),
        *(line for part in rest.split("\n\n") if part.strip() for line in (".PP", _text(part))),
        *_commands(words, command),
        *_options(ctx, command),
        *_examples(command),
        ".SH SEE ALSO",
        _also(words, root),
    ]
    return "\n".join(lines) + "\n"


def _context(words: tuple[str, ...], root: click.Command) -> click.Context:
    ctx = click.Context(root, info_name=words[0], **root.context_settings)
    command = root
    for word in words[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[word]
        ctx = click.Context(command, info_name=word, parent=ctx)
    return ctx


def _commands(words: tuple[str, ...], command: click.Command) -> Iterator[str]:
    if not isinstance(command, click.Group):
        return
    yield ".SH COMMANDS"
    for name, below in sorted(command.commands.items()):
        if not below.hidden:
            yield ".TP"
            yield rf"\fB{_escaped(name)}\fR (see \fB{_escaped('-'.join((*words, name)))}\fR(1))"
            yield _text((below.help or "").strip().partition("\n\n")[0])


def _options(ctx: click.Context, command: click.Command) -> Iterator[str]:
    groups: dict[str, list[tuple[str, str]]] = {name: [] for name in GROUPS}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            groups[param.described.group if isinstance(param, Flag) else HELP].append(record)
    if not any(groups.values()):
        return
    yield ".SH OPTIONS"
    for name, records in groups.items():
        if records and isinstance(command, ConfigCommand):
            yield f".SS {name}"
        for left, right in records:
            yield ".TP"
            yield rf"\fB{_escaped(left)}\fR"
            yield _text(right)


def _examples(command: click.Command) -> Iterator[str]:
    if not isinstance(command, WithExamples) or not command.examples:
        return
    yield ".SH EXAMPLES"
    yield ".nf"
    yield from map(_escaped, command.examples)
    yield ".fi"


def _also(words: tuple[str, ...], root: click.Command) -> str:
    pages = [
        "-".join(other) for other, _ in walk(root) if other != words and (len(other) < 3 or other[:2] == words[:2])
    ]
    return ",\n".join(rf"\fB{_escaped(name)}\fR(1)" for name in pages)


def _text(text: str) -> str:
    """A paragraph; flags and what stands in backquotes in bold. Each sentence begins a line, as roff has it."""
    line = _one_line(text)
    marked = _WORDS.sub(lambda found: f"\0{found[0].strip('`')}\1", line)
    source = _escaped(marked).replace("\0", r"\fB").replace("\1", r"\fR")
    sentences = re.split(r"(?<=[a-z0-9)R][.:?]) +(?=[A-Z])", source)
    lines = (piece for one in sentences for piece in textwrap.wrap(one, _WIDTH, break_on_hyphens=False))
    return "\n".join(map(_guarded, lines))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """Nothing in it is roff's: neither the escape character, nor hyphens, which would become typographic ones."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")
    text = text.replace("^", r"\(ha").replace("~", r"\(ti")
    return _guarded(text)


def _guarded(line: str) -> str:
    """A dot or an apostrophe at its beginning would make it a request."""
    return rf"\&{line}" if line.startswith((".", "'")) else line
