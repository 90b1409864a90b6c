"""What a config needs of this machine, looked at before it is used: files and what is in them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from appliance.cli import addresses
from appliance.config.client_options import ClientOptions
from appliance.config.options import ConfigError
from appliance.config.secrets import load_token

if TYPE_CHECKING:
    from appliance.client.reloading import Wanted
    from appliance.config.control_plane import ControlPlaneOptions


def look_at_server(config: ControlPlaneOptions) -> str:
    """The token of a config that could be served by. Raises ConfigError."""
    from appliance.config.data_tls import DataTlsOptions  # here, for clients have none of it

    addresses.check_rules(config)
    if isinstance(config, DataTlsOptions) and config.letsencrypt_domain:
        from appliance.certificates.letsencrypt import check_installed

        check_installed(load=False)
    token = load_token(config, os.environ)
    if config.auto_tls and config.auto_tls_san:
        from appliance.certificates.authority import check_names

        check_names(config.auto_tls_san)
    if config.tls_cert is not None or (isinstance(config, DataTlsOptions) and config.secure):
        _look_at_certificates(config)
    return token


def _look_at_certificates(config: ControlPlaneOptions) -> None:
    from appliance.certificates import own
    from appliance.config.data_tls import DataTlsOptions

    if config.tls_cert is not None:
        own.inspect(config.tls_cert, config.tls_key)
    if not isinstance(config, DataTlsOptions):
        return
    for pair in zip(config.data_cert, config.data_key, strict=True):
        own.inspect(*pair, own.DATA)
    for directory in config.data_cert_dir:
        try:
            os.listdir(directory)
        except OSError as error:
            raise ConfigError(f"--data-cert-dir {directory} cannot be read: {error.strerror or error}") from None


def look_at_client(config: ClientOptions) -> Wanted:
    """What a client that is configured so does. Raises ConfigError."""
    token = load_token(config, os.environ)
    addresses.server_url(config.url)
    offers = addresses.offers_of(config)
    from appliance.client.reloading import Wanted

    return Wanted(config, token, offers.upstreams)
