"""A ConfigError is told with the place of what it complains of, where that is in a file."""

import pytest

from appliance.config.options import ConfigError
from appliance.config.origin import FILE, FLAG, Origin
from appliance.config.server import ServerConfig

ORIGIN = Origin({"port": FILE, "control_port": FLAG}, "a.toml", lambda name, message: f"a.toml:{len(name)}")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("--port 70000 is too large", "a.toml:4: --port 70000 is too large"),
        ("--control-port and --port are both 80", "a.toml:4: --control-port and --port are both 80"),
        ("--control-port 70000 is too large", "--control-port 70000 is too large"),
        ("--https-port 1 and --portal", "--https-port 1 and --portal"),
        ("nothing", "nothing"),
    ],
)
def test_located(message: str, expected: str) -> None:
    located = ORIGIN.located(ConfigError(message))
    assert str(located) == expected
    if expected != message:
        assert (located.file, located.line, located.key) == ("a.toml", 4, "port")
        assert ORIGIN.located(located) is located
    assert str(Origin().located(ConfigError(message))) == message
    with pytest.raises(ConfigError) as caught, ORIGIN.locating():
        raise ConfigError(message)
    assert str(caught.value) == expected


def test_a_config_that_no_command_line_made_has_none() -> None:
    config = ServerConfig()
    assert (dict(config.origin.sources), config.origin.path, config.origin.again) == ({}, "", None)
