"""What commands of all kinds have: examples below their help, and the whole of its first sentence in lists."""

from collections.abc import Sequence
from typing import Any

import click


class WithExamples(click.Command):
    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def get_short_help_str(self, limit: int = 0) -> str:
        """Never cut off: lists have room for a second line."""
        return " ".join((self.help or "").partition("\n\n")[0].split()).rstrip(".")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"  {example}\n")


class Group(WithExamples, click.Group):
    """Commands below it are of these kinds, too."""

    command_class = WithExamples
    group_class = type
