"""The formats by their names."""

import dataclasses
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import click

from appliance.cli.generate import cloud_init, containers, kubernetes, launchd, systemd
from appliance.cli.generate.plan import PROGRAM, Plan, make

FORMATS: dict[str, Callable[[Plan], str]] = {
    "systemd": systemd.generate,
    "k8s_yaml": kubernetes.generate,
    "docker": containers.docker,
    "compose": containers.compose,
    "launchd": launchd.generate,
    "cloud-init": cloud_init.generate,
}
_OF_THIS_MACHINE = ("systemd", "launchd")
ROOT = "SLUICE_ROOT"  # by which scripts/install.sh names the root tree that it installs into


def generated(config: Any, here: str, program: str, root: str = "") -> str:
    """The text of the format that the config asks for. `here`: what relative paths start from; `program`: where this
    program is; `root`: of the tree that the file of --config lies in, where that is another one. Raises ConfigError."""
    on_this_machine = config.generate in _OF_THIS_MACHINE
    plan = make(config, here, program if on_this_machine else PROGRAM, on_this_machine)
    plan = dataclasses.replace(plan, config_file=plan.config_file.removeprefix(root))
    return FORMATS[config.generate](plan)


def print_generated(config: Any) -> None:
    """On standard output, and nothing else is done."""
    name = sys.argv[0]
    found = shutil.which(name) if os.path.basename(name) == "sluice" else None
    root = os.environ.get(ROOT, "")
    click.echo(generated(config, os.getcwd(), os.path.abspath(found) if found else "", root), nl=False)
