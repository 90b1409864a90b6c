import pytest

from appliance.config.options import ConfigError
from appliance.config.status import StatusConfig


def test_asks_this_machine_unless_told() -> None:
    assert StatusConfig().url == "wss://127.0.0.1:8123"


def test_refused() -> None:
    with pytest.raises(ConfigError, match="--url is empty"):
        StatusConfig(url="")
