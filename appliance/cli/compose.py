"""Puts together what a command runs. Imports wait until their command runs: help comes at once, clients are small."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from appliance.cli import addresses, logs, looking

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from appliance.admin.client_page import ClientPage
    from appliance.admin.log_ring import LogRing
    from appliance.certificates.material import Material
    from appliance.config.client import ClientConfig
    from appliance.config.client_options import ClientOptions
    from appliance.config.control_plane import ControlPlaneOptions
    from appliance.config.file_server import FileServerConfig
    from appliance.config.http_client import HttpClientConfig
    from appliance.config.http_server import HttpServerConfig
    from appliance.config.server import ServerConfig
    from appliance.config.tcp_client import TcpClientConfig
    from appliance.config.tcp_server import TcpServerConfig
    from appliance.server.client_tokens import ClientTokens
    from appliance.server.own_certificates import OwnCertificates
    from appliance.server.renewing import Renewing
    from appliance.server.returning import Returning
    from appliance.server.secure import Secure


def run_server(config: HttpServerConfig | TcpServerConfig | ServerConfig) -> None:
    """Serve until a signal ends it. Raises ConfigError for what only this machine can tell: files, ports."""
    from appliance.transport import activation

    inherited = activation.inherit(os.environ)  # first: their descriptors are what comes next
    token = looking.look_at_server(config)
    from gevent import monkey

    monkey.patch_all()  # the control plane's pages may use libraries that know nothing of gevent
    logs.set_up(config.log_level)

    from appliance.admin.app import Pages
    from appliance.config.http_server import HttpServerConfig
    from appliance.server import app, running
    from appliance.server.reloading import Reload
    from appliance.server.tending import Tending
    from appliance.transport.tls import server_context

    material = _material(config)
    context = None
    if material is not None:
        context = server_context(str(material.certificate_file), str(material.key_file))
    secure = _secure(config)
    pages = Pages(_log_ring(), config.origin.sources)
    server = app.Server(
        config, token, context, pages.make, secure, inherited, _returning(config), _client_tokens(config)
    )
    if material is not None:
        server.state.control_certificate, server.state.ca_pem = material, material.ca_pem
        if material.ca_pem is not None:
            app.log.info("authority: sha256:%s, pin it with --ca-fingerprint", material.fingerprint)
    own = renewing = None
    if secure is not None and isinstance(config, HttpServerConfig):
        own = _own_certificates(config, secure)
        renewing = _renewing(config, secure, lambda: server.ports)
        if renewing is not None:
            server.state.overdue = renewing.overdue
    tending = Tending(server, lambda: _material(server.config, server.state.control_certificate), secure, own, renewing)
    reload = Reload(server, looking.look_at_server, tending.reload, own)
    running.run(server, tending.daily, reload, [part for part in (own, renewing, pages) if part is not None])


def _returning(config: ControlPlaneOptions) -> Returning:
    """What the last run of this server has left for this one."""
    from appliance.server.returning import Returning

    directory = _state_directory(config)
    return Returning(directory / f"returning-{config.control_port}.json" if directory is not None else None)


def _client_tokens(config: ControlPlaneOptions) -> ClientTokens:
    from appliance.server.client_tokens import ClientTokens

    directory = _state_directory(config)
    return ClientTokens(directory / "client-tokens.json" if directory is not None else None)


def _state_directory(config: ControlPlaneOptions) -> Path | None:
    from pathlib import Path

    from appliance.certificates import state

    return Path(config.auto_tls_path) if config.auto_tls_path else state.find_directory(os.environ)


def _log_ring() -> LogRing:
    """The log's last lines, kept from now on for the page."""
    import logging

    from appliance.admin.log_ring import LogRing

    lines = LogRing()
    logging.getLogger().addHandler(lines)
    return lines


def _secure(config: ControlPlaneOptions) -> Secure | None:
    """Visitors' TLS, with no certificate in it yet; None where there is to be none."""
    from appliance.config.http_server import HttpServerConfig

    if not isinstance(config, HttpServerConfig) or not config.secure:
        return None
    from appliance.certificates.challenges import Challenges
    from appliance.certificates.store import Store
    from appliance.server.secure import Secure

    return Secure(Store(), Challenges())


def _own_certificates(config: HttpServerConfig, secure: Secure) -> OwnCertificates:
    from appliance.server.own_certificates import OwnCertificates

    own = OwnCertificates(config, secure.store)
    own.load()
    return own


def _renewing(
    config: HttpServerConfig, secure: Secure, ports: Callable[[], tuple[int | None, int | None]]
) -> Renewing | None:
    """What orders certificates, with those that it has already in the store."""
    if not config.letsencrypt_domain:
        return None
    from appliance.certificates.authority import state_directory
    from appliance.certificates.letsencrypt import renewals_of
    from appliance.server.renewing import Renewing

    state = state_directory(config.auto_tls_path, os.environ)
    renewals = renewals_of(config, state, secure.store, secure.challenges, ports)
    renewals.load()
    return Renewing(renewals)


def run_client(config: HttpClientConfig | TcpClientConfig | ClientConfig) -> None:
    """Offer the upstreams until a signal ends it. Not patched for gevent: the client waits in its hub alone."""
    wanted = looking.look_at_client(config)
    url = addresses.server_url(config.url)
    local = addresses.offers_of(config).local
    logs.set_up(config.log_level)

    from appliance.client.agent import Agent
    from appliance.client.reloading import Reload
    from appliance.client.running import run

    page = _client_page(config)
    try:
        inspector = page.inspector if page is not None else None
        agent = Agent(config, url, wanted.token, wanted.upstreams, _open_directory, local, inspector)
        run(agent, Reload(agent, wanted, looking.look_at_client))
    finally:
        if page is not None:
            page.stop()


def _client_page(config: ClientOptions) -> ClientPage | None:
    """The inspector's page, listening; None without --inspect: most clients never load what it needs."""
    place = addresses.inspector_address(config)
    if place is None:
        return None
    from appliance.admin.client_page import ClientPage
    from appliance.tunnel.inspector.store import Inspector

    page = ClientPage(Inspector(), _log_ring())
    page.start(*place)
    return page


def _open_directory(path: str, browse: bool) -> socket.socket:
    from appliance.fileserver.service import open_directory  # here, for most clients serve no files

    return open_directory(path, browse)


def run_file_server(config: FileServerConfig) -> None:
    """Serve the directory until a signal ends it."""
    logs.set_up(config.log_level)

    from appliance.fileserver import app

    app.run(config)


def _material(config: ControlPlaneOptions, known: Material | None = None) -> Material | None:
    """What the control plane shows its clients: the user's certificate, the automatic one, or none at all. Of one that
    is `known` nothing is said again."""
    import socket

    from appliance.certificates import authority, own

    if config.tls_cert is not None:
        return own.load_own(config.tls_cert, config.tls_key, known=known)
    if not config.auto_tls:
        return None
    directory = authority.state_directory(config.auto_tls_path, os.environ)
    running = known is not None and known.ca_pem is not None
    return authority.ensure(directory, config.auto_tls_san, socket.gethostname(), running=running)
