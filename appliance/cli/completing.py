"""Completion in bash, zsh and fish: click's own, and what it lacks there for values behind an equals sign."""

import os
from collections.abc import Iterator

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

_PATHS = ("file", "dir")


class Bash(BashComplete):
    """bash hands over "--flag=value" in three words."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        if args and args[-1] == "=":
            del args[-1]
        joined: list[str] = []
        for word in args:
            if joined and (word == "=" or (joined[-1].startswith("--") and joined[-1].endswith("="))):
                joined[-1] += word
            else:
                joined.append(word)
        return joined, incomplete


class Zsh(ZshComplete):
    """zsh takes the flag for a part of the word, of file names too."""

    def source(self) -> str:
        return super().source().replace("_path_files", "compset -P '--*='; _path_files")

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        items = super().get_completions(args, incomplete)
        flag = _flag_before(incomplete)
        for item in items:
            if flag and item.type not in _PATHS:
                item.value = flag + item.value
        return items


class Fish(FishComplete):
    """fish, too, and knows no file names behind an equals sign. Descriptions have commas."""

    def source(self) -> str:
        return super().source().replace('string split ","', 'string split --max 1 ","')

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        items = super().get_completions(args, incomplete)
        flag = _flag_before(incomplete)
        if not flag:
            return items
        words = [item.value for item in items if item.type not in _PATHS]
        begun = incomplete.removeprefix(flag)
        words += [path for item in items if item.type in _PATHS for path in paths(begun, item.type)]
        return [CompletionItem(flag + word) for word in words]


def _flag_before(incomplete: str) -> str:
    """ "--flag=" of "--flag=val"; empty where there is no flag with an equals sign."""
    flag, equals, _ = incomplete.partition("=")
    return flag + equals if equals and flag.startswith("--") else ""


def paths(begun: str, kind: str) -> Iterator[str]:
    """Files and directories, or directories alone, that begin so."""
    name = begun.rpartition("/")[2]
    place = begun[: len(begun) - len(name)]
    try:
        entries = sorted(os.scandir(os.path.expanduser(place) or "."), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
            if entry.is_dir():
                yield f"{place}{entry.name}/"
            elif kind == "file":
                yield f"{place}{entry.name}"


CLASSES: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def register() -> None:
    """Let click answer with these."""
    for completion_class in CLASSES.values():
        add_completion_class(completion_class)


def script(shell: str, root: click.Command, variable: str) -> str:
    return CLASSES[shell](root, {}, "sluice", variable).source()
