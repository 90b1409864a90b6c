"""Certificates for servers of the tests' own."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from tests.stage.process import PATIENCE_SECONDS

OPENSSL = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=secure"
CERTIFICATE = "own.pem"


def own_certificate(directory: Path) -> ssl.SSLContext:
    """The context of a server whose certificate, kept as CERTIFICATE for 127.0.0.1, nobody else vouches for."""
    certificate, key = directory / CERTIFICATE, directory / "own.key"
    command = [
        *OPENSSL.split(),
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_SECONDS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
