"""From arguments to an exit code: what goes wrong becomes one line on standard error."""

import contextlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence

import click

from appliance.cli.commands import sluice
from appliance.cli.terminal import COMPLETING, RED, paint
from appliance.config.options import ConfigError

EXIT_CRASHED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # as shells report SIGINT

_log = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> int:
    """Run ``sluice`` with these arguments; its exit code. Never raises, never prints a traceback unasked."""
    _open_streams()
    if COMPLETING in os.environ:
        from appliance.cli.completing import register

        register()
    as_json = "--json" in arguments
    try:
        code = sluice.main(args=list(arguments), prog_name="sluice", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except ConfigError as error:
        return _failed(str(error), EXIT_USAGE, as_json, _place(error))
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "sluice"
        return _failed(f"{error.format_message()} (see {command} --help)", EXIT_USAGE, as_json)
    except click.ClickException as error:
        told = getattr(error, "told", False)  # its answer has been printed, and says it, too
        return _failed(error.format_message(), error.exit_code, as_json and not told)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`sluice status | head -1`): Python must not complain at exit.
        _forget_output()
        return EXIT_CRASHED
    except Exception as error:
        if isinstance(error, OSError) and _is_of_output(error):
            return _failed(f"standard output cannot be written to: {error.strerror or error}", EXIT_CRASHED)
        _log.debug("unexpected", exc_info=True)
        return _failed(f"{type(error).__name__}: {error}; {_advice(arguments)}", EXIT_CRASHED, as_json)


def _open_streams() -> None:
    """Those that are closed (>&-) become ones that fail, or swallow: else their numbers would go to what is opened
    next, and printing to a client's connection."""
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, flags)
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w", encoding="utf-8"))


def _is_of_output(error: OSError) -> bool:
    """Whether it comes of printing. What is left is dropped then: Python would complain of it at exit."""
    by = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)][-1]
    try:
        sys.stdout.flush()
    except OSError:
        by = click.echo.__code__
    if by not in (click.echo.__code__, run.__code__):
        return False
    _forget_output()
    return True


def _forget_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _advice(arguments: Sequence[str]) -> str:
    """Of commands with a log, how it says more."""
    more = " with the output of --log-level debug" if {"server", "client"}.intersection(arguments[:2]) else ""
    return f"please report this{more}"


def _place(error: ConfigError) -> dict[str, object]:
    """Of what is wrong in a file; what is not known is left out."""
    found = {"file": error.file, "line": error.line, "key": error.key}
    return {name: value for name, value in found.items() if value}


def _failed(message: str, code: int, as_json: bool = False, more: Mapping[str, object] | None = None) -> int:
    """Says so on standard error; for programs that asked for JSON, in one object on standard output, too."""
    text = " ".join(message.split())
    click.echo(f"{paint('Error:', RED, sys.stderr)} {text}", err=True)
    if as_json:
        with contextlib.suppress(OSError):
            click.echo(json.dumps({"error": text, **(more or {})}))
    return code
