"""Commands about the program itself: version, completion, manual pages."""

import json
import os
import sys

import click

from appliance.cli.examples import WithExamples
from appliance.config.build import VERSION, full_version, sha
from appliance.config.options import ConfigError

# What a version is asked for, beyond our own: where behaviour may come from.
LIBRARIES = ("gevent", "cryptography", "flask", "websockets", "click")


@click.command(cls=WithExamples, examples=["sluice version --details", "sluice version --json"])
@click.option("--details", is_flag=True, help="Also say what it runs on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, details too.")
def version(details: bool, as_json: bool) -> None:
    """Print the version and the commit it was built from."""
    if as_json:
        click.echo(json.dumps({"version": VERSION, "sha": sha(), **about()}, indent=2))
        return
    click.echo(full_version())
    if details:
        found = about()
        found |= {"libraries": ", ".join(f"{name} {one}" for name, one in found["libraries"].items())}  # type: ignore[attr-defined]
        for name, value in found.items():
            title = "OpenSSL" if name == "openssl" else name.capitalize()
            click.echo(f"{title}:".ljust(12) + str(value))


def about() -> dict[str, object]:
    """What this program runs on."""
    import platform
    import ssl

    return {
        "python": f"{platform.python_version()} ({sys.executable})",
        "openssl": ssl.OPENSSL_VERSION,
        "system": _system(),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "libraries": {name: found for name in LIBRARIES if (found := _version_of(name))},
    }


def _system() -> str:
    import platform

    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        name = platform.system()
    return f"{name}, kernel {platform.release()}"


def _version_of(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


@click.command(
    cls=WithExamples,
    examples=["source <(sluice completion bash)", "sluice completion fish > ~/.config/fish/completions/sluice.fish"],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    In bash it is good for the session that reads it; the examples are of bash, and of fish for good.
    """
    from appliance.cli.completing import script
    from appliance.cli.terminal import COMPLETING

    click.echo(script(shell, click.get_current_context().find_root().command, COMPLETING))


def _commands_below(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """What may follow the words that are there."""
    command: click.Command | None = ctx.find_root().command
    for word in ctx.params.get("command") or ():
        command = command.commands.get(word) if isinstance(command, click.Group) else None
    below = command.commands.items() if isinstance(command, click.Group) else ()
    return [name for name, found in below if name.startswith(incomplete) and not found.hidden]


@click.command(
    "man",
    cls=WithExamples,
    examples=["sluice man http server | man -l -", "sluice man --directory /usr/local/share/man/man1"],
)
@click.argument("command", nargs=-1, shell_complete=_commands_below)
@click.option(
    "--directory",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False),
    help="Write a page for every command into this directory.",
)
def man(command: tuple[str, ...], directory: str | None) -> None:
    """Print the source of a command's manual page, or write all of them."""
    from pathlib import Path

    from appliance.cli.manual import page, walk

    root = click.get_current_context().find_root().command
    pages = dict(walk(root))
    wanted = ("sluice", *command)
    date = _today()
    if directory is None:
        if wanted not in pages:
            raise click.UsageError(f"there is no command {' '.join(wanted)}")
        click.echo(page(wanted, pages[wanted], root, date), nl=False)
        return
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        for words, found in pages.items():
            Path(directory, f"{'-'.join(words)}.1").write_text(page(words, found, root, date), "utf-8")
    except OSError as error:
        raise ConfigError(f"--directory {directory} cannot be written to: {error.strerror or error}") from None


def _today() -> str:
    """Builds that are to be repeatable say when they are (https://reproducible-builds.org/specs/source-date-epoch/)."""
    import time

    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    return time.strftime("%Y-%m-%d", time.gmtime(int(given) if given.isdigit() else None))
