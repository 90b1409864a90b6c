"""What a long-running server does for its certificates: daily, and on SIGHUP."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timezone

from appliance.certificates.material import Material, spoken_date, warning_of
from appliance.config.options import ConfigError
from appliance.server.app import Server
from appliance.server.own_certificates import OwnCertificates
from appliance.server.renewing import Renewing
from appliance.server.secure import Secure
from appliance.transport.tls import server_context

log = logging.getLogger("sluice.certificates")


class Tending:
    """`control`: gives the control plane's certificate as it is now, renewed if need be; the others are the data
    plane's, where that has TLS."""

    def __init__(
        self,
        server: Server,
        control: Callable[[], Material | None],
        secure: Secure | None = None,
        own: OwnCertificates | None = None,
        renewing: Renewing | None = None,
    ) -> None:
        self._server = server
        self._control = control
        self._secure = secure
        self._own = own
        self._renewing = renewing

    def daily(self) -> None:
        self._look_at_control()
        if self._secure is not None:
            self._secure.renew_keys()
        self.warn()

    def warn(self) -> None:
        """Of every certificate that has ended, or soon will."""
        now = datetime.now(timezone.utc)
        for plane, material in self._server.state.certificates():
            text = warning_of(material, now)
            if text:
                log.warning("%s plane, certificate for %s: %s", plane, ", ".join(material.names), text)

    def reload(self) -> None:
        """Look at all certificates anew; what cannot be used leaves the one before it in its place."""
        log.info("SIGHUP: looking at all certificates")
        changed = int(self._look_at_control())
        if self._own is not None:
            changed += self._own.reload()
        if self._renewing is not None:
            self._renewing.retry()
        count = "no certificate has" if not changed else "one has" if changed == 1 else f"{changed} have"
        log.info("%s changed", count)

    def _look_at_control(self) -> bool:
        """Says whether another certificate is in use now. The context is made anew in any case: the keys of tickets,
        by which clients resume their sessions, must not grow old."""
        state = self._server.state
        try:
            material = self._control()
            if material is None:
                return False
            self._server.use_control_context(server_context(str(material.certificate_file), str(material.key_file)))
        except (ConfigError, OSError) as error:
            log.error("%s: the control plane's certificate stays as it is", error)
            return False
        changed = material != state.control_certificate
        state.control_certificate, state.ca_pem = material, material.ca_pem
        if changed:
            log.info(
                "control plane: new certificate for %s, good until %s",
                *(", ".join(material.names), spoken_date(material.expires)),
            )
        return changed
