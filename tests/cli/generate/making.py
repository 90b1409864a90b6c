"""Text as the program prints it, of flags as users give them; without a process for each."""

from __future__ import annotations

import contextlib
import io
from typing import Any
from unittest import mock

from appliance.cli.commands import sluice
from appliance.cli.generate import formats
from appliance.cli.generate.plan import Plan, make

SERVERS = {"http": ["http", "server"], "tcp": ["tcp", "server"], "both": ["server"]}
URL = ["--url", "wss://203.0.113.7:8123"]
CLIENTS = {
    "http": ["http", "client", *URL, "--upstream", "app.example.com=http://192.168.0.10:3000"],
    "tcp": ["tcp", "client", *URL, "--upstream", "2222=192.168.0.10:22"],
    "both": ["client", *URL, "--upstream", "http://192.168.0.10:3000,2222=192.168.0.10:22"],
}
# Containers have to know the ports.
NAMED = {"http": [], "tcp": ["--allow-ports", "2222,5432"], "both": ["--allow-ports", "2222"]}
COMMANDS = {
    **{f"{kind} server": [*words, *NAMED[kind]] for kind, words in SERVERS.items()},
    **{f"{kind} client": words for kind, words in CLIENTS.items()},
}


def printed(*words: str, of: str) -> str:
    """What the command prints with --generate. Raises ConfigError or click.UsageError."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        sluice.main(args=[*words, "--generate", of], prog_name="sluice", standalone_mode=False)
    return output.getvalue()


def plan(*words: str, here: str = "/somewhere", program: str = "", on_this_machine: bool = False) -> Plan:
    """The plan that these flags make, for what is here and there."""
    found: list[Plan] = []

    def caught(config: Any, *_: str) -> Plan:
        found.append(make(config, here, program, on_this_machine))
        return found[0]

    with mock.patch.object(formats, "make", caught), mock.patch.dict(formats.FORMATS, systemd=lambda _: ""):
        printed(*words, of="systemd")
    return found[0]
