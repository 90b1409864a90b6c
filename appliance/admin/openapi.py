"""The OpenAPI document of /api/v1. Kept by hand; tests hold it against the routes and real answers."""

from __future__ import annotations

from typing import Any

from appliance.admin.history import RANGES
from appliance.admin.openapi_schemas import LEVELS, SCHEMAS, TOKEN_NAME

Operation = dict[str, Any]

SWITCH = {"enum": ["", "0", "1", "false", "true"]}

_DESCRIPTION = (
    "What the admin page is made of. All of it wants the server's token, as Authorization: Bearer TOKEN, or the cookie "
    "of POST /login together with, for everything but GET, the X-CSRF-Token header. Errors are problem details "
    "(RFC 9457). Sizes are bytes, durations seconds, times RFC 3339."
)


def document(version: str) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sluice server", "version": version, "description": _DESCRIPTION},
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}, {"session": []}],
        "paths": {path: _with_errors(operations) for path, operations in _paths().items()},
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "sluice_session"},
            },
            "responses": {
                "Problem": {
                    "description": "It was not done; `detail` says why.",
                    "content": {"application/problem+json": {"schema": _ref("Problem")}},
                }
            },
        },
    }


def _paths() -> dict[str, dict[str, Operation]]:
    return _looking() | _doing() | _inspecting() | _one_request() | _telling()


def _looking() -> dict[str, dict[str, Operation]]:
    return {
        "/session": {"get": _get("Who is asking, and the token for changes by cookie", "Session", "getSession")},
        "/overview": {"get": _get("Is it well, and the numbers of this moment", "Overview", "getOverview")},
        "/history": {
            "get": _get(
                "Numbers of the last minutes or hours, for charts",
                "History",
                "getHistory",
                [_query("range", _one_of(*RANGES) | {"default": "5m"})],
            )
        },
        "/clients": {"get": _get("Clients that are connected, and who came and went", "Clients", "getClients")},
        "/routes": {"get": _get("Names and ports, and who serves them", "Routes", "getRoutes")},
        "/settings": {"get": _get("All settings in force, and where each was given", "Settings", "getSettings")},
        "/certificates": {"get": _get("Certificates in use", "Certificates", "getCertificates")},
        "/openapi.json": {"get": _get("This document", None, "getDocument")},
    }


def _doing() -> dict[str, dict[str, Operation]]:
    client_id = _in_path("clientId", {"type": "string", "pattern": "^[0-9a-f]{32}$"})
    return {
        "/clients/{clientId}": {
            "delete": _empty("End a client's session; it connects again by itself", "disconnectClient", [client_id])
        },
        "/tokens": {
            "get": _get("Tokens of clients, which are told once and kept nowhere", "Tokens", "getTokens"),
            "post": _get("A token that lets clients connect, and nothing else", "MadeToken", "addToken", status="201")
            | {"requestBody": _body("NewToken")},
        },
        "/tokens/{name}": {
            "delete": _empty(
                "Remove a token, and end the sessions of its clients",
                "removeToken",
                [_in_path("name", TOKEN_NAME)],
            )
        },
        "/add-client": {
            "post": _get("Commands that start a new client. Changes nothing", "AddedClient", "addClient")
            | {"requestBody": _body("AddClient")}
        },
    }


def _inspecting() -> dict[str, dict[str, Operation]]:
    name = _in_path("name", {"type": "string", "pattern": r"^(\*|(\*\.)?[A-Za-z0-9_.:-]{1,253})$"})
    return {
        "/inspect": {"get": _get("What is inspected now, and the limits", "Inspecting", "getInspecting")},
        "/inspect/{name}": {
            "put": _get("Inspect a name, or * for all, for a while", "Inspected", "inspect", [name])
            | {"requestBody": _body("Inspect")},
            "delete": _empty("Inspect it no more", "stopInspecting", [name]),
        },
        "/requests": {
            "get": _get("Recorded requests, the newest first", "Requests", "getRequests", _filters()),
            "delete": _empty("Forget all recorded requests", "clearRequests", []),
        },
        "/requests.har": {
            "get": _get(
                "Recorded requests as an HTTP archive",
                "Archive",
                "getArchive",
                [_query("id", {"type": "string", "pattern": r"^([0-9]{1,15}(,[0-9]{1,15}){0,100})?$"}), _reveal()],
            )
        },
    }


def _one_request() -> dict[str, dict[str, Operation]]:
    number = _in_path("id", {"type": "integer", "minimum": 0, "maximum": 2**53}) | {"example": 1}
    side = _in_path("side", {"enum": ["request", "response"]})
    return {
        "/requests/{id}": {
            "get": _get("One recorded request with its answer", "RequestDetail", "getRequest", [number, _reveal()])
        },
        "/requests/{id}/body/{side}": {
            "get": _other(
                "A body as it went by; where secrets are masked in it, without its content coding",
                "getBody",
                "application/octet-stream",
                [number, side, _reveal()],
            )
        },
        "/requests/{id}/curl": {"get": _other("A command that sends it", "getCurl", "text/plain", [number, _reveal()])},
        "/requests/{id}/replay": {
            "post": _get("Send it again, as it was or changed", "Replayed", "replay", [number], status="201")
            | {"requestBody": _body("Replay")}
        },
    }


def _telling() -> dict[str, dict[str, Operation]]:
    return {
        "/log": {
            "get": _get(
                "The last lines of the log",
                "Log",
                "getLog",
                [
                    _query("level", _one_of(*LEVELS) | {"default": "debug"}, "that, or worse"),
                    _query("contains", {"type": "string", "maxLength": 500}),
                    _query("after", _whole(0, 2**53), "lines with a greater id"),
                    _query("limit", _whole(1, 2000)),
                ],
            )
        },
        "/events": {
            "get": _other(
                "Server-sent events: sample (as `now` of the overview), client, request, log",
                "getEvents",
                "text/event-stream",
                [_query("log", SWITCH, "with the log's lines")],
            )
        },
    }


def _filters() -> list[dict[str, Any]]:
    return [
        _query("name", {"type": "string", "maxLength": 500}),
        _query("path", {"type": "string", "maxLength": 500}, "somewhere in it"),
        _query("method", {"type": "string", "maxLength": 40}),
        _query("status", {"type": "string", "pattern": "^([1-9]([0-9]{2}|[xX]{2}))?$"}, "404, or 4xx"),
        _query("minSeconds", {"type": "number", "minimum": 0, "maximum": 999999999}),
        _query("client", {"type": "string", "maxLength": 40}, "its id, or how that begins"),
        _query("before", _whole(0, 2**53), "older than this id"),
        _query("limit", _whole(1, 500)),
    ]


def _get(
    summary: str, schema: str | None, name: str, parameters: list[dict[str, Any]] | None = None, status: str = "200"
) -> Operation:
    content = {"application/json": {"schema": _ref(schema) if schema else {"type": "object"}}}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": parameters or [],
        "responses": {status: {"description": "Done.", "content": content}},
    }


def _other(summary: str, name: str, content_type: str, parameters: list[dict[str, Any]]) -> Operation:
    content = {content_type: {"schema": {"type": "string"}}}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": parameters,
        "responses": {"200": {"description": "Done.", "content": content}},
    }


def _empty(summary: str, name: str, parameters: list[dict[str, Any]]) -> Operation:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": parameters,
        "responses": {"204": {"description": "Done."}},
    }


def _with_errors(operations: dict[str, Operation]) -> dict[str, Operation]:
    for operation in operations.values():
        operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
    return operations


def _query(name: str, schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    found = {"name": name, "in": "query", "required": False, "schema": schema}
    return found | ({"description": description} if description else {})


def _in_path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _one_of(*choices: str) -> dict[str, Any]:
    """Empty is as left out."""
    return {"enum": ["", *choices]}


def _reveal() -> dict[str, Any]:
    return _query("reveal", SWITCH, "with the secrets in it")


def _body(schema: str) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": _ref(schema)}}}


def _whole(least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
