"""Units: a hardened service; for a server also a socket unit for each listener, so that a restart refuses nobody.

Pure. https://www.freedesktop.org/software/systemd/man/systemd.exec.html says what each setting does.
"""

import ipaddress
import posixpath
import re

from appliance.cli.generate.plan import STATE, TOKEN_FILE, Listener, Plan
from appliance.config.options import ConfigError
from appliance.wire.address import join_host_port

DIRECTORY = "/etc/systemd/system"
WATCHDOG_SECONDS = 60
STOP_SECONDS = 15  # beyond what the program gives to requests under way

_HARDENING = """\
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
KeyringMode=private
UMask=0077
"""


def units(plan: Plan) -> dict[str, str]:
    """File name -> text: the service first, then its sockets."""
    listeners = list(plan.listeners)
    if plan.server:
        listeners += [Listener(f"tcp-{port}", plan.config.data_addr, port) for port in plan.chosen_ports()]
    sockets = {f"{plan.name}-{each.name}.socket": each for each in listeners if _can_be_held(each)}
    texts = {f"{plan.name}.service": _service(plan, list(sockets))}
    for name, listener in sockets.items():
        texts[name] = _socket(plan, listener)
    return texts


def generate(plan: Plan) -> str:
    """All units, one after the other, each behind a comment that names its file."""
    texts = units(plan)
    first = [f"# {line}".rstrip() for line in _installing(plan, list(texts))]
    parts = ["\n".join(first)]
    parts += [f"# {DIRECTORY}/{name}\n{text.rstrip()}" for name, text in texts.items()]
    return "\n\n".join(parts) + "\n"


def _installing(plan: Plan, names: list[str]) -> list[str]:
    lines = [
        f"Save this as units.txt. To install and start {plan.name}, as root:",
        "",
        "  awk '/^# \\/etc\\/systemd\\//{file=$2} file{print >file}' units.txt",
        f"  systemctl daemon-reload && systemctl enable --now {' '.join(names[1:] + names[:1])}",
    ]
    if plan.token_note:
        lines += ["", plan.token_note]
    if plan.config_file:
        lines += ["", f"The user sluice must be able to read {plan.config_file}, which is read again on a reload."]
    path = next(file.path for file in plan.files if file.key == "token")
    if path == TOKEN_FILE:
        lines += ["", f"The token's place is {path}, for root alone to read. To write it there:"]
        maker = "head -c 32 /dev/urandom | base64" if plan.server else "cat"
        lines += ["", f"  mkdir -p /etc/sluice && (umask 077; {maker} >{path})"]
    return lines


def _service(plan: Plan, sockets: list[str]) -> str:
    credentials, place = _credentials(plan)
    words = [_quoted(word) for word in plan.words(place)]
    lines = [
        "[Unit]",
        f"Description=Sluice {' '.join(plan.command)}",
        *(f"{order}={' '.join(['network-online.target', *sockets])}" for order in ("Wants", "After")),
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={_quoted(plan.program)} {' '.join(words[: len(plan.command)])}",
    ]
    for word in words[len(plan.command) :]:
        lines[-1] += " \\"
        lines.append(f"    {word}")
    lines += [
        "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'",
        "Restart=always",
        "RestartSec=3",
        f"WatchdogSec={WATCHDOG_SECONDS}",
        f"TimeoutStopSec={plan.grace_seconds + STOP_SECONDS}",
        "LimitNOFILE=1048576" if plan.server else "LimitNOFILE=65536",
        "",
        *credentials,
        "# The user sluice, if there is one; else systemd makes one up.",
        "User=sluice",
        "DynamicUser=yes",
        "StateDirectory=sluice",
        "StateDirectoryMode=0700",
        *_state(plan),
        "",
        *_capabilities(plan),
        f"ProtectHome={_homes(plan)}",
        _HARDENING.rstrip(),
        # What the server's own metrics tell of it is in /proc/stat, too.
        *([] if plan.server else ["ProcSubset=pid"]),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
        *([f"Also={' '.join(sockets)}"] if sockets else []),
    ]
    return "\n".join(lines) + "\n"


def _credentials(plan: Plan) -> tuple[list[str], dict[str, str]]:
    """The lines that hand files over, which root alone may be able to read; and where they are then."""
    lines: list[str] = []
    place: dict[str, str] = {}
    for file in plan.files:
        if file.directory:
            place[file.key] = file.path
            lines.insert(0, f"# The user sluice must be able to read {file.path}.")
        else:
            place[file.key] = f"${{CREDENTIALS_DIRECTORY}}/{file.key}"
            lines.append(f"LoadCredential={_escaped(f'{file.key}:{file.path}')}")
    if len(lines) > 1:
        lines.insert(0, "# These are read when the service starts: restart it when a certificate was renewed.")
    return lines, place


def _state(plan: Plan) -> list[str]:
    # Of the config, for a configuration file may name it, which is read in its place.
    path = plan.state or getattr(plan.config, "auto_tls_path", None)
    if path is None or path.rstrip("/") == STATE:
        return []
    if not path.startswith("/"):
        raise ConfigError(f"--auto-tls-path {path}: a unit needs the whole path, beginning with /")
    return [f"# It must exist, and be the user sluice's.\nReadWritePaths={_quoted(posixpath.normpath(path))}"]


def _capabilities(plan: Plan) -> list[str]:
    """The one right beyond a user's that a server may need: ports below 1024."""
    if plan.server or plan.opens_low_ports:
        return ["AmbientCapabilities=CAP_NET_BIND_SERVICE", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"]
    return ["CapabilityBoundingSet=", "PrivateUsers=yes"]


def _homes(plan: Plan) -> str:
    """Whether home directories can be seen: only where something that is needed lies in one."""
    needed = {f"--upstream {upstream.label}": upstream.path for upstream in plan.upstreams}
    needed |= {f"--{file.key}": file.path for file in plan.files if file.directory}
    needed |= {"--config": plan.config_file, "--auto-tls-path": plan.state}
    for flag, path in needed.items():
        if _is_below(path, "/tmp", "/var/tmp"):
            raise ConfigError(
                f"{flag}: a service has a /tmp of its own (PrivateTmp) and would not see {path}; move it, for instance "
                "to /etc/sluice, /run or /srv"
            )
    return "read-only" if any(_is_below(path, "/home", "/root") for path in needed.values()) else "yes"


def _is_below(path: str, *directories: str) -> bool:
    return any(f"{path}/".startswith(f"{directory}/") for directory in directories)


def _can_be_held(listener: Listener) -> bool:
    """Whether systemd can listen for us: it takes addresses, not names, and no port that is free to choose."""
    try:
        return bool(listener.port) and (not listener.host or bool(ipaddress.ip_address(listener.host)))
    except ValueError:
        return False


def _socket(plan: Plan, listener: Listener) -> str:
    where = join_host_port(listener.host, listener.port) if listener.host else str(listener.port)
    return f"""\
[Unit]
Description=Sluice {" ".join(plan.command)}: {listener.name}

[Socket]
ListenStream={where}
FileDescriptorName={listener.name}
Service={plan.name}.service
Backlog=4096
NoDelay=yes

[Install]
WantedBy=sockets.target
"""


def _escaped(text: str) -> str:
    """`%` begins a specifier."""
    return text.replace("%", "%%")


_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./\[\]*-]+").fullmatch


def _quoted(word: str) -> str:
    """A word of ExecStart, as systemd reads it; ${CREDENTIALS_DIRECTORY} is left for it to replace."""
    kept = "${CREDENTIALS_DIRECTORY}"
    pieces = [_escaped(piece).replace("$", "$$") for piece in word.split(kept)]
    text = kept.join(pieces)
    if all(_PLAIN(piece) or not piece for piece in pieces):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
