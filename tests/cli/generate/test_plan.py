"""What is to be run, read off the flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cli.generate.plan import PROGRAM, TOKEN_FILE, Listener
from appliance.config.options import ConfigError
from tests.cli.generate.making import CLIENTS, URL, plan


def words(*given: str) -> list[str]:
    found = plan(*given)
    return found.words({file.key: f"<{file.key}>" for file in found.files})


def test_no_flag_but_the_token_where_nothing_is_given() -> None:
    assert words("http", "server") == ["http", "server", "--token-file=<token>"]
    assert plan("http", "server").files[0].path == TOKEN_FILE


def test_every_kind_of_flag_comes_back() -> None:
    given = [
        "--auto-tls=false", "--response-timeout", "1m30s", "--warm-streams", "3", "--allow-ips", "10.0.0.0/8",
        "--allow-ips", "127.0.0.1", "--log-level", "debug", "--connect-timeout", "0.5", "--port", "80",
    ]  # fmt: skip
    assert words("http", "server", *given)[3:] == [
        "--log-level=debug", "--allow-ips=10.0.0.0/8", "--allow-ips=127.0.0.1", "--auto-tls=false",
        "--connect-timeout=0.5s", "--warm-streams=3", "--port=80", "--response-timeout=90s",
    ]  # fmt: skip


def test_what_it_prints_means_the_same() -> None:
    """The words of a plan make the same plan again."""
    for command in CLIENTS.values():
        found = plan(*command, "--upstream-timeout", "3s", "--token-file", "/t")
        again = plan(*found.words({file.key: file.path for file in found.files}))
        assert again == found


def test_paths_start_where_the_command_was_given() -> None:
    found = plan("http", "server", "--token-file", "token", "--tls-cert", "../c.pem", "--tls-key", "/k.pem")
    assert [(file.key, file.path) for file in found.files] == [
        ("token", "/somewhere/token"), ("tls-cert", "/c.pem"), ("tls-key", "/k.pem"),
    ]  # fmt: skip
    assert words("http", "client", *URL, "--upstream", "a=./site,b=../x?browse=true")[-2:] == [
        "--upstream=a=/somewhere/site", "--upstream=b=/x?browse=true",
    ]  # fmt: skip


def test_several_files_of_one_flag() -> None:
    given = ["--data-cert", "a.pem,b.pem", "--data-key", "a.key,b.key", "--data-cert-dir", "/certs"]
    found = {file.key: file for file in plan("http", "server", *given).files}
    assert list(found) == ["token", "data-cert-1", "data-cert-2", "data-key-1", "data-key-2", "data-cert-dir-1"]
    assert found["data-cert-dir-1"].directory and not found["data-cert-1"].directory


@pytest.mark.parametrize(
    ("flags", "said"), [(["--token", "x"], "--token is not"), (["--token-env", "NAME"], "(NAME)"), ([], "")]
)
def test_the_token_is_always_a_files(flags: list[str], said: str) -> None:
    found = plan("http", "server", *flags)
    assert said in found.token_note
    assert found.words({"token": "<token>"})[2:] == ["--token-file=<token>"]


def test_licence_flags_are_left_out() -> None:
    assert words("http", "server", "--license", "secret") == ["http", "server", "--token-file=<token>"]


def test_where_it_listens() -> None:
    assert plan("http", "server").listeners == (Listener("http", "", 8000), Listener("control", "0.0.0.0", 8123))
    secure = plan("http", "server", "--letsencrypt-domain", "a.example.com")
    assert [(each.name, each.port) for each in secure.listeners] == [("http", 80), ("https", 443), ("control", 8123)]
    alone = plan("server", "--letsencrypt-domain", "a.example.com", "--plain-http", "off", "--data-addr", "::1")
    assert alone.listeners[0] == Listener("https", "::1", 443)
    assert plan("tcp", "server").listeners == (Listener("control", "0.0.0.0", 8123),)
    assert plan(*CLIENTS["http"]).listeners == ()


def test_ports_below_1024() -> None:
    assert not plan("http", "server").privileged
    assert plan("http", "server", "--port", "80").privileged
    assert plan("tcp", "server").privileged  # 80 and 443 are among what clients may open
    assert not plan("tcp", "server", "--allow-ports", "2222").privileged
    assert plan("tcp", "client", *URL, "--local", "25:mail:25").privileged
    assert not plan("tcp", "client", *URL, "--local", "2525:mail:25").privileged


def test_ports_that_are_named_one_by_one() -> None:
    found = plan("server", "--allow-ports", "2222,5000-5002,8000")
    assert found.visitors_ports() == found.chosen_ports() == (2222, 5000, 5001, 5002)  # 8000 is the server's own
    assert plan("http", "server").visitors_ports() == ()
    for many in (["--allow-ports", "*"], []):
        assert plan("tcp", "server", *many).chosen_ports() == ()
        with pytest.raises(ConfigError, match="--allow-ports"):
            plan("tcp", "server", *many).visitors_ports()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["http", "client", "--url", "wss://a b", "--upstream", "http://127.0.0.1"], "--url"),
        (["http", "client", *URL, "--upstream", "ftp://127.0.0.1"], "--upstream"),
        (["tcp", "server", "--allow-ports", "x"], "--allow-ports"),
        (["http", "server", "--allow-ips", "x"], "--allow-ips"),
        (["http", "server", "--auto-tls-san", "a\nb"], "--auto-tls-san"),
    ],
)
def test_what_could_not_run_is_not_printed(flags: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(*flags)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("", PROGRAM),
        ("/usr/bin/sluice", "/usr/bin/sluice"),
        ("/home/pi/venv/bin/sluice", PROGRAM),
        ("/opt/sluice/versions/1/bin/sluice", PROGRAM),
        ("sluice", PROGRAM),
    ],
)
def test_where_the_program_is(program: str, expected: str) -> None:
    assert plan("http", "server", program=program).program == expected


def test_a_configuration_file(tmp_path: Path) -> None:
    """Elsewhere its settings are flags; on this machine it is read by the program itself, and flags win."""
    path = tmp_path / "server.toml"
    path.write_text('port = 8080\nallow-ips = ["10.0.0.0/8"]\ntoken-file = "/t"\n')
    given = ["http", "server", "--config", str(path), "--log-level", "debug"]
    assert plan(*given).words({"token": "<token>"})[2:] == [
        "--token-file=<token>", "--log-level=debug", "--allow-ips=10.0.0.0/8", "--port=8080",
    ]  # fmt: skip
    here = plan(*given, on_this_machine=True)
    assert here.words({"token": "<token>"})[2:] == [
        f"--config={path}", "--token-file=<token>", "--log-level=debug",
    ]  # fmt: skip
    assert here.files[0].path == "/t" and here.listeners[0].port == 8080
