import pytest

from appliance.config.file_server import FileServerConfig
from appliance.config.options import ConfigError


def test_defaults_serve_this_directory_to_this_machine() -> None:
    config = FileServerConfig()
    assert (config.webroot, config.port, config.listen_addr) == (".", 8080, "127.0.0.1")
    assert not config.allow_browsing


def test_refused() -> None:
    with pytest.raises(ConfigError, match="--port 70000 is too large"):
        FileServerConfig(port=70000)
    with pytest.raises(ConfigError, match="--listen-addr '127.0.0.1:80' has a port"):
        FileServerConfig(listen_addr="127.0.0.1:80")
    with pytest.raises(ConfigError, match="--allow-ips 'home' is neither an IP address nor a CIDR block"):
        FileServerConfig(allow_ips=("10.0.0.0/8", "home"))
