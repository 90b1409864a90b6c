"""Configuration files as they are read: what is no TOML is told with its line."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from appliance.config import document
from appliance.config.document import MAX_BYTES, line_of, open_document
from appliance.config.options import ConfigError


def write(directory: Path, text: str | bytes) -> str:
    path = directory / "sluice.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("text", "line", "key", "expected"),
    [
        ("port = \n", 1, "port", 'invalid value (text belongs in quotes: key = "text")'),
        ("port = 1\n\nport = 2", 3, "port", "port is there twice, the other one is on line 1: leave one of them out"),
        ('a = "', 1, "a", "unterminated string (a quote that was opened is not closed)"),
        ('\na = "b\n', 2, "a", r"illegal character '\n' (a quote that was opened is not closed on its line)"),
        (b"# one\n# \xff\n", 2, "", "this is not UTF-8 text"),
    ],
)
def test_what_is_no_toml(tmp_path: Path, text: str | bytes, line: int, key: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        open_document(path)
    assert str(caught.value) == f"{path}:{line}: {expected}"
    assert (caught.value.file, caught.value.line, caught.value.key) == (path, line, key)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=f"^--config {path} cannot be read: {reason}$"):
            open_document(str(path))
    with pytest.raises(ConfigError, match="is larger than 1 MiB"):
        open_document(write(tmp_path, b"#" * (MAX_BYTES + 1)))


def test_what_it_is_for(tmp_path: Path) -> None:
    assert open_document(write(tmp_path, 'command = " http  server"')).command == "http server"
    assert open_document(write(tmp_path, "")).command == ""
    with pytest.raises(ConfigError, match=":2: command is text"):
        _ = open_document(write(tmp_path, "\ncommand = 1")).command


def test_lines_of_keys() -> None:
    text = 'a = """\nport = 1\n"""\nupstream = [\n  "port = 2",\n]\n"port" = 3\n[b]\n'
    assert [line_of(text, key) for key in ("a", "upstream", "port", "b", "none")] == [1, 4, 7, 8, 1]


def test_pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell makes of <(...). One that nobody writes to, or does not end, keeps nobody waiting."""
    reading, writing = os.pipe()
    threading.Timer(0.05, lambda: (os.write(writing, b"port = 1"), os.close(writing))).start()
    assert open_document(f"/dev/fd/{reading}").keys == {"port": 1}
    os.close(reading)
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(document, "PIPE_SECONDS", 0.1)
    with pytest.raises(ConfigError, match=r"fifo cannot be read: it does not end within 0\.1 seconds"):
        open_document(str(tmp_path / "fifo"))
