"""A property list."""

from __future__ import annotations

import plistlib
import xml.dom.minidom

import pytest

from tests.cli.generate.making import COMMANDS, URL, printed


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_read_as_what_it_says(command: str) -> None:
    text = printed(*COMMANDS[command], "--token", "x", of="launchd").encode()
    xml.dom.minidom.parseString(text)  # a comment with two dashes would be none
    job = plistlib.loads(text)
    kind = command.split()[1]
    assert job["Label"] == f"sluice.sluice-{kind}"
    assert kind in job["ProgramArguments"] and "--token-file=/etc/sluice/token" in job["ProgramArguments"]
    assert job["RunAtLoad"] is job["KeepAlive"] is True
    assert job["UserName"] == "_sluice" and job["ExitTimeOut"] > 30


def test_paths_that_are_no_xml() -> None:
    words = ["http", "client", *URL, "--upstream", "a=/srv/<&>", "--token-file", "/a--b/<token>"]
    text = printed(*words, of="launchd").encode()
    xml.dom.minidom.parseString(text)
    assert plistlib.loads(text)["ProgramArguments"][-1] == "--upstream=a=/srv/<&>"
    assert "--token-file=/a--b/<token>" in plistlib.loads(text)["ProgramArguments"]
