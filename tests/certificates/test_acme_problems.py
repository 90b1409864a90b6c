"""Problems of ACME servers, put into words; and when to come back."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from appliance.certificates.acme_problems import Failed, explain, innermost, seconds_of, tls_reason


@pytest.mark.parametrize(
    "problem, words",
    [
        (
            {"type": "urn:ietf:params:acme:error:dns", "detail": "no such name"},
            "no such name (dns)",
        ),
        (
            {"type": "urn:ietf:params:acme:error:compound", "detail": "two", "subproblems": [{"detail": "one"}]},
            "two: one (compound)",
        ),
        ({"type": "urn:ietf:params:acme:error:dns"}, "dns"),
        ({}, "no reason given"),
    ],
)
def test_problems(problem: dict[str, Any], words: str) -> None:
    assert explain(problem) == words


@pytest.mark.parametrize(
    "headers, seconds",
    [
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": " 5 "}, 5.0),
        ({"Retry-After": "Thu, 01 Jan 2026 01:00:00 GMT", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 3600.0),
        ({"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT", "Date": "Thu, 01 Jan 2026 01:00:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 01 Jan 2020 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "9" * 30}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert seconds_of(headers) == seconds


def test_reasons_are_one_line() -> None:
    assert str(Failed("first\n  second")) == "first second"


def test_the_cause_is_told_not_what_wraps_it() -> None:
    try:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            raise ValueError("pool of <object at 0x1234>") from error
    except ValueError as error:
        assert innermost(error) == "Connection refused"


@pytest.mark.parametrize(
    "said, advice",
    [
        ("certificate has expired", "look at this machine's clock, which says 2"),
        ("certificate is not yet valid", "look at this machine's clock"),
        ("self-signed certificate in certificate chain", "name its authority with --letsencrypt-ca"),
    ],
)
def test_distrust_comes_with_advice(said: str, advice: str) -> None:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.verify_message = said
    assert tls_reason(Exception(error)).startswith(said)
    assert advice in tls_reason(Exception(error))
