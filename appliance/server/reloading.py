"""SIGHUP: a server takes over what has changed in its configuration; no connection is dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable

from appliance.config.changes import changed, merged, said
from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.server.app import Server
from appliance.server.own_certificates import OwnCertificates

TOKEN = frozenset(("token", "token_file", "token_env"))
DATA_CERTIFICATES = frozenset(("data_cert", "data_key", "data_cert_dir"))
# What can change while the server runs. Sessions that are open keep their heartbeat, streams and token.
LIVE = TOKEN | {
    *("allow_forward_to", "allow_ips", "allow_ports", "client_forwarding"),
    *("lb_proxy_protocol", "proxy_protocol", "trusted_proxies"),
    *("connect_timeout", "grace", "head_timeout", "heartbeat", "idle_timeout", "keepalive_timeout", "response_timeout"),
    *("max_connections", "warm_streams"),
    *("auto_tls_san", "hsts", "log_level", "tls_cert", "tls_key"),
}

log = logging.getLogger("sluice.server")


class Reload:
    """`read`: gives the token of a config, after a look at all that it names; it raises ConfigError, and then
    everything stays as it was. `certificates`: looks at those anew."""

    def __init__(
        self,
        server: Server,
        read: Callable[[ControlPlaneOptions], str],
        certificates: Callable[[], None],
        own: OwnCertificates | None = None,
    ) -> None:
        self._server = server
        self._read = read
        self._certificates = certificates
        self._own = own

    def __call__(self) -> None:
        before = self._server.config
        again = before.origin.again
        try:
            wanted = again() if again is not None else before
            with wanted.origin.locating():
                token = self._read(wanted)
                names = changed(before, wanted)
                live = [name for name in names if self._is_live(name, wanted)]
                config = merged(before, wanted, live)
        except ConfigError as error:
            log.error("SIGHUP: %s; everything stays as it was", error)
            return
        self._server.apply(config)
        if self._own is not None and isinstance(config, HttpServerConfig):
            self._own.use(config)
        logging.getLogger().setLevel(config.log_level.upper())
        if self._server.guard.use(token) and not TOKEN.intersection(live):
            live.append("token")
        log.info("SIGHUP: %s", said(live, [name for name in names if name not in live]))
        self._certificates()

    def _is_live(self, name: str, wanted: ControlPlaneOptions) -> bool:
        if name in DATA_CERTIFICATES:  # a port for HTTPS is neither opened nor closed
            return self._own is not None and isinstance(wanted, HttpServerConfig) and wanted.secure
        return name in LIVE
