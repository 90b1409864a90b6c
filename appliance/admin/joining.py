"""What a new client has to run: ready commands, in which the token never stands. Pure but for a made-up client id."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.wire.address import AddressError, ServerUrl, Upstream, parse_server_url, parse_upstream
from appliance.wire.ports import parse_tcp_target

MOST_OFFERS = 100
MOST_LETTERS = 1000
TOKEN_FILE = "token"
SECRET = "sluice-token"
CREDENTIAL = "${CREDENTIALS_DIRECTORY}/token"  # as systemd expands it

# What systemd takes for something else than itself, within quotes (systemd.syntax, systemd.unit "specifiers").
_SYSTEMD = str.maketrans({"\\": "\\\\", '"': '\\"', "%": "%%", "$": "$$"})


_at_a_port = re.compile(r"[0-9]+=").match
_loopback = re.compile(r"(?:[a-z]+://)?(?:127\.|localhost|\[::1\])").match
_KUBERNETES_LOOPBACK = (
    "# 127.0.0.1 and localhost are the pod itself: write a Service's name, or add the container here.\n"
)
_KUBERNETES_DIRECTORY = "# Mount what is served from a directory at the same path: it is not in the image.\n"


@dataclass(frozen=True)
class Plan:
    """A client that is to be. `fingerprint`: of the server's own authority, "" where that has none or is not used.
    `name`: what it is called, "" for its machine's host name; `token`: the name of its own, "" for the server's.
    """

    url: ServerUrl
    kind: tuple[str, ...]  # of the command: ("http", "client"), ("tcp", "client") or ("client",)
    upstreams: tuple[str, ...]
    fingerprint: str
    client_id: str
    image: str
    name: str = ""
    token: str = ""

    @property
    def token_file(self) -> str:
        """Where its token is kept beside it: the server's token and others' stay what they are."""
        return f"{self.token}.token" if self.token else TOKEN_FILE

    @property
    def token_note(self) -> str:
        whose = "this client's" if self.token else "the server's"
        return f"# The file {self.token_file!r} holds {whose} token.\n"

    def arguments(self, token_file: str) -> list[tuple[str, ...]]:
        """The command's words, those that belong together in one piece."""
        words: list[tuple[str, ...]] = [self.kind, ("--url", str(self.url)), ("--token-file", token_file)]
        if self.fingerprint:
            words.append(("--ca-fingerprint", self.fingerprint))
        words.append(("--client-id", self.client_id))
        if self.name:
            words.append(("--name", self.name))
        return words + [("--upstream", upstream) for upstream in self.upstreams]

    @property
    def _parsed(self) -> list[Upstream]:
        return [parse_upstream(text) for text in self.upstreams if not _at_a_port(text)]

    @property
    def directories(self) -> list[str]:
        return sorted({upstream.path for upstream in self._parsed if upstream.scheme == "directory"})

    @property
    def has_loopback(self) -> bool:
        """Whether a target is the machine that the client runs on."""
        return any(_loopback(text.partition("=")[2]) for text in self.upstreams)


def plan(
    mode: str,
    url: str,
    names: Sequence[tuple[str, str]],
    ports: Sequence[tuple[int, str]],
    fingerprint: str,
    version: str,
    name: str = "",
    token: str = "",
) -> Plan:
    """What was asked for, checked as the client would. Raises AddressError, whose text may be shown."""
    server = parse_server_url(url)
    if not names and not ports:
        raise AddressError("give a name or a port that the client shall serve")
    if len(names) + len(ports) > MOST_OFFERS:
        raise AddressError(f"{MOST_OFFERS} names and ports at most")
    if names and "http" not in mode:
        raise AddressError("this server serves TCP alone: names need `sluice server` or `sluice http server`")
    if ports and "tcp" not in mode:
        raise AddressError("this server serves HTTP alone: ports need `sluice server` or `sluice tcp server`")
    upstreams = [_named(name, target) for name, target in names] + [_at_port(port, target) for port, target in ports]
    if len(set(upstreams)) < len(upstreams):
        raise AddressError("a name or a port is given twice: once is enough")
    kind = ("client",) if names and ports else ("http", "client") if names else ("tcp", "client")
    own = fingerprint if server.scheme == "wss" else ""
    return Plan(server, kind, tuple(upstreams), own, secrets.token_hex(16), f"sluice:{version}", name, token)


def _named(name: str, target: str) -> str:
    text = f"{name or '*'}={target}"
    if "," in text:
        raise AddressError(f"{text!r}: a comma cannot be part of a name or target")
    upstream = parse_upstream(text)
    if upstream.scheme == "directory" and not upstream.path.startswith("/"):
        raise AddressError(f"{target!r}: a directory is written with its whole path")
    return f"{upstream.pattern or '*'}={upstream.target}"


def _at_port(port: int, target: str) -> str:
    text = f"{port}={target}"
    if "," in text:
        raise AddressError(f"{text!r}: a comma cannot be part of a target")
    return f"{port}={parse_tcp_target(target, port).target}"


def commands(plan: Plan) -> dict[str, str]:
    """By where the client is to run."""
    return {"shell": shell(plan), "systemd": systemd(plan), "docker": docker(plan), "kubernetes": kubernetes(plan)}


def shell(plan: Plan) -> str:
    pieces = ["sluice " + shlex.join(plan.kind)]
    pieces += [shlex.join(words) for words in plan.arguments(plan.token_file)[1:]]
    return plan.token_note + " \\\n    ".join(pieces) + "\n"


def systemd(plan: Plan) -> str:
    """A unit. The token comes by a credential, which only root and the service can read."""
    words = [" ".join(map(_systemd_word, words)) for words in plan.arguments(CREDENTIAL)[1:]]
    command = " \\\n    ".join([" ".join(("/usr/local/bin/sluice", *plan.kind)), *words])
    return f"""# /etc/systemd/system/sluice-client.service
# The token: sudo install -D -m 600 {plan.token_file} /etc/sluice/{plan.token_file}
# Then: sudo systemctl daemon-reload && sudo systemctl enable --now sluice-client
[Unit]
Description=Sluice client
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
LoadCredential=token:/etc/sluice/{plan.token_file}
DynamicUser=yes
StateDirectory=sluice
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
"""


def docker(plan: Plan) -> str:
    """On the host's network, so that 127.0.0.1 in an upstream is the host."""
    lines = [
        "docker run --detach --name sluice-client --restart unless-stopped --network host",
        f'--volume "$PWD/{plan.token_file}:/run/secrets/token:ro"',
        *(shlex.join(("--volume", f"{path}:{path}:ro")) for path in plan.directories),
        shlex.join((plan.image, *plan.kind)),
    ]
    lines += [shlex.join(words) for words in plan.arguments("/run/secrets/token")[1:]]
    return plan.token_note + " \\\n    ".join(lines) + "\n"


def kubernetes(plan: Plan) -> str:
    """A Deployment; strings are quoted as JSON has it, which YAML reads."""
    words = [word for words in plan.arguments("/run/secrets/sluice/token") for word in words]
    arguments = "\n".join(f"            - {json.dumps(word)}" for word in words)
    return f"""# The token: kubectl create secret generic {SECRET} --from-file=token={plan.token_file}
{_KUBERNETES_LOOPBACK if plan.has_loopback else ""}\
{_KUBERNETES_DIRECTORY if plan.directories else ""}\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: sluice-client
spec:
  replicas: 1
  strategy:
    type: Recreate
  selector:
    matchLabels:
      app: sluice-client
  template:
    metadata:
      labels:
        app: sluice-client
    spec:
      automountServiceAccountToken: false
      containers:
        - name: sluice
          image: {json.dumps(plan.image)}
          args:
{arguments}
          resources:
            requests:
              memory: 32Mi
          securityContext:
            allowPrivilegeEscalation: false
            capabilities:
              drop: ["ALL"]
            readOnlyRootFilesystem: true
          volumeMounts:
            - name: token
              mountPath: /run/secrets/sluice
              readOnly: true
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        fsGroup: 65532
      volumes:
        - name: token
          secret:
            secretName: {SECRET}
            defaultMode: 0440
"""


def _systemd_word(word: str) -> str:
    escaped = word.translate(_SYSTEMD)
    plain = escaped == word and not any(sign in word for sign in " \t'*?#;") and word
    return word if plain or word == CREDENTIAL else f'"{escaped}"'
