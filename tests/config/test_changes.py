"""What differs between two configs, and what becomes of the first one then."""

import pytest

from appliance.config.changes import changed, merged, said, spoken
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.config.origin import FLAG, Origin


def test_changed() -> None:
    before = HttpServerConfig(port=80, allow_ips=("10.0.0.1",), config="a.toml")
    after = HttpServerConfig(port=81, allow_ips=("10.0.0.1",), config="b.toml", head_timeout=3.0)
    assert changed(before, before) == []
    assert changed(before, after) == ["port", "head_timeout"]


def test_merged() -> None:
    before = HttpServerConfig()
    after = HttpServerConfig(port=81, head_timeout=3.0)
    object.__setattr__(after, "origin", Origin({"port": FLAG}))
    config = merged(before, after, ["head_timeout"])
    assert (config.port, config.port_given, config.head_timeout) == (8000, False, 3.0)
    assert config.origin is after.origin
    assert before.head_timeout == 20.0


def test_what_does_not_go_together() -> None:
    before = HttpServerConfig(lb_proxy_protocol="v1", trusted_proxies=("10.0.0.1",))
    with pytest.raises(ConfigError, match="^--lb-proxy-protocol needs --trusted-proxies"):
        merged(before, HttpServerConfig(), ["trusted_proxies"])


def test_said() -> None:
    assert spoken(["allow_ips", "token"]) == "allow-ips, token"
    assert said([], []) == "no setting has changed"
    assert said(["allow_ips"], []) == "changed: allow-ips"
    assert said(["allow_ips"], ["port"]) == "changed: allow-ips; port needs a restart and stays as before"
    assert said([], ["port", "a"]) == "no setting has changed; port, a need a restart and stay as before"
