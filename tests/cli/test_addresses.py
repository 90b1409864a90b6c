"""Addresses of flags: errors name the flag, directories may be written as in a shell."""

import os

import pytest

from appliance.cli.addresses import server_url, upstreams
from appliance.config.options import ConfigError


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("./site", "*={cwd}/site"),
        (".", "*={cwd}"),
        ("name=../site", "name={parent}/site"),
        ("~/site", "*={home}/site"),
        ("name=./site?browse=true", "name={cwd}/site?browse=true"),
        ("/srv/share", "*=/srv/share"),
        ("a=http://b:1", "a=http://b:1"),
        ("a.b=c.d:1", "a.b=http://c.d:1"),
    ],
)
def test_relative_directories(text: str, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    cwd = os.getcwd()
    expected = label.format(cwd=cwd, parent=os.path.dirname(cwd), home="/home/me")
    assert [upstream.label for upstream in upstreams([text])] == [expected]


def test_several_in_one_text() -> None:
    assert [upstream.pattern for upstream in upstreams(["a=./x, b=~/y", "http://c"])] == ["a", "b", ""]


def test_errors_name_their_flag() -> None:
    with pytest.raises(ConfigError, match="^--url: 'ftp://h': 'ftp' is not possible"):
        server_url("ftp://h")
    with pytest.raises(ConfigError, match="^--upstream: a is given twice"):
        upstreams(["a=x:1,a=y:2"])
    assert server_url("h:8123").port == 8123
