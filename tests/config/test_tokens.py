import pytest

from appliance.config.options import ConfigError
from appliance.config.tokens import NamedTokenConfig, NewTokenConfig, TokensConfig


def test_asks_this_machine_unless_told_and_limits_nothing() -> None:
    config = NewTokenConfig(name="pi")
    assert config.url == "wss://127.0.0.1:8123"
    assert (config.names, config.ports, config.forward) == ((), (), False)


@pytest.mark.parametrize("name", ["a", "Pi-4.attic_2", "0", "x" * 64])
def test_names(name: str) -> None:
    assert NamedTokenConfig(name=name).name == name


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", ".a", "_a", "a/b", "ä", "a\n", "x" * 65])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ConfigError, match="^NAME .*: 1 to 64 letters"):
        NamedTokenConfig(name=name)


def test_refused() -> None:
    with pytest.raises(ConfigError, match="--url is empty"):
        TokensConfig(url=" ")
    with pytest.raises(ConfigError, match="--ca-fingerprint"):
        NamedTokenConfig(name="pi", ca_fingerprint="x")
