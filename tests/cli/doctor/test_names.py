"""Names in a DNS of the tests' own."""

import socket
from typing import Any

import pytest

from appliance.cli.doctor import names
from appliance.cli.doctor.findings import ERROR, OK, WARNING

TABLE = {
    "here.example": ["127.0.0.1", "192.0.2.1"],
    "far.example": ["203.0.113.7"],
    "both.example": ["203.0.113.7", "2001:db8::7"],
    "local.example": ["127.0.0.1"],
    "sluice-doctor.wild.example": ["203.0.113.7"],
}


@pytest.fixture(autouse=True)
def dns(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, *rest: Any, **more: Any) -> list[Any]:
        if host not in TABLE:
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in TABLE[host]]

    monkeypatch.setattr(names.socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(names, "has_route", lambda family: family == socket.AF_INET)


def test_own_names() -> None:
    wanted = ["far.example", "here.example", "local.example", "both.example", "*.wild.example", "gone.example"]
    found = list(names.look_at_own([*wanted, wanted[0]]))
    assert [finding.level for finding in found] == [OK, OK, WARNING, WARNING, OK, ERROR]
    assert "this machine" in found[1].text and "/etc/hosts" in found[2].fix and "no IPv6" in found[3].text
    assert "gone.example has no address" in found[5].text and "A record" in found[5].fix


def test_names_of_visitors() -> None:
    found = list(names.look_at_visitors(["far.example", "here.example", "gone.example"], ("203.0.113.7",), "t.example"))
    assert [finding.level for finding in found] == [OK, WARNING, WARNING]
    assert "the server is 203.0.113.7" in found[1].text and "A record with 203.0.113.7" in found[2].fix
    (found,) = names.look_at_visitors(["gone.example"], (), "t.example")
    assert "CNAME record to t.example" in found.fix


def test_numbers_and_spellings() -> None:
    assert names.is_number("[::1]") and names.is_number("203.0.113.7") and not names.is_number("a.example")
    assert names.is_found("203.0.113.7") and names.is_found("far.example") and not names.is_found("gone.example")
    assert names.is_here("127.0.0.1") and not names.is_here("203.0.113.7")
