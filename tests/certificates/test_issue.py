"""What the certificates say, and which names go into them."""

import ipaddress
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from appliance.certificates import issue
from appliance.certificates.material import names_of

NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def ip(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.com", x509.DNSName("example.com")),
        ("EXAMPLE.com.", x509.DNSName("example.com")),
        (" example.com ", x509.DNSName("example.com")),
        ("*.example.com", x509.DNSName("*.example.com")),
        ("bücher.example", x509.DNSName("xn--bcher-kva.example")),
        ("my_host", x509.DNSName("my_host")),
        ("10.0.0.1", ip("10.0.0.1")),
        ("[2001:db8::1]", ip("2001:db8::1")),
        ("2001:DB8:0::1", ip("2001:db8::1")),
        ("fe80::1%eth0", ip("fe80::1")),
    ],
)
def test_names_and_addresses_are_told_apart(text: str, expected: x509.GeneralName) -> None:
    assert issue.parse_name(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "*", "a..b", "-a.example", "a-.example", "exa mple.com", "example.com:8123", "https://example.com",
        "10.0.0", "10.0.0.256", "a.*.example", "x" * 64 + ".example", "y." * 130 + "example", "a\nb", "a\0b",
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused_with_the_text_in_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match="neither an IP address nor a DNS name"):
        issue.parse_name(text)


@given(st.text())
def test_any_text_is_a_name_or_a_value_error(text: str) -> None:
    try:
        parsed = issue.parse_name(text)
    except ValueError:
        return
    if isinstance(parsed, x509.DNSName):
        assert parsed.value.isascii()
        assert issue.parse_name(parsed.value) == parsed


def test_subject_names_hold_each_once_with_host_and_loopback() -> None:
    found = issue.subject_names(["Example.com", "example.com", "127.0.0.1"], "box")
    assert [str(name.value) for name in found] == ["example.com", "127.0.0.1", "box", "localhost", "::1"]


def test_a_host_name_that_is_no_dns_name_is_left_out() -> None:
    assert issue.subject_names([], "no such name!") == issue.subject_names([], "localhost")


def test_the_authority_may_issue_end_certificates_only() -> None:
    authority = issue.new_authority(NOW).certificate
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value.ca and constraints.value.path_length == 0
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.key_cert_sign and not usage.value.digital_signature


def test_two_authorities_differ_in_name_so_that_trust_stores_tell_them_apart() -> None:
    assert issue.new_authority(NOW).certificate.subject != issue.new_authority(NOW).certificate.subject


def test_dates_are_a_day_back_and_a_year_ahead() -> None:
    authority = issue.new_authority(NOW)
    server = issue.issue_server(authority, issue.subject_names([], "box"), NOW).certificate
    for certificate, life in ((authority.certificate, 3650), (server, 365)):
        assert certificate.not_valid_before_utc == NOW - timedelta(days=1)
        assert certificate.not_valid_after_utc == NOW + timedelta(days=life)


def test_the_server_does_not_outlive_its_authority() -> None:
    authority = issue.new_authority(NOW)
    late = authority.certificate.not_valid_after_utc - timedelta(days=10)
    server = issue.issue_server(authority, issue.subject_names([], "box"), late).certificate
    assert server.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_a_long_first_name_still_makes_a_certificate() -> None:
    long = "a" * 60 + "." + "b" * 60 + ".example"
    names = issue.subject_names([long], "box")
    server = issue.issue_server(issue.new_authority(NOW), names, NOW).certificate
    assert list(names_of(server)) == names
