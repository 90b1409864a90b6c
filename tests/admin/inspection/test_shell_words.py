"""Words for a shell, as a shell reads them, and typed into a terminal as a paste does it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.admin.inspection.curl import curl
from appliance.admin.inspection.shell_words import LONGEST_LINE, base64_lines, bytes_of, pasteable, word
from appliance.tunnel.inspector.store import Inspector
from tests.admin.records import record

CONTROLS = [*range(0x20), 0x7F]


def read_by_shell(text: str) -> bytes:
    done = subprocess.run(["dash", "-euc", f"printf %s {text}"], capture_output=True, timeout=20, check=True)
    return done.stdout


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\n"), max_size=500))
def test_a_word_is_the_very_bytes_and_shows_no_control(text: str) -> None:
    command = word(text)
    assert not any((ord(letter) < 32 and letter != "\n") or 127 <= ord(letter) < 160 for letter in command)
    assert read_by_shell(command) == bytes_of(text)


@pytest.mark.parametrize("text", ["", "plain", "é".encode().decode("latin-1"), "•••• (3 characters)", "x" * 9000, "'",
                                  "-\x1f", "%s\\\x01"])  # fmt: skip
def test_words(text: str) -> None:
    assert read_by_shell(word(text)) == bytes_of(text)
    assert max(map(len, word(text).splitlines())) <= LONGEST_LINE


def test_readable_words_stay_readable() -> None:
    assert word("a b") == "'a b'" and word("/a?b") == "'/a?b'" and word("PUT") == "PUT"
    assert word("Ã©") == "'é'"


@pytest.mark.parametrize(
    "data",
    [*(b"a%cb" % code for code in CONTROLS if code != 10), b"\xff", b"\xc2\x9b1m", "\u202eabc".encode(), b"a\nb!c",
     b"a\n^b^c", b"x" * 5000, b"a\n" * 100_000],
)  # fmt: skip
def test_what_means_something_to_a_terminal_is_not_pasted(data: bytes) -> None:
    assert pasteable(data) is None
    lines = base64_lines(data)
    assert lines.isascii() and max(map(len, lines.splitlines())) < 120
    assert (
        subprocess.run(["dash", "-eu"], input=lines.encode(), capture_output=True, timeout=20, check=True).stdout
        == data
    )


@pytest.mark.parametrize("text", ["", "a", "a\nb\n", '{"a": "é日本"}', "wow! $(id) `id` '\"\\"])
def test_what_is_text_stays_text(text: str) -> None:
    assert pasteable(text.encode()) == text


def pasted(shell: list[str], text: str, home: Path) -> None:
    """Typed into an interactive shell; returns when it has done all."""
    (home / "inputrc").write_text("set enable-bracketed-paste off\n")
    program = home / "curl"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    child, terminal = pty.fork()
    if not child:
        os.chdir(home)
        environ = {"PATH": f"{home}:/usr/bin:/bin", "HOME": str(home), "INPUTRC": str(home / "inputrc"), "TERM": "dumb",
                   "PS1": "READY$ ", "PS2": "> "}  # fmt: skip
        os.execvpe(shell[0], shell, environ)
    try:
        until(terminal, b"READY$ ")
        # What would end an open quote or answer a question comes after it; the marks are not in the text typed.
        os.write(terminal, text.encode() + b"\nprintf 'DO%s\\n' NE\n")
        until(terminal, b"DONE")
    finally:
        os.kill(child, 9)
        os.close(terminal)
        os.waitpid(child, 0)


def until(terminal: int, words: bytes) -> None:
    seen, deadline = b"", time.monotonic() + 15
    while words not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 65536)


BODIES = [
    b"hello \x03\ntouch PWNED\n",
    b"a\rtouch PWNED\r\n",
    b"\x15touch PWNED\n",
    b"\x04\ntouch PWNED\n",
    b"\x1b[A\x1b#\ntouch PWNED\n",
    b"/usr/bin/\t",
    b"x" * 5000 + b"\ntouch PWNED\n",
    b"a\n!!\n^a^b\n",
]


@pytest.mark.parametrize("shell", [["dash", "-i"], ["bash", "--norc", "--noprofile", "-i"]], ids=["dash", "bash"])
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_pasted_command_runs_nothing_of_a_visitor(shell: list[str], body: bytes, tmp_path: Path) -> None:
    text = body.decode()
    headers = [("Content-Type", "text/plain"), ("X-Odd", text.replace("\r", "").replace("\n", ";"))]
    path = "/;touch${IFS}PWNED;" + "y" * 5000
    pasted(shell, curl(record(Inspector(), "POST", path, headers, body), reveal=True), tmp_path)
    assert not (tmp_path / "PWNED").exists()
