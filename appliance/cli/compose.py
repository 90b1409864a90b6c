"""Puts together what a command runs. Imports wait until their command runs: help comes at once."""

import os
from typing import TYPE_CHECKING

from appliance.cli import addresses, logs
from appliance.config.client import ClientConfig
from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.file_server import FileServerConfig
from appliance.config.http_client import HttpClientConfig
from appliance.config.http_server import HttpServerConfig
from appliance.config.secrets import load_token
from appliance.config.server import ServerConfig
from appliance.config.tcp_client import TcpClientConfig
from appliance.config.tcp_server import TcpServerConfig

if TYPE_CHECKING:
    import socket

    from appliance.certificates.material import Material


def run_server(config: HttpServerConfig | TcpServerConfig | ServerConfig) -> None:
    """Serve until a signal ends it. Raises ConfigError for what only this machine can tell: files, ports."""
    addresses.check_rules(config)
    token = load_token(config, os.environ)
    from gevent import monkey

    monkey.patch_all()  # the control plane's pages may use libraries that know nothing of gevent
    logs.set_up(config.log_level)

    from appliance.admin.app import create_app
    from appliance.server import app
    from appliance.transport.tls import server_context

    material = _material(config)
    context = None
    if material is not None:
        context = server_context(str(material.certificate_file), str(material.key_file))
    server = app.Server(config, token, context, create_app)

    def renew() -> None:
        """Look after the certificate: one that is renewed serves the connections that come from then on."""
        current = _material(config)
        if context is not None and current is not None:
            context.load_cert_chain(current.certificate_file, current.key_file)
            server.state.ca_pem = current.ca_pem
            server.state.certificate_expiry["control"] = current.expires.timestamp()

    renew()
    app.run(server, daily=renew)


def run_client(config: HttpClientConfig | TcpClientConfig | ClientConfig) -> None:
    """Offer the upstreams until a signal ends it. Not patched for gevent: the client waits in its hub alone."""
    token = load_token(config, os.environ)
    url = addresses.server_url(config.url)
    offers = addresses.offers_of(config)
    logs.set_up(config.log_level)

    from appliance.client import agent

    agent.run(agent.Agent(config, url, token, offers.upstreams, _open_directory, local_forwards=offers.local))


def _open_directory(path: str, browse: bool) -> "socket.socket":
    from appliance.fileserver.service import open_directory  # here, for most clients serve no files

    return open_directory(path, browse)


def run_file_server(config: FileServerConfig) -> None:
    """Serve the directory until a signal ends it."""
    logs.set_up(config.log_level)

    from appliance.fileserver import app

    app.run(config)


def _material(config: ControlPlaneOptions) -> "Material | None":
    """What the control plane shows its clients: the user's certificate, the automatic one, or none at all."""
    import socket

    from appliance.certificates import authority, own

    if config.tls_cert is not None:
        return own.load_own(config.tls_cert, config.tls_key)
    if not config.auto_tls:
        return None
    directory = authority.state_directory(config.auto_tls_path, os.environ)
    return authority.ensure(directory, config.auto_tls_san, socket.gethostname())
