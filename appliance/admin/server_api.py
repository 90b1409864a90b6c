"""The part of /api/v1 that only a server has."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, request

from appliance.admin import arguments, views
from appliance.admin.answers import json_answer
from appliance.admin.context import context, state, watch
from appliance.admin.health import health
from appliance.admin.history import RANGES
from appliance.admin.problems import Problem
from appliance.certificates.material import described
from appliance.certificates.overdue import told
from appliance.server.client_tokens import NAMED, is_name
from appliance.wire.address import AddressError
from appliance.wire.messages import MAX_NAME

_client_id = re.compile(r"[0-9a-f]{32}").fullmatch

blueprint = Blueprint("server", __name__)


@blueprint.before_request
def known_parameters() -> None:
    arguments.only(("range",) if request.endpoint == "server.history" else ())


@blueprint.get("/overview")
def overview() -> Response:
    server, seen = state(), watch()
    seen.history.refresh()
    return json_answer({"info": views.info(server), "health": health(server, seen.rates), "now": seen.history.now()})


@blueprint.get("/history")
def history() -> Response:
    seen = watch().history
    seen.refresh()
    return json_answer(seen.series(arguments.choice("range", tuple(RANGES), "5m")))


@blueprint.get("/clients")
def clients() -> Response:
    server = state()
    return json_answer(
        {
            "clients": [views.client(session) for session in server.sessions()],
            "events": [views.coming(event) for event in server.comings.listing()],
        }
    )


@blueprint.delete("/clients/<client_id>")
def disconnect(client_id: str) -> Response:
    """Ends the session. The client comes back by itself, as after any lost connection."""
    if not _client_id(client_id) or not state().disconnect(client_id):
        raise Problem(404, "no client with this id is connected")
    return Response(status=204)


@blueprint.get("/routes")
def routes() -> Response:
    server, seen = state(), watch()
    return json_answer({"names": views.names(server, seen.names.by_name()), "ports": views.ports(server)})


@blueprint.get("/settings")
def settings() -> Response:
    config = state().config
    return json_answer(
        {
            "settings": views.settings(config, dict(config.origin.sources) or context().sources)
            if config is not None
            else []
        }
    )


@blueprint.get("/certificates")
def certificates() -> Response:
    found = state()
    return json_answer(
        {
            "certificates": [described(material, plane) for plane, material in found.certificates()],
            "overdue": [told(one) for one in found.overdue()],
        }
    )


@blueprint.post("/add-client")
def add_client() -> Response:
    """Makes up a client and says how to start it. Changes nothing here: the client is known when it connects."""
    from appliance.admin import joining

    wanted = arguments.body(("url", "names", "ports", "name", "tokenName"))
    server = state()
    name, token = arguments.string(wanted, "name", ""), arguments.string(wanted, "tokenName", "")
    if len(name) > MAX_NAME or not name.isprintable():
        raise Problem(400, f"name: {MAX_NAME} printable characters at most")
    if token and not is_name(token):
        raise Problem(400, f"tokenName: {NAMED}")
    scheme = "wss" if request.is_secure else "ws"
    url = arguments.string(wanted, "url", f"{scheme}://{request.host}")
    fingerprint = _fingerprint()
    try:
        plan = joining.plan(
            server.mode, url, _names(wanted), _ports(wanted), fingerprint, server.version, name.strip(), token
        )
    except AddressError as error:
        raise Problem(400, str(error)) from None  # written to be shown
    return json_answer(
        {
            "url": str(plan.url),
            "fingerprint": plan.fingerprint or None,
            "commands": joining.commands(plan),
            "clientId": plan.client_id,
            "tokenFile": plan.token_file,
            "notes": [
                *_notes(plan.url.host, plan.url.scheme),
                *_notes_on_offers(plan.upstreams),
                *_notes_on_token(token, plan.upstreams),
            ],
        }
    )


def _fingerprint() -> str:
    """Of the server's own authority, if that is what clients are shown."""
    server = state()
    return server.control_certificate.fingerprint if server.ca_pem and server.control_certificate else ""


def _notes(host: str, scheme: str) -> list[str]:
    """What has to be done on the server before the command can work."""
    certificate = state().control_certificate
    if scheme == "ws":
        return ["ws:// sends the token in the clear: use it in a network of your own alone."]
    if certificate is not None and host not in certificate.names:
        flag = "--auto-tls-san" if state().ca_pem else "--tls-cert"
        return [f"The server's certificate is not for {host}: clients will refuse it. See {flag} of the server."]
    return []


def _notes_on_offers(upstreams: tuple[str, ...]) -> list[str]:
    """What the server will refuse, or share among clients."""
    server = state()
    served = {route.label for route in server.router.routes() if route.members} if server.router is not None else set()
    found = []
    for offer in [upstream.partition("=")[0] for upstream in upstreams]:
        why = server.doors.objection(int(offer)) if server.doors is not None and offer.isdecimal() else ""
        if why:
            found.append(f"Port {offer} will be refused: {why}.")
        elif offer in served:
            found.append(f"Another client serves {offer} already: they will take turns.")
    return found


def _notes_on_token(name: str, upstreams: tuple[str, ...]) -> list[str]:
    """What the client's own token does not allow; of one that is still to be made nothing is known."""
    kept = next((token for token in state().tokens.listing() if token.name == name), None)
    if kept is None:
        return []
    found = []
    for offer in [upstream.partition("=")[0] for upstream in upstreams]:
        if offer.isdecimal():
            kind, why = "Port", kept.limits.objection_to_port(int(offer))
        else:
            kind, why = "Name", kept.limits.objection_to_name("" if offer == "*" else offer)
        if why:
            found.append(f"{kind} {offer} will be refused: {why}.")
    return found


def _names(wanted: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (arguments.string(offer, "name", "*"), arguments.string(offer, "target", most=1000))
        for offer in _offers(wanted, "names", {"name", "target"})
    ]


def _ports(wanted: dict[str, Any]) -> list[tuple[int, str]]:
    found = []
    for offer in _offers(wanted, "ports", {"port", "target"}):
        port = arguments.number(offer, "port", 1, 65535)
        if port != int(port):
            raise Problem(400, "port: a whole number from 1 to 65535")
        found.append((int(port), arguments.string(offer, "target", most=1000)))
    return found


def _offers(wanted: dict[str, Any], name: str, known: set[str]) -> list[dict[str, Any]]:
    offers = wanted.get(name, [])
    if not isinstance(offers, list) or not all(isinstance(offer, dict) and offer.keys() <= known for offer in offers):
        raise Problem(400, f"{name}: a list of objects with {' and '.join(sorted(known))}")
    return offers


@blueprint.get("/openapi.json")
def openapi() -> Response:
    from appliance.admin.openapi import document

    return json_answer(document(state().version))
