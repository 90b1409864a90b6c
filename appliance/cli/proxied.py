"""A request's way out through an HTTP proxy: it is told what fails there, and what behind it. No gevent."""

import http.client
import ssl
from typing import Any

from appliance.wire.address import ServerUrl, join_host_port


class ProxyFailed(ConnectionError):
    """The proxy is not there, or does not let us through: of the server nothing is known."""


class ThroughProxy(http.client.HTTPConnection):
    """To a server, by CONNECT; `context` for TLS behind the proxy. `connect` raises ProxyFailed."""

    def __init__(
        self, proxy: tuple[str, int], fields: dict[str, str], url: ServerUrl, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(*proxy)
        self.set_tunnel(url.host, url.port, fields)
        self._place = join_host_port(*proxy)
        self._url = url
        self._context = context

    def connect(self) -> None:
        answers: list[http.client.HTTPResponse] = []

        def answer(*args: Any, **options: Any) -> http.client.HTTPResponse:
            answers.append(http.client.HTTPResponse(*args, **options))
            return answers[-1]

        self.response_class = answer  # type: ignore[assignment]
        try:
            super().connect()
        except TimeoutError:
            raise ProxyFailed(f"the proxy {self._place} does not answer within {self.timeout:g} seconds") from None
        except OSError as error:
            raise ProxyFailed(f"the proxy {self._place} does not lead there: {error.strerror or error}") from None
        except http.client.HTTPException:
            self.close()
            raise ProxyFailed(f"the proxy {self._place} does not answer as a proxy does") from None
        finally:
            self.response_class = http.client.HTTPResponse
            for one in answers:  # Python 3.11 leaves the proxy's open, and with it the socket
                one.close()
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self._url.host)
