"""From arguments to an exit code: what goes wrong becomes one line on standard error."""

import logging
import os
import sys
from collections.abc import Sequence

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
    if COMPLETING in os.environ:
        from appliance.cli.completing import register

        register()
    try:
        code = sluice.main(args=list(arguments), prog_name="sluice", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except ConfigError as error:
        return _failed(str(error), EXIT_USAGE)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "sluice"
        return _failed(f"{error.format_message()} (see {command} --help)", EXIT_USAGE)
    except click.ClickException as error:
        return _failed(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`sluice status | head -1`): Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_CRASHED
    except Exception as error:
        _log.debug("unexpected", exc_info=True)
        advice = "please report this with the output of --log-level debug"
        return _failed(f"{type(error).__name__}: {error}; {advice}", EXIT_CRASHED)


def _failed(message: str, code: int) -> int:
    click.echo(f"{paint('Error:', RED, sys.stderr)} {' '.join(message.split())}", err=True)
    return code
