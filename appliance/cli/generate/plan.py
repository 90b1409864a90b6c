"""What is to be run: the flags of a command without its secrets, the files they name, and where it listens. Pure."""

import dataclasses
import ipaddress
import math
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from appliance.cli import addresses
from appliance.cli.kinds import spoken
from appliance.config.build import VERSION
from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.data_tls import OFF
from appliance.config.generate import GenerateOptions
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError, Option, flag, options_of
from appliance.config.origin import FLAG, Origin
from appliance.config.shared import TokenOptions
from appliance.config.tcp_server import TcpServerConfig
from appliance.wire.address import Upstream
from appliance.wire.ports import PortSet, parse_local_forwards

CONFIGURATION = "/etc/sluice"
TOKEN_FILE = f"{CONFIGURATION}/token"
PROGRAM = "/opt/sluice/bin/sluice"  # where scripts/install.sh puts it
STATE = "/var/lib/sluice"
MOST_PORTS = 64  # of those that clients may open, that a container publishes one by one

_DEFAULT_PORTS = next(field.default for field in dataclasses.fields(TcpServerConfig) if field.name == "allow_ports")
_SECOND_HAND = {"config", "token", "token_file", "token_env"}  # said otherwise, or not at all
_FILE, _DIRECTORY = "FILE", ("DIR", "DIRECTORY")
_HOMES = ("/home", "/root", "/tmp", "/var/tmp")


class File(NamedTuple):
    """What a flag names on this machine. `key`: what it is called elsewhere, like "tls-cert" or "data-key-2". `own`:
    the program keeps its state there, and the other files are only read."""

    key: str
    path: str
    directory: bool = False
    own: bool = False


class Argument(NamedTuple):
    """``--flag=value``, or ``--flag=`` and wherever the file is then."""

    flag: str
    value: str
    file: File | None = None


class Listener(NamedTuple):
    """`name`: http, https, control or tcp-PORT. `host`: "" is every address."""

    name: str
    host: str
    port: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """`token_note`: what became of a token that was given otherwise than by a file, or "". `config_file`: what it reads
    its options from itself, apart from `arguments`, or ""."""

    name: str
    command: tuple[str, ...]
    config: Any
    arguments: tuple[Argument, ...]
    listeners: tuple[Listener, ...]
    token_note: str
    program: str = PROGRAM
    config_file: str = ""
    version: str = VERSION

    @property
    def server(self) -> bool:
        return isinstance(self.config, ControlPlaneOptions)

    @property
    def kind(self) -> str:
        return "server" if self.server else "client"

    @property
    def files(self) -> tuple[File, ...]:
        """What is to be read."""
        return tuple(file for file in self._named() if not file.own)

    @property
    def state(self) -> str:
        """The directory that was chosen for what the program keeps, or ""."""
        return next((file.path for file in self._named() if file.own), "")

    def _named(self) -> Iterable[File]:
        return (argument.file for argument in self.arguments if argument.file is not None)

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """What a client offers; nothing of a server's."""
        return () if self.server else addresses.offers_of(self.config).upstreams

    @property
    def control_tls(self) -> bool:
        return self.server and bool(self.config.tls)

    @property
    def privileged(self) -> bool:
        """Whether it opens ports below 1024, or may have to."""
        return any(0 < listener.port < 1024 for listener in self.listeners) or self.opens_low_ports

    @property
    def opens_low_ports(self) -> bool:
        """Whether some are opened later, for clients, or for the local forwards of a client."""
        if isinstance(self.config, TcpServerConfig):
            return any(first < 1024 for first, _ in PortSet.parse(*self.config.allow_ports).ranges)
        return not self.server and any(local.local_port < 1024 for local in parse_local_forwards(self.config.local))

    @property
    def grace_seconds(self) -> int:
        """How long stopping may take."""
        return math.ceil(self.config.grace)

    def words(self, place: dict[str, str]) -> list[str]:
        """The program's arguments. `place`: where each file is, by its key; "state": the directory of its own."""
        config = [f"--config={self.config_file}"] if self.config_file else []
        return [*self.command, *config, *(f"{each.flag}={_value(each, place)}" for each in self.arguments)]

    def chosen_ports(self) -> tuple[int, ...]:
        """The ports that clients may open, where they were chosen one by one."""
        config = self.config
        if not isinstance(config, TcpServerConfig) or config.allow_ports == _DEFAULT_PORTS:
            return ()
        try:
            return self.visitors_ports()
        except ConfigError:
            return ()

    def visitors_ports(self) -> tuple[int, ...]:
        """The ports that clients may open, for what has to publish each one. Raises ConfigError where they are many."""
        if not isinstance(self.config, TcpServerConfig):
            return ()
        ports: list[int] = []
        for first, last in PortSet.parse(*self.config.allow_ports).ranges:
            if len(ports) + last - first >= MOST_PORTS:
                raise ConfigError(
                    f"--generate {self.config.generate} has to name each port that clients may open: "
                    f"give --allow-ports with {MOST_PORTS} at most, like --allow-ports 2222,5432"
                )
            ports += range(first, last + 1)
        taken = {listener.port for listener in self.listeners}
        return tuple(port for port in dict.fromkeys(ports) if port not in taken)


def make(config: Any, here: str = "/", program: str = "", on_this_machine: bool = False) -> Plan:
    """The plan of a command's config. `here`: what relative paths start from; `program`: where this program is.

    `on_this_machine`: it will run where its --config file is, and read that; else what the file says becomes flags.
    Raises ConfigError for what could not be run, and what would put a secret into the text.
    """
    if isinstance(config, ControlPlaneOptions):
        addresses.check_rules(config)
        listeners = tuple(_listeners(config))
    else:
        addresses.server_url(config.url)
        addresses.offers_of(config)
        listeners = ()
    command = tuple(spoken(type(config)).split())
    origin: Origin = config.origin
    file = posixpath.join(here, origin.path) if on_this_machine and origin.path else ""
    return Plan(
        name=config.generate_name or f"sluice-{command[-1]}",
        command=command,
        config=config,
        arguments=tuple(_arguments(config, here, origin.sources if file else None)),
        listeners=listeners,
        token_note=_token_note(config),
        program=_installed(program),
        config_file=posixpath.normpath(file) if file else "",
    )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _arguments(config: Any, here: str, sources: Mapping[str, str] | None) -> Iterable[Argument]:
    """All that differs from its default; where `sources` are given, only what came by a flag. The token is always a
    file's."""
    token = config.token_file if config.token_file is not None else TOKEN_FILE
    yield Argument("--token-file", "", File("token", posixpath.join(here, token)))
    unwanted = _SECOND_HAND | {field.name for field in dataclasses.fields(GenerateOptions)}
    for field, described in options_of(type(config)):
        value = getattr(config, field.name)
        if field.name in unwanted or described.hidden or value == field.default or value is None:
            continue
        if sources is not None and sources.get(field.name) != FLAG:
            continue
        if field.name == "port" and not getattr(config, "port_given", True):
            continue
        if described.secret:
            raise ConfigError(f"{flag(field.name)} is a secret, which --generate must not print: give it by a file")
        yield from _of(flag(field.name), value, described, here)


def _of(name: str, value: Any, described: Option, here: str) -> Iterable[Argument]:
    is_file = described.metavar == _FILE
    if is_file or described.metavar in _DIRECTORY:
        several = isinstance(value, tuple)
        for number, path in enumerate(value if several else (value,), 1):
            key = name.lstrip("-") + (f"-{number}" if several else "")
            whole = posixpath.normpath(posixpath.join(here, path))
            yield Argument(name, "", File(key, whole, not is_file, own=name == "--auto-tls-path"))
        return
    for one in value if isinstance(value, tuple) else (value,):
        text = addresses.absolute(one, here) if name == "--upstream" else _text(one, described)
        if re.search(r"[\0-\x1f\x7f]", text):
            raise ConfigError(f"{name} has a control character, which cannot stand in generated text")
        yield Argument(name, text)


def _text(value: Any, described: Option) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if described.unit == "seconds":
        return f"{int(value)}s" if value == int(value) else f"{value}s"
    return str(value)


def _value(argument: Argument, place: dict[str, str]) -> str:
    file = argument.file
    if file is None:
        return argument.value
    return place.get("state", file.path) if file.own else place[file.key]


def _listeners(config: ControlPlaneOptions) -> Iterable[Listener]:
    if isinstance(config, HttpServerConfig):
        if not config.secure or config.plain_http != OFF:
            yield Listener("http", config.data_addr, config.port)
        if config.secure:
            yield Listener("https", config.data_addr, config.https_port)
    yield Listener("control", config.control_addr, config.control_port)


def _token_note(options: TokenOptions) -> str:
    if options.token is not None:
        return "The token given with --token is not in this text, for others could read it here."
    if options.token_env is not None:
        return f"The token is not taken from the environment ({options.token_env}), but from a file."
    return ""


def _installed(program: str) -> str:
    """Where it is to be run from: a place in somebody's home directory is none for a service, and one of the versions
    below /opt/sluice will be gone some day."""
    if not program.startswith("/") or any(program.startswith(f"{place}/") for place in (*_HOMES, "/opt/sluice")):
        return PROGRAM
    return program
