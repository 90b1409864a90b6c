import pytest

from appliance.config.options import ConfigError
from appliance.config.tcp_client import TcpClientConfig


@pytest.mark.parametrize(
    ("values", "offered"),
    [
        ({"port": ("22",)}, ("22",)),
        ({"ports": ("80", "443")}, ("80", "443")),
        ({"port": ("22",), "ports": ("80", "443")}, ("22", "80", "443")),
    ],
)
def test_ports_alone_are_something_to_do(values: dict[str, tuple[str, ...]], offered: tuple[str, ...]) -> None:
    assert TcpClientConfig(url="h", **values).offered_ports == offered  # type: ignore[arg-type]


def test_nothing_given() -> None:
    with pytest.raises(ConfigError, match="no --upstream, --port or --local given: .* --upstream 2222=127.0.0.1:22$"):
        TcpClientConfig(url="h", port=("",))
