"""Lists certificates: those that the server on this machine keeps, or those that a running server has in use."""

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from appliance.cli.addresses import server_url
from appliance.cli.asking import StatusError
from appliance.cli.certificates_text import render
from appliance.cli.status import decoded, fetch
from appliance.cli.terminal import headed
from appliance.config.certificates import CertificatesConfig
from appliance.config.secrets import load_token

CONTROL, DATA = "control", "data"

_MAX_FILE_BYTES = 1 << 20


class Unreadable(click.ClickException):
    """The files are there and not for us."""

    exit_code = 1


def print_certificates(config: CertificatesConfig) -> None:
    if config.url.strip():
        authority, certificates, late, now = _asked(config)
    else:
        authority, certificates, late, now = _kept(config)
    if config.json:
        click.echo(json.dumps({"authority": authority, "certificates": certificates, "overdue": late}, indent=2))
    else:
        click.echo(headed(render(authority, certificates, late, now)))


# The authority, the certificates, the names that want one, and what time it is.
Found = tuple[dict[str, Any] | None, list[dict[str, Any]], list[dict[str, Any]], datetime]


def _asked(config: CertificatesConfig) -> Found:
    url = server_url(config.url)
    body, now = fetch(url, load_token(config, os.environ), config)
    status = decoded(body, url)
    certificates, late = status.get("certificates"), status.get("certificatesOverdue", [])
    if not isinstance(certificates, list) or not all(isinstance(one, dict) for one in certificates):
        raise StatusError(f"{url} tells nothing of certificates: it is older than this program; upgrade it")
    own = [one for one in certificates if one.get("source") == "automatic"]
    authority = {"fingerprint": own[0].get("fingerprint")} if own else None
    late = [one for one in late if isinstance(one, dict)] if isinstance(late, list) else []
    return authority, certificates, late, now


def _kept(config: CertificatesConfig) -> Found:
    from appliance.certificates import acme_files
    from appliance.certificates.authority import AUTHORITY_FILE, SERVER_FILE, server_material, state_directory
    from appliance.certificates.material import described
    from appliance.certificates.overdue import overdue_in, told

    directory = state_directory(config.auto_tls_path, os.environ)
    now = datetime.now(timezone.utc)
    try:
        os.listdir(directory)  # else a directory that is closed to us would look like one that is empty
        certificates = []
        authority = None
        found = _certificates(directory / AUTHORITY_FILE)
        if found:
            authority = _told(directory / AUTHORITY_FILE, found[0])
            server = _certificates(directory / SERVER_FILE)
            if server:
                material = server_material(directory / SERVER_FILE, server[0], found[0])
                certificates.append(described(material, CONTROL))
        certificates += [described(material, DATA) for material in acme_files.stored(directory, now)]
        late = [told(one) for one in overdue_in(directory, now.timestamp())]
    except FileNotFoundError:
        return None, _none_in(directory), [], now
    except OSError as error:
        raise Unreadable(
            f"{error.filename or directory} cannot be read ({error.strerror}): run this as the user that the server "
            "runs as, or ask the server with --url"
        ) from None
    if not certificates and authority is None and not late:
        _none_in(directory)
    return authority, certificates, late, now


def authority_in(directory: Path) -> dict[str, Any] | None:
    """What is told of the control plane's own authority; None where there is none. Raises OSError, Unreadable."""
    from appliance.certificates.authority import AUTHORITY_FILE

    found = _certificates(directory / AUTHORITY_FILE)
    return _told(directory / AUTHORITY_FILE, found[0]) if found else None


def _told(path: Path, authority: Any) -> dict[str, Any]:
    from appliance.certificates.material import fingerprint

    return {
        "fingerprint": fingerprint(authority),
        "expires": authority.not_valid_after_utc.isoformat(),
        "file": str(path),
    }


def _none_in(directory: Path) -> list[dict[str, Any]]:
    click.echo(
        f"No certificates are kept in {directory}. A server that runs as another user, or with --auto-tls-path, keeps "
        "them elsewhere: name that directory with --auto-tls-path, or ask the server with --url.",
        err=True,
    )
    return []


def _certificates(path: Path) -> list[Any]:
    """What is in the file; nothing where there is none. Its key is not looked at."""
    from cryptography import x509

    try:
        with open(path, "rb") as file:
            return list(x509.load_pem_x509_certificates(file.read(_MAX_FILE_BYTES)))
    except FileNotFoundError:
        return []
    except ValueError:
        raise Unreadable(
            f"{path} holds no certificate: is it damaged? The server's log says more at its start"
        ) from None
