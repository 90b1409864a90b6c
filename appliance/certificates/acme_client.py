"""Speaks to an ACME server (RFC 8555) by certbot's `acme` library: signed requests, and what may go wrong with them.

Import this only where certificates are ordered: the library is an extra, and large.
"""

import logging
import ssl
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it announces the end of Python 3.10
    import requests
    from acme import errors, messages
    from acme.client import ClientNetwork
    from josepy.b64 import b64encode
    from josepy.errors import Error as JoseError
    from josepy.interfaces import JSONDeSerializable
    from josepy.jwa import ES256
    from josepy.jwk import JWKEC

from cryptography.hazmat.primitives.asymmetric import ec

from appliance.certificates.acme_problems import Failed, explain, innermost, seconds_of, tls_reason
from appliance.config.build import VERSION
from appliance.config.options import ConfigError

Json = dict[str, Any]

REQUEST_SECONDS = 30.0  # to connect, and between two pieces of an answer
NONCE_TRIES = 10  # the library makes two requests of each
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 5.0  # between two looks at what the server is working on

logging.getLogger("acme").setLevel(logging.INFO)  # at "debug" it logs whole requests
logging.getLogger("urllib3").setLevel(logging.INFO)


class _Payload(JSONDeSerializable):
    def __init__(self, content: Json) -> None:
        self._content = content

    def to_partial_json(self) -> Json:
        return self._content

    @classmethod
    def from_json(cls, jobj: Json) -> "_Payload":
        return cls(jobj)


class Client:
    """One account's way to one ACME server. ``ca``: file of the authorities that vouch for it; None: public ones."""

    def __init__(self, directory_url: str, key: ec.EllipticCurvePrivateKey, ca: str | None) -> None:
        self._url = directory_url
        self._host = urlsplit(directory_url).netloc
        self._jwk = JWKEC(key=key)
        self._net = ClientNetwork(
            self._jwk,
            alg=ES256,
            verify_ssl=ca or True,  # type: ignore[arg-type]  # handed on to requests, which takes a path, too
            user_agent=f"sluice/{VERSION} acme-python",
            timeout=REQUEST_SECONDS,  # type: ignore[arg-type]
        )
        self._net.session.hooks["response"].append(self._heard)
        self._directory: Json = {}
        self._last: requests.Response | None = None

    def close(self) -> None:
        self._net.session.close()

    @property
    def directory(self) -> Json:
        """Fetched once for each client; servers may change it. Raises Failed."""
        if not self._directory:
            self._directory = self.get(self._url)
        return self._directory

    def url(self, resource: str) -> str:
        """Where the directory says that a resource is. Raises Failed."""
        found = self.directory.get(resource)
        if not isinstance(found, str):
            raise Failed(f"{self._url} is no ACME directory: it has no {resource}", whole=True)
        return found

    def log_in(self, account_url: str | None) -> None:
        """Sign with the account from now on; None: with the key alone, as registering wants it."""
        self._net.account = None
        if account_url is not None:
            self._net.account = messages.RegistrationResource(uri=account_url, body=messages.Registration())

    def get(self, url: str) -> Json:
        with self._explained():
            return _object(self._net.get(url))

    def post(self, url: str, content: Json | None) -> requests.Response:
        """A signed request; content None: only to read. Raises Failed."""
        payload = None if content is None else _Payload(content)
        with self._explained():
            for attempt in range(NONCE_TRIES):
                try:
                    return self._net.post(url, payload, new_nonce_url=self.url("newNonce"))
                except messages.Error as error:
                    if error.code != "badNonce" or attempt == NONCE_TRIES - 1:
                        raise
        raise AssertionError("the last attempt raises")

    def ask(self, url: str, content: Json | None = None) -> Json:
        """`post`, and the JSON object that it is answered with."""
        response = self.post(url, content)
        with self._explained():
            return _object(response)

    def await_status(self, url: str, pending: tuple[str, ...], seconds: float) -> Json:
        """The object once its status is none of these. Raises Failed after this many seconds."""
        give_up = time.monotonic() + seconds
        pause = MIN_PAUSE_SECONDS
        while (found := self.ask(url)).get("status") in pending:
            wait = max(pause, self.retry_after() or 0.0)
            if time.monotonic() + wait > give_up:
                raise Failed(f"{self._host} has not decided within {seconds:g} seconds")
            time.sleep(wait)
            pause = min(pause * 1.5, MAX_PAUSE_SECONDS)
        return found

    def key_authorization(self, token: str) -> str:
        """RFC 8555 8.1."""
        return token + "." + b64encode(self._jwk.thumbprint()).decode("ascii")

    def retry_after(self) -> float | None:
        """Seconds that the last answer asks us to wait."""
        return None if self._last is None else seconds_of(self._last.headers)

    def _heard(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._last = response

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Makes a `Failed` of whatever the library, or what is below it, raises."""
        try:
            yield
        except messages.Error as error:
            raise self._refusal(error) from None
        except errors.ConflictError:
            raise Failed(f"{self._host} refuses a conflicting request", code="conflict") from None
        except requests.exceptions.SSLError as error:
            raise Failed(f"{self._host} is not trusted: {tls_reason(error)}", whole=True) from None
        except requests.exceptions.Timeout:
            raise Failed(f"{self._host} has not answered within {REQUEST_SECONDS:g} seconds", whole=True) from None
        except (requests.exceptions.RequestException, OSError) as error:
            raise Failed(f"{self._host} cannot be reached: {innermost(error)}", whole=True) from None
        except (errors.Error, JoseError, ValueError, KeyError, TypeError) as error:
            status = "" if self._last is None else f" (status {self._last.status_code})"
            told = self.retry_after()
            raise Failed(
                f"{self._host} does not answer as an ACME server does{status}: {type(error).__name__}",
                retry_after=told,
                whole=True,
            ) from None

    def _refusal(self, error: messages.Error) -> Failed:
        status = 0 if self._last is None else self._last.status_code
        code = str(error.typ).rpartition(":")[2]
        # 503 is how a server as a whole says that it is busy.
        whole = status >= 500 or code in ("badNonce", "serverInternal")
        return Failed(
            f"{self._host} says: {explain(error.to_partial_json())}",
            retry_after=self.retry_after(),
            whole=whole,
            code=code,
        )


def check_authority(path: str) -> None:
    """Raises ConfigError unless the file holds certificates."""
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise ConfigError(f"--letsencrypt-ca {path} holds no certificate that can be read: PEM is wanted") from None
    except OSError as error:
        raise ConfigError(f"--letsencrypt-ca {path} cannot be read: {error.strerror or error}") from None


def _object(response: requests.Response) -> Json:
    found = response.json()
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found
