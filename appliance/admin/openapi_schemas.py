"""The shapes of the API's answers and bodies, as JSON Schema."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
TIME: Schema = {"type": "string", "format": "date-time"}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(schema: Schema) -> Schema:
    """Or null."""
    return (
        {"anyOf": [schema, {"type": "null"}]} if "type" not in schema else schema | {"type": [schema["type"], "null"]}
    )


def told(schema: Schema, description: str) -> Schema:
    return schema | {"description": description}


def listed(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def words(*choices: str) -> Schema:
    return {"enum": list(choices)}


def record(**properties: Schema) -> Schema:
    """An answer's object: all of it is always there, and later versions may add to it."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def wanted(required: list[str], **properties: Schema) -> Schema:
    """An object that is sent."""
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


LEVELS = ("debug", "info", "warning", "error")
PORT_NUMBER: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
PAIR: Schema = {"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2}
SERIES = ("requests", "errors", "p50", "p95", "bytesIn", "bytesOut", "clients", "streams", "connections")

NOW = record(
    clients=COUNT,
    names=COUNT,
    ports=COUNT,
    requestsPerSecond=NUMBER,
    errorsPerSecond=NUMBER,
    p50Seconds=told(maybe(NUMBER), "until the answer begins"),
    p95Seconds=told(maybe(NUMBER), "until the answer begins"),
    bytesInPerSecond=NUMBER,
    bytesOutPerSecond=NUMBER,
    streamsIdle=COUNT,
    streamsUsed=COUNT,
    connections=COUNT,
)
INFO = record(
    version=TEXT,
    sha=TEXT,
    mode=TEXT,
    startTime=TIME,
    hostname=TEXT,
    uptimeSeconds=NUMBER,
    controlAddress=maybe(TEXT),
    dataAddress=maybe(TEXT),
)
FINDING = record(level=words("info", "warning", "error"), text=TEXT, hint=TEXT)
UPSTREAM = record(offer=TEXT, target=TEXT, state=words("up", "failing", "unknown"), detail=TEXT, since=maybe(TIME))
CLIENT = record(
    clientId=TEXT,
    name=TEXT,
    token=maybe(TEXT),
    remoteAddr=TEXT,
    version=TEXT,
    since=TIME,
    roundTripSeconds=maybe(NUMBER),
    upstreams=listed(UPSTREAM),
    bytesIn=COUNT,
    bytesOut=COUNT,
    streamsIdle=COUNT,
    streamsUsed=COUNT,
)
COMING = record(
    at=TIME, kind=words("connected", "disconnected", "refused"), clientId=TEXT, name=TEXT, remoteAddr=TEXT, detail=TEXT
)
NAME = record(
    name=TEXT,
    url=maybe(TEXT),
    clients=listed(record(clientId=TEXT, clientName=TEXT, target=TEXT, next=FLAG)),
    requestsTotal=COUNT,
    requestsPerSecond=NUMBER,
    errorRate=maybe(NUMBER),
    p95Seconds=told(maybe(NUMBER), "until the answer begins"),
    allowIps=listed(TEXT),
    certificate=maybe(record(name=TEXT, expires=TIME)),
    inspect=record(on=FLAG, until=maybe(TIME)),
)
PORT = record(
    port=COUNT,
    clients=listed(record(clientId=TEXT, clientName=TEXT, target=TEXT, open=COUNT, avoided=FLAG)),
    connectionsOpen=COUNT,
    connectionsTotal=COUNT,
    bytesIn=COUNT,
    bytesOut=COUNT,
)
SETTING = record(
    flag=TEXT,
    value={},
    isDefault=FLAG,
    source=words("default", "flag", "environment", "file"),
    default={},
    defaultText=TEXT,
    unit=TEXT,
    group=TEXT,
    help=TEXT,
)
CERTIFICATE = record(
    name=TEXT,
    names=listed(TEXT),
    issuer=TEXT,
    expires=TIME,
    source=words("automatic", "own", "acme"),
    renews=maybe(TIME),
    plane=words("control", "data"),
    fingerprint=TEXT,
)
OVERDUE = record(
    name=TEXT,
    failures=COUNT,
    reason=TEXT,
    since=maybe(TIME),
    nextTry=maybe(TIME),
    expires=maybe(TIME),
)
SUMMARY_FIELDS: dict[str, Schema] = {
    "id": COUNT,
    "at": TIME,
    "name": TEXT,
    "method": TEXT,
    "path": TEXT,
    "status": maybe(COUNT),
    "seconds": maybe(NUMBER),
    "clientId": TEXT,
    "clientName": TEXT,
    "visitor": TEXT,
    "requestBytes": COUNT,
    "responseBytes": COUNT,
    "kind": words("http", "websocket"),
    "state": told(words("open", "done", "left", "broken"), "left: the visitor went before the answer was whole"),
    "replayOf": maybe(COUNT),
}
BODY = record(
    size=COUNT,
    captured=COUNT,
    truncated=FLAG,
    contentType=TEXT,
    encoding=TEXT,
    kind=words("none", "json", "form", "multipart", "text", "html", "image", "binary"),
    text=maybe(TEXT),
    base64=maybe(TEXT),
    fields=maybe(listed(PAIR)),
    masked=FLAG,
    note=TEXT,
)
PART = record(line=TEXT, headers=listed(PAIR), body=ref("Body"))
MESSAGE = record(
    at=TIME,
    direction=words("visitor", "upstream"),
    kind=words("text", "binary", "close", "ping", "pong"),
    size=COUNT,
    truncated=FLAG,
    text=maybe(TEXT),
    base64=maybe(TEXT),
)
TIMING = record(
    waitSeconds=told(maybe(NUMBER), "until a stream to the client was there"),
    tunnelSeconds=told(maybe(NUMBER), "the tunnel's round trip, by a ping ahead of this very request; null: not known"),
    upstreamSeconds=told(maybe(NUMBER), "answerSeconds without tunnelSeconds; null where these cannot be told apart"),
    answerSeconds=told(maybe(NUMBER), "from the request's last byte to the answer's first"),
    transferSeconds=told(maybe(NUMBER), "the request's body on its way out, and the answer's on its way back"),
)
DETAIL = record(
    **SUMMARY_FIELDS,
    timing=TIMING,
    request=ref("Part"),
    response={"anyOf": [ref("Part"), {"type": "null"}]},
    messages=listed(MESSAGE),
    messagesDropped=COUNT,
    host=TEXT,
    scheme=TEXT,
    target=TEXT,
    requestId=TEXT,
    edge=FLAG,
    interim=listed(COUNT),
    tries=listed(TEXT),
    note=TEXT,
)
# `names` and `ports` both empty: no limit. Else what is not listed is not allowed.
TOKEN_NAME: Schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}
TOKEN = record(name=TEXT, created=TIME, names=listed(TEXT), ports=listed(TEXT), forward=FLAG, clients=COUNT)
TARGET: Schema = {"type": "string", "minLength": 1, "maxLength": 1000}
# To be sent again; what is left out stays as it was.
REPLAY = wanted(
    [],
    method={"type": "string", "maxLength": 100, "pattern": "^[A-Za-z]+$"},
    path={"type": "string", "maxLength": 16384, "pattern": "^/[!-~]*$"},
    headers={"type": "array", "items": PAIR, "maxItems": 200},
    body={"oneOf": [wanted(["text"], text=TEXT), wanted(["base64"], base64=TEXT)]},
)

SCHEMAS: dict[str, Schema] = {
    "Problem": record(type=TEXT, title=TEXT, status=COUNT, detail=TEXT),
    "Session": record(
        csrfToken=maybe(TEXT), role=words("server", "client"), mode=TEXT, version=TEXT, hostname=TEXT, inspect=FLAG
    ),
    "Overview": record(
        info=INFO, health=record(state=words("ok", "warning", "error"), findings=listed(FINDING)), now=NOW
    ),
    "History": record(
        stepSeconds=COUNT, times=listed(NUMBER), series=record(**{name: listed(maybe(NUMBER)) for name in SERIES})
    ),
    "Clients": record(clients=listed(CLIENT), events=listed(COMING)),
    "Routes": record(names=listed(NAME), ports=listed(PORT)),
    "Settings": record(settings=listed(SETTING)),
    "Certificates": record(certificates=listed(CERTIFICATE), overdue=listed(OVERDUE)),
    "AddClient": wanted(
        [],
        url={"type": "string", "maxLength": 500},
        name={"type": "string", "maxLength": 64},
        tokenName={"anyOf": [{"const": ""}, TOKEN_NAME]},
        names={"type": "array", "maxItems": 100, "items": wanted(["target"], name=TEXT, target=TARGET)},
        ports={
            "type": "array",
            "maxItems": 100,
            "items": wanted(["port", "target"], port=PORT_NUMBER, target=TARGET),
        },
    ),
    "AddedClient": record(
        url=TEXT,
        fingerprint=maybe(TEXT),
        commands=record(shell=TEXT, systemd=TEXT, docker=TEXT, kubernetes=TEXT),
        clientId=TEXT,
        tokenFile=TEXT,
        notes=listed(TEXT),
    ),
    "Tokens": record(tokens=listed(ref("Token")), problem=maybe(TEXT)),
    "Token": TOKEN,
    "NewToken": wanted(
        ["name"],
        name=TOKEN_NAME,
        names={"type": "array", "maxItems": 100, "items": {"type": "string", "minLength": 1, "maxLength": 300}},
        ports={"type": "array", "maxItems": 100, "items": {"type": "string", "minLength": 1, "maxLength": 300}},
        forward=FLAG,
    ),
    "MadeToken": record(token=TEXT, **TOKEN["properties"]),
    "Inspect": wanted([], seconds={"type": "number", "minimum": 1, "maximum": 86400, "default": 900}),
    "Inspected": record(name=TEXT, on=FLAG, until=maybe(TIME)),
    "Inspecting": record(
        names=listed(record(name=TEXT, until=maybe(TIME))),
        records=COUNT,
        bytes=COUNT,
        maxRecords=COUNT,
        maxBytes=COUNT,
        maxBodyBytes=COUNT,
        dropped=COUNT,
    ),
    "Requests": record(requests=listed(record(**SUMMARY_FIELDS)), dropped=COUNT),
    "RequestDetail": DETAIL,
    "Part": PART,
    "Body": BODY,
    "Replay": REPLAY,
    "Replayed": record(id=COUNT),
    "Archive": record(log={"type": "object"}),
    "Log": record(
        lines=listed(
            record(id=COUNT, at=TIME, level=words("debug", "info", "warning", "error"), logger=TEXT, text=TEXT)
        )
    ),
}
