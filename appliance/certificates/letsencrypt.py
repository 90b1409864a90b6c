"""From the options --letsencrypt-* to what orders and renews certificates."""

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from appliance.certificates import acme_files
from appliance.certificates.acme_keys import HTTP_01, TLS_ALPN_01
from appliance.certificates.challenges import Challenges
from appliance.certificates.renewals import Renewals
from appliance.certificates.store import Store
from appliance.config.letsencrypt import LetsEncryptOptions
from appliance.config.options import ConfigError

_STANDARD_PORTS = {HTTP_01: 80, TLS_ALPN_01: 443}


def check_installed(load: bool = True) -> None:
    """Raises ConfigError where the extra is missing. `load`: not before gevent has patched `ssl`, which they import."""
    for package in ("acme", "josepy", "requests"):
        try:
            if load:
                importlib.import_module(package)
            elif importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(name=package)
        except ImportError as error:
            raise ConfigError(
                f"--letsencrypt-domain needs the Python package {(error.name or package)!r}, which is not installed: "
                "install Sluice with its extra acme, from a checkout by: pip install '.[acme]'"
            ) from None


def renewals_of(
    options: LetsEncryptOptions,
    state: Path,
    store: Store,
    challenges: Challenges,
    ports: Callable[[], tuple[int | None, int | None]],
    environ: Mapping[str, str] = os.environ,
) -> Renewals:
    """Looks after a certificate for each --letsencrypt-domain. Raises ConfigError for what cannot go well.

    ``ports``: those for plain HTTP and for HTTPS, or None, once they are open.
    """
    check_installed()
    # Imported here alone: an extra, 20 MB, and it must see a patched `ssl`.
    from appliance.certificates import acme_client, acme_order

    ca = options.letsencrypt_ca
    if ca is not None:
        acme_client.check_authority(ca)
    elif not (environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")):
        ca = environ.get("SSL_CERT_FILE") or None  # as everything else here does; `requests` knows only its own
    files = acme_files.prepare(state, options.letsencrypt_directory)
    return Renewals(
        options.letsencrypt_domain,
        files,
        store,
        lambda: acme_order.Issuer(options.letsencrypt_directory, options.letsencrypt_email, ca, files, challenges),
        lambda: methods_at(*ports()),
    )


def methods_at(http_port: int | None, https_port: int | None) -> Sequence[str]:
    """The challenges that can be answered; first those whose port is the one that issuers come to.

    Another port is no hindrance where a router or a proxy in front leads there.
    """
    open_ports = {HTTP_01: http_port, TLS_ALPN_01: https_port}
    methods = [method for method, port in open_ports.items() if port is not None]
    return sorted(methods, key=lambda method: open_ports[method] != _STANDARD_PORTS[method])
