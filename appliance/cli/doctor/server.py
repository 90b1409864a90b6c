"""What a server needs: its token, certificates, ports; and the way to them from outside, as far as can be told here."""

import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from appliance.cli import addresses
from appliance.cli.doctor import machine, names, secret
from appliance.cli.doctor.findings import ERROR, OK, WARNING, Finding, Findings
from appliance.cli.doctor.running import Running, find
from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.data_tls import OFF, DataTlsOptions
from appliance.config.http_server import HttpServerConfig
from appliance.config.letsencrypt import LetsEncryptOptions
from appliance.config.options import ConfigError
from appliance.server.listening import listen_for
from appliance.wire.address import join_host_port

if TYPE_CHECKING:
    from appliance.certificates.own import Words

REACH_SECONDS = 3.0


class Place(NamedTuple):
    """Where a server listens, and by which flag."""

    flag: str
    host: str
    port: int


def look(config: ControlPlaneOptions, more_names: Iterable[str]) -> Findings:
    yield from secret.look(config)
    try:
        addresses.check_rules(config)
    except ConfigError as error:
        yield Finding("rules", ERROR, str(error), "sluice server --help shows how they are written")
    if config.auto_tls_path:
        yield machine.state_directory(config.auto_tls_path)
    yield from _certificates(config)
    running = find(config)
    yield from running.findings
    free = []
    for place in places(config):
        finding, usable = _port(place, running.here)
        yield finding
        free += [place] if usable else []
    own = list(dict.fromkeys([*own_names(config), *more_names]))
    yield from names.look_at_own(name for name in own if not names.is_number(name))
    for name in own:
        if names.is_found(name):
            yield from _reach(names.spelled(name), places(config) if running.here else free, running)
    yield from _firewall(places(config))


def places(config: ControlPlaneOptions) -> list[Place]:
    found = [Place("--control-port", config.control_addr, config.control_port)]
    if isinstance(config, HttpServerConfig):
        secure = isinstance(config, DataTlsOptions) and config.secure
        if not secure or config.plain_http != OFF:
            found.append(Place("--port", config.data_addr, config.port))
        if secure:
            found.append(Place("--https-port", config.data_addr, config.https_port))
    return [place for place in found if place.port]


def own_names(config: ControlPlaneOptions) -> Iterator[str]:
    """What the configuration says the server is called."""
    yield from config.auto_tls_san
    if isinstance(config, LetsEncryptOptions):
        yield from config.letsencrypt_domain
    if isinstance(config, HttpServerConfig) and config.control_domain:
        yield config.control_domain


def _port(place: Place, runs: bool) -> tuple[Finding, bool]:
    """And whether it is free."""
    where = join_host_port(place.host or "0.0.0.0", place.port)
    try:
        for sock in listen_for(place.flag, place.host, place.port):
            sock.close()
    except ConfigError as error:
        if runs and "in use" in str(error):
            return Finding("port", OK, f"{where} ({place.flag}) is in use, and this server runs"), False
        text, _, fix = str(error).partition(": ")
        return Finding("port", ERROR, text, fix), False
    if runs:
        fix = "restart it, or look at the file that it was started with"
        return Finding("port", WARNING, f"{where} ({place.flag}) is free, though this server runs", fix), False
    return Finding("port", OK, f"{where} ({place.flag}) is free, and may be listened on"), True


def _certificates(config: ControlPlaneOptions) -> Findings:
    from appliance.certificates import own
    from appliance.cli.certificates import authority_in

    if config.tls_cert is not None:
        yield from _own(config.tls_cert, config.tls_key, own.CONTROL)
    elif not config.auto_tls:
        fix = (
            "" if config.control_addr.startswith("127.") else "--control-addr 127.0.0.1, behind what speaks TLS for it"
        )
        level = OK if not fix else WARNING
        yield Finding("tls", level, "the control plane has none (--auto-tls=false)", fix)
    else:
        yield from _automatic(config, authority_in)
    if not isinstance(config, DataTlsOptions):
        return
    for pair in zip(config.data_cert, config.data_key, strict=True):
        yield from _own(*pair, own.DATA)
    for directory in config.data_cert_dir:
        try:
            os.listdir(directory)
        except OSError as error:
            text = f"--data-cert-dir {directory} cannot be read ({error.strerror or error})"
            yield Finding("certificate", ERROR, text, "let the user that sluice runs as read it")
    yield from _issued(config)


def _automatic(config: ControlPlaneOptions, authority_in: Callable[[Path], dict[str, Any] | None]) -> Findings:
    from appliance.certificates.authority import state_directory

    try:
        directory = state_directory(config.auto_tls_path, os.environ)
        found = authority_in(directory)
    except Exception as error:  # every way in which a file may be no certificate
        text = getattr(error, "message", None) or str(error)
        yield Finding("tls", ERROR, text, "run this as the user that sluice runs as, or mend the file")
        return
    if found is None:
        yield Finding("tls", OK, f"the authority is made at the first start, in {directory}")
    else:
        yield Finding("tls", OK, f"the authority is sha256:{found['fingerprint']}, until {found['expires'][:10]}")
    if not config.auto_tls_san:
        text = f"the certificate is for {socket.gethostname()} and this machine alone"
        fix = "give what clients write in --url: --auto-tls-san 203.0.113.7, or a name"
        yield Finding("tls", WARNING, text, fix)


def _own(certificate: str, key: str | None, words: "Words") -> Findings:
    from appliance.certificates import own

    try:
        material, warnings = own.inspect(certificate, key, words)
    except ConfigError as error:
        yield Finding("certificate", ERROR, str(error), f"see {words.certificate} and {words.key}")
        return
    for warning in warnings:
        yield Finding("certificate", WARNING, warning, f"replace {certificate}")
    if not warnings:
        yield Finding("certificate", OK, f"{certificate} is for {material.name}, until {material.expires:%Y-%m-%d}")


def _issued(config: DataTlsOptions) -> Findings:
    """What Let's Encrypt has issued so far."""
    from appliance.certificates import acme_files
    from appliance.certificates.authority import state_directory
    from appliance.certificates.material import warning_of

    if not config.letsencrypt_domain:
        return
    now = datetime.now(timezone.utc)
    path = config.auto_tls_path if isinstance(config, ControlPlaneOptions) else None
    try:
        stored = {
            material.name: material for material in acme_files.stored(Path(state_directory(path, os.environ)), now)
        }
    except (OSError, ConfigError) as error:
        yield Finding("certificate", WARNING, f"those that were issued cannot be read: {error}", "run this as root")
        return
    for name in config.letsencrypt_domain:
        material = stored.get(name)
        if material is None:
            yield Finding("certificate", OK, f"{name} has none yet: it is ordered at the start")
            continue
        said = warning_of(material, now)
        text = f"{name}: {said}" if said else f"{name} has one until {material.expires:%Y-%m-%d}"
        fix = "ports 80 or 443 must lead here from everywhere; the log says why it was not renewed"
        yield Finding("certificate", ERROR if said else OK, text, fix if said else "")


def _reach(name: str, wanted: list[Place], running: Running) -> Findings:
    """The way to the server by a public name, as seen from here."""
    for place in wanted:
        where = join_host_port(name, place.port)
        if _arrives(name, place, running):
            yield Finding("reach", OK, f"{where} leads here, as seen from this machine")
        else:
            text = f"{where} does not lead here, as seen from this machine (some routers let nobody in from inside)"
            fix = (
                f"open port {place.port} in firewalls, lead it here; then look from elsewhere: {_from_elsewhere(where)}"
            )
            yield Finding("reach", WARNING, text, fix)


def _from_elsewhere(where: str) -> str:
    return f"sluice doctor --url wss://{where}"


def _arrives(name: str, place: Place, running: Running) -> bool:
    """Whether who connects there gets to this machine: the server that runs, or a listener of ours in its place."""
    if running.here:
        return running.is_it(name, place)
    nonce = secrets.token_bytes(16)
    try:
        sockets = listen_for(place.flag, place.host, place.port)
    except ConfigError:
        return False
    try:
        with socket.create_connection((name, place.port), REACH_SECONDS) as out:
            out.sendall(nonce)
            out.shutdown(socket.SHUT_WR)
            return any(_heard(sock.fileno(), sock.family) == nonce for sock in sockets)
    except (OSError, UnicodeError):
        return False
    finally:
        for sock in sockets:
            sock.close()


def _heard(descriptor: int, family: int) -> bytes:
    with socket.socket(family, socket.SOCK_STREAM, fileno=os.dup(descriptor)) as listener:
        listener.settimeout(1.0)
        try:
            sock, _ = listener.accept()
        except OSError:
            return b""
        with sock:
            sock.settimeout(1.0)
            return sock.recv(64)


def _firewall(wanted: list[Place]) -> Findings:
    """Ubuntu's own tells without root whether it is on."""
    try:
        enabled = "ENABLED=yes" in Path("/etc/ufw/ufw.conf").read_text("utf-8", "replace")
    except OSError:
        return
    if enabled:
        rules = ", ".join(f"ufw allow {place.port}/tcp" for place in wanted)
        yield Finding("firewall", WARNING, "ufw is on, and lets in what it was told to", f"if it was not yet: {rules}")
