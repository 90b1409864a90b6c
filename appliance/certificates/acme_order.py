"""Gets one certificate for one name from an ACME server: account, order, challenge, certificate (RFC 8555 7)."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.certificates.acme_client import Client, Json
from appliance.certificates.acme_files import Account, AcmeFiles, Record
from appliance.certificates.acme_keys import (
    HTTP_01,
    Issued,
    certificate_id,
    checked,
    iso_time,
    key_of,
    pem_of,
    signing_request,
)
from appliance.certificates.acme_problems import Failed, Window, explain
from appliance.certificates.challenges import Challenges, tls_answer

DECISION_SECONDS = 90.0  # for the server to look at a challenge, and to issue

_log = logging.getLogger(__name__)


class Issuer:
    """The account with one ACME server, which is registered when it is first needed. Everything raises `Failed`.

    Good for one round of orders: what the server's directory says is asked anew by the next one.
    """

    def __init__(
        self, directory_url: str, email: str | None, ca: str | None, files: AcmeFiles, challenges: Challenges
    ) -> None:
        self._email = email or ""
        self._files = files
        self._challenges = challenges
        account = files.account()
        self._key = None if account is None else key_of(account.key)
        if account is None or self._key is None:
            self._key = ec.generate_private_key(ec.SECP256R1())
            account = Account(pem_of(self._key))
        self._account = account
        self._client = Client(directory_url, self._key, ca)
        self._ready = False

    def close(self) -> None:
        self._client.close()

    def obtain(
        self, name: str, method: str, record: Record, replaces: x509.Certificate | None, keep: Callable[[], None]
    ) -> Issued:
        """A new certificate, which the caller is to keep before it forgets ``record.order``: the order under way, which
        is gone on with after a crash. ``keep`` is called when that changes."""
        self._log_in()
        try:
            order = self._order(name, record, replaces, keep)
        except Failed as failed:
            if failed.code != "accountDoesNotExist":
                raise
            _log.warning("the issuer does not know our account (any more): another one is registered")
            self._account.uri = ""
            self._ready = False
            self._log_in()
            order = self._order(name, record, replaces, keep)
        try:
            return self._fulfil(name, method, order, record)
        except Failed as failed:
            if not failed.whole:  # what can go on is kept for the next time
                self._forget(record, keep)
            raise

    def window(self, certificate: x509.Certificate) -> Window | None:
        """When the issuer would like this one renewed; None: it has no such service, or says nothing sensible."""
        where = self._client.directory.get("renewalInfo")
        name = certificate_id(certificate)
        if not isinstance(where, str) or name is None:
            return None
        found = self._client.get(f"{where.rstrip('/')}/{name}")
        try:
            suggested = found["suggestedWindow"]
            start, end = (datetime.fromisoformat(iso_time(suggested[key])).timestamp() for key in ("start", "end"))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        if end <= start:  # RFC 9773 4.2: as if there were no answer
            return None
        return Window(start, end, self._client.retry_after(), str(found.get("explanationURL") or ""))

    # The account

    def _log_in(self) -> None:
        if self._ready:
            return
        account = self._account
        if not account.uri:
            self._register()
        self._client.log_in(account.uri)
        if account.email != self._email:
            self._client.ask(account.uri, {"contact": self._contact()})
            account.email = self._email
            self._files.keep_account(account)
        self._ready = True

    def _register(self) -> None:
        meta = self._client.directory.get("meta") or {}
        if meta.get("externalAccountRequired"):
            raise Failed("the issuer wants an account made beforehand (external account binding): not supported")
        self._client.log_in(None)
        # The key is kept first: if we die before the answer, the same request finds the account that was made.
        self._files.keep_account(self._account)
        response = self._client.post(
            self._client.url("newAccount"), {"termsOfServiceAgreed": True, "contact": self._contact()}
        )
        self._account.uri = response.headers.get("Location", "")
        if not self._account.uri:
            raise Failed("the issuer has not said where our account is", whole=True)
        self._account.email = self._email
        self._files.keep_account(self._account)
        _log.info("registered with the issuer; its terms: %s", meta.get("termsOfService", "not told"))

    def _contact(self) -> list[str]:
        return [f"mailto:{self._email}"] if self._email else []

    # The order

    def _order(self, name: str, record: Record, replaces: x509.Certificate | None, keep: Callable[[], None]) -> Json:
        if record.order:
            try:
                order = self._client.ask(record.order)
                if order.get("status") in ("pending", "ready", "processing", "valid"):
                    _log.info("%s: going on with the order that was under way", name)
                    return order
            except Failed as failed:
                if failed.whole or failed.code in ("rateLimited", "accountDoesNotExist"):
                    raise
            self._forget(record, keep)
        order, where = self._new_order(name, replaces)
        record.order, record.order_key = where, pem_of(ec.generate_private_key(ec.SECP256R1()))
        keep()
        return order

    def _new_order(self, name: str, replaces: x509.Certificate | None) -> tuple[Json, str]:
        content: Json = {"identifiers": [{"type": "dns", "value": name}]}
        predecessor = None if replaces is None else certificate_id(replaces)
        if predecessor is not None and "renewalInfo" in self._client.directory:
            # RFC 9773 5: renewals that say so are let off rate limits.
            try:
                return self._placed({**content, "replaces": predecessor})
            except Failed as failed:
                if failed.whole or failed.code in ("rateLimited", "accountDoesNotExist"):
                    raise
        return self._placed(content)

    def _placed(self, content: Json) -> tuple[Json, str]:
        response = self._client.post(self._client.url("newOrder"), content)
        where = response.headers.get("Location", "")
        if not where:
            raise Failed("the issuer has not said where our order is", whole=True)
        return self._client.ask(where), where

    def _forget(self, record: Record, keep: Callable[[], None]) -> None:
        record.order = record.order_key = ""
        keep()

    def _fulfil(self, name: str, method: str, order: Json, record: Record) -> Issued:
        key = key_of(record.order_key)
        if key is None:
            raise Failed("the key of the order under way is lost: a new order is needed")
        if order.get("status") == "pending":
            for authorization in order.get("authorizations") or ():
                self._prove(name, method, authorization)
            order = self._client.await_status(record.order, ("pending",), DECISION_SECONDS)
        if order.get("status") == "ready":
            order = self._client.ask(str(order.get("finalize")), {"csr": signing_request(key, name)})
        if order.get("status") == "processing":
            order = self._client.await_status(record.order, ("processing",), DECISION_SECONDS)
        if order.get("status") != "valid":
            raise Failed(f"the order has failed: {explain(order.get('error') or {})}")
        return checked(name, key, self._client.post(str(order.get("certificate")), None).content)

    def _prove(self, name: str, method: str, url: str) -> None:
        """Show that the name is ours."""
        authorization = self._client.ask(url)
        if authorization.get("status") == "valid":  # from an earlier order: issuers keep them for a while
            return
        offered = {str(one.get("type")): one for one in authorization.get("challenges") or ()}
        challenge = offered.get(method)
        if challenge is None:
            raise Failed(f"the issuer offers no {method} challenge, but {', '.join(sorted(offered)) or 'none at all'}")
        with self._answering(name, method, str(challenge.get("token"))):
            if challenge.get("status") == "pending":
                self._client.ask(str(challenge.get("url")), {})
            authorization = self._client.await_status(url, ("pending",), DECISION_SECONDS)
        if authorization.get("status") != "valid":
            problems = [one["error"] for one in authorization.get("challenges") or () if one.get("error")]
            raise Failed(f"the issuer has not found us by {method}: {explain(problems[0] if problems else {})}")

    @contextmanager
    def _answering(self, name: str, method: str, token: str) -> Iterator[None]:
        answer = self._client.key_authorization(token).encode("ascii")
        if method == HTTP_01:
            self._challenges.http[token] = answer
        else:
            self._challenges.tls[name] = tls_answer(name, answer)
        try:
            yield
        finally:
            self._challenges.http.pop(token, None)
            self._challenges.tls.pop(name, None)
