"""Containers: the command that starts one with docker or podman, and a file for their compose. Pure.

The image is made by the Dockerfile of this repository, of which `tests/test_container_files.py` knows that it fits.
"""

import shlex
from typing import Any

from appliance.cli.generate import yaml_text
from appliance.cli.generate.plan import STATE, Plan, is_loopback
from appliance.config.options import ConfigError
from appliance.wire.address import Upstream, parse_server_url

USER_ID = 65532  # of the user sluice in the image
SECRETS = "/run/secrets"
LOW_PORTS = "net.ipv4.ip_unprivileged_port_start=0"  # in the container's own network
STOP_SECONDS = 10  # beyond what the program gives to requests under way


def image(plan: Plan) -> str:
    return f"sluice:{plan.version}"


def docker(plan: Plan) -> str:
    """A shell script of one command."""
    lines = [
        "docker run --detach",
        f"--name {plan.name}",
        "--restart unless-stopped",
        "--read-only --cap-drop ALL --security-opt no-new-privileges",
        "--tmpfs /tmp",
        f"--mount {shlex.quote(_mount(plan.state, STATE, ''))}"
        if plan.state
        else f"--volume {plan.name}-state:{STATE}",
        f"--stop-timeout {_stop_seconds(plan)}",
    ]
    if _on_the_hosts_network(plan):
        lines.append("--network host")
    else:
        lines += [f"--publish {published}" for published in _published(plan)]
        if plan.privileged:
            lines.append(f"--sysctl {LOW_PORTS}")
    lines += [f"--mount {shlex.quote(_mount(source, target))}" for source, target in _mounts(plan)]
    lines.append(image(plan))
    lines += [shlex.quote(word) for word in _words(plan)]
    return "#!/bin/sh\n" + _comment(plan) + " \\\n    ".join(lines) + "\n"


def compose(plan: Plan) -> str:
    service: dict[str, Any] = {
        "image": image(plan),
        "command": _words(plan, dollars="$$"),
        "restart": "unless-stopped",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "stop_grace_period": f"{_stop_seconds(plan)}s",
        "tmpfs": ["/tmp"],
        "volumes": [_state(plan)],
    }
    if _on_the_hosts_network(plan):
        service["network_mode"] = "host"
    elif published := _published(plan):
        service["ports"] = published
        if plan.privileged:
            service["sysctls"] = [LOW_PORTS]
    secrets = {file.key: {"file": _dollars(file.path)} for file in plan.files if not file.directory}
    service["secrets"] = list(secrets)
    service["volumes"] += [
        {"type": "bind", "source": _dollars(source), "target": _dollars(target), "read_only": True}
        for source, target in _mounts(plan)
        if target not in map(_inside, secrets)
    ]
    top = {"services": {plan.name: service}, "secrets": secrets}
    if not plan.state:
        top["volumes"] = {f"{plan.name}-state": {}}
    return _comment(plan) + yaml_text.dump(top)


def _state(plan: Plan) -> dict[str, Any]:
    if plan.state:
        return {"type": "bind", "source": _dollars(plan.state), "target": STATE}
    return {"type": "volume", "source": f"{plan.name}-state", "target": STATE}


def _comment(plan: Plan) -> str:
    lines = [f"The image {image(plan)} is made by `docker build --tag {image(plan)} .` in a checkout of Sluice."]
    if plan.token_note:
        lines.append(plan.token_note)
    names = " ".join(shlex.quote(file.path) for file in plan.files if not file.directory)
    lines.append("In the container a user without rights reads what is secret. As root, once:")
    lines.append(f"    chown {USER_ID} {names} && chmod 400 {names}")
    for upstream in plan.upstreams:
        if upstream.scheme == "unix" and _place(upstream) == upstream.path:
            lines.append(f"Start it anew when {upstream.path} was made anew; a directory of its own spares you that.")
    if plan.state:
        lines.append(f"    chown -R {USER_ID} {shlex.quote(plan.state)}")
    return "".join(f"# {line}\n" for line in lines)


def _stop_seconds(plan: Plan) -> int:
    return plan.grace_seconds + STOP_SECONDS


def _words(plan: Plan, dollars: str = "$") -> list[str]:
    place = {file.key: _inside(file.key) for file in plan.files} | {"state": STATE}
    return [word.replace("$", dollars) for word in plan.words(place)]


def _inside(key: str) -> str:
    return f"{SECRETS}/{key}"


def _mounts(plan: Plan) -> list[tuple[str, str]]:
    """What is on the machine, and where it is in the container."""
    found = [(file.path, _inside(file.key)) for file in plan.files]
    for path in dict.fromkeys(_place(upstream) for upstream in plan.upstreams if upstream.path):
        found.append((path, path))
    return found


# Directories of the machine that a container has of its own, or must not see: a socket there is mounted by itself.
_SHARED = ("", "/run", "/var/run", "/tmp", "/var/tmp", "/dev", "/etc", "/var")


def _place(upstream: Upstream) -> str:
    """A socket is reached by its directory: one that is made anew is another file."""
    directory = upstream.path.rpartition("/")[0]
    return directory if upstream.scheme == "unix" and directory not in _SHARED else upstream.path


def _mount(source: str, target: str, mode: str = ",readonly") -> str:
    if "," in source:
        raise ConfigError(f"{source}: --generate docker cannot mount a path with a comma in it")
    return f"type=bind,source={source},target={target}{mode}"


def _on_the_hosts_network(plan: Plan) -> bool:
    """Whether 127.0.0.1 must be the machine and not the container."""
    if plan.server:
        return False
    return (
        is_loopback(parse_server_url(plan.config.url).host)
        or any(is_loopback(upstream.host) for upstream in plan.upstreams)
        or bool(plan.config.local)
    )


def _published(plan: Plan) -> list[str]:
    """Ports of the container, as `--publish` takes them. Inside, the program listens on all addresses."""
    for listener in plan.listeners:
        if listener.host not in ("", "0.0.0.0", "::"):
            name = "--control-addr" if listener.name == "control" else "--data-addr"
            raise ConfigError(
                f"{name} {listener.host} is an address of this machine, which a container has not: leave it out, and "
                "write the address before the published port"
            )
        if not listener.port:
            raise ConfigError("port 0 is any free port, and no container can publish that: choose one")
    ports = [listener.port for listener in plan.listeners] + list(plan.visitors_ports())
    return [f"{port}:{port}" for port in ports]


def _dollars(text: str) -> str:
    """compose replaces $NAME."""
    return text.replace("$", "$$")
