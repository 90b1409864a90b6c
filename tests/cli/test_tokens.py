"""`sluice tokens` against servers that answer well or badly: what is printed, and where."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.cli.main import run
from tests.stage.control_plane import TOKEN, Server, serve

PATH = "/api/v1/tokens"
PI = {"name": "pi", "created": "2001-01-01T00:10:20+00:00", "names": ["*.home.example"], "ports": [], "forward": False}
FOR_CLIENTS = b"this token lets a client connect, and nothing else: here the server's own token is needed\n"


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    stop = serve(found, None)
    yield found
    stop()


def tokens(server: Server, *words: str) -> int:
    return run(["tokens", *words, "--url", server.plain_url, "--token", TOKEN])


def answer(server: Server, code: int, body: Any, path: str = PATH) -> None:
    server.answers[path] = code, json.dumps(body).encode()


def problem(code: int, detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": "No", "status": code, "detail": detail}


def test_list(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    anything = {**PI, "name": "nas\x1b[2J", "names": [], "forward": True}
    answer(server, 200, {"tokens": [{**PI, "clients": 2}, {**anything, "clients": 0}], "problem": None})
    assert tokens(server, "list") == 0
    heads, first, second = capsys.readouterr().out.splitlines()
    assert heads.split() == ["Name", "Made", "Clients", "Names", "Ports", "Forwards"]
    assert first.split() == ["pi", "5", "minutes", "ago", "2", "*.home.example", "none", "no"]
    assert second.split() == ["nas?[2J", "5", "minutes", "ago", "0", "any", "any", "yes"]
    assert tokens(server, "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "pi"


def test_none_and_a_problem(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    answer(server, 200, {"tokens": [], "problem": "the file is damaged"})
    assert tokens(server, "list") == 0
    printed = capsys.readouterr()
    assert "sluice tokens add NAME" in printed.out and printed.err == "Warning: the file is damaged\n"


def test_add(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """What is to go into a file comes alone on standard output."""
    answer(server, 201, {"token": "sluice_x", **PI, "clients": 0})
    assert tokens(server, "add", "pi", "--names", "*.home.example,a.example", "--ports", "22", "--forward") == 0
    printed = capsys.readouterr()
    assert printed.out == "sluice_x\n"
    assert "--token-file FILE" in printed.err and "sluice tokens remove pi" in printed.err
    assert "Names: *.home.example; ports: none; local forwards: no." in printed.err and "sluice_x" not in printed.err
    wanted = {"name": "pi", "names": ["*.home.example", "a.example"], "ports": ["22"], "forward": True}
    assert [json.loads(body) for body in server.bodies] == [wanted]
    assert server.seen == [(PATH, f"Bearer {TOKEN}")]
    assert tokens(server, "add", "pi", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["token"] == "sluice_x" and printed.err == ""


def test_remove(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers[f"{PATH}/pi"] = 204, b""
    assert tokens(server, "remove", "pi") == 0
    assert "good for nothing any more" in capsys.readouterr().out
    assert tokens(server, "remove", "pi", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"removed": "pi"}


@pytest.mark.parametrize("words", [("list",), ("add", "pi"), ("remove", "pi")])
@pytest.mark.parametrize(
    ("code", "body", "status", "said"),
    [
        (401, b"", 3, "refuses the token"),
        (403, FOR_CLIENTS, 3, "this token lets a client connect, and nothing else"),
        (403, b"this address may not connect (--allow-ips of the server)\n", 1, "see --allow-ips of the server"),
        (404, json.dumps(problem(404, "there is nothing at this address")).encode(), 1, "older than this program"),
        (409, json.dumps(problem(409, "there is a token pi\x1b already")).encode(), 1, "there is a token pi already"),
        (500, b"", 1, "answers 500 to /api/v1/tokens"),
        (200, b"<html>", 1, "answers 200 to /api/v1/tokens"),
    ],
)
def test_what_goes_wrong(
    server: Server,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    body: bytes,
    status: int,
    said: str,
) -> None:
    server.answers[PATH] = server.answers[f"{PATH}/pi"] = code, body
    assert tokens(server, *words) == status
    printed = capsys.readouterr()
    assert printed.out == "" and said in printed.err and printed.err.count("\n") == 1
    assert TOKEN not in printed.err and "\x1b" not in printed.err


@pytest.mark.parametrize("words", [("add",), ("add", ""), ("add", "a b"), ("add", "x" * 65), ("remove", "../x")])
def test_names_that_cannot_be(server: Server, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert tokens(server, *words) == 2 and not server.seen
    assert "NAME" in capsys.readouterr().err


def test_an_empty_list_is_not_everything(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert tokens(server, "add", "pi", "--names", "") == 2 and not server.seen
    assert "--names is empty" in capsys.readouterr().err
