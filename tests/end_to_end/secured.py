"""A house whose visitors come by HTTPS, and such visitors."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gevent import socket
from gevent import ssl as gevent_ssl

from appliance.certificates.challenges import Challenges
from appliance.certificates.own import DATA, inspect
from appliance.certificates.store import Store
from appliance.server.secure import Secure
from tests.end_to_end.house import PATIENCE_SECONDS, House, Visitor, a_house
from tests.stage.authority import Authority
from tests.stage.messages import Reader


def put(store: Store, files: tuple[Path, Path]) -> None:
    material, _ = inspect(*files, DATA)
    store.put(f"file:{files[0]}", material)


@contextlib.contextmanager
def a_secure_house(store: Store, challenges: Challenges | None = None, **options: Any) -> Iterator[House]:
    secure = Secure(store, challenges or Challenges())
    source = {"data_cert": ("of", "the"), "data_key": ("store", "itself")}
    with a_house(secure=secure, **source, **options) as house:
        yield house


def trusting(authority: Authority | None) -> ssl.SSLContext:
    """For a visitor, who waits in the hub. None: whom anything is good enough."""
    context: ssl.SSLContext = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(authority.ca_file)
    return context


class SecureVisitor(Visitor):
    """Checks the server's certificate; `name`: who it should be, and what is asked for by SNI."""

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext,
        name: str | None,
        host: str = "127.0.0.1",
        preface: bytes = b"",
        session: Any = None,
    ) -> None:
        raw = socket.create_connection((host, port), PATIENCE_SECONDS)
        try:
            raw.sendall(preface)
            self.sock = context.wrap_socket(raw, server_hostname=name, session=session)
        except BaseException:
            raw.close()
            raise
        self.reader = Reader(self.sock)

    @property
    def names(self) -> set[str]:
        """Those of the certificate that was shown."""
        return {value for _, value in self.sock.getpeercert().get("subjectAltName", ())}
