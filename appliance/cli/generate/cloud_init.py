"""User data for cloud-init, which makes a new machine of any cloud run the command. Pure.

https://cloudinit.readthedocs.io/en/latest/reference/modules.html
"""

from typing import Any

from appliance.cli.generate import systemd, yaml_text
from appliance.cli.generate.plan import PROGRAM, STATE, TOKEN_FILE, Plan
from appliance.config.options import ConfigError

ENVIRONMENT = PROGRAM.removesuffix("/bin/sluice")
PACKAGE = "sluice-appliance"


def generate(plan: Plan) -> str:
    units = systemd.units(plan)
    data: dict[str, Any] = {
        "package_update": True,
        "packages": ["python3-venv", "ca-certificates"],
        "users": ["default", {"name": "sluice", "system": True, "no_create_home": True, "shell": "/usr/sbin/nologin"}],
        "write_files": [
            {"path": f"{systemd.DIRECTORY}/{name}", "permissions": "0644", "content": text}
            for name, text in units.items()
        ],
        "runcmd": _commands(plan, list(units)),
    }
    return "#cloud-config\n" + _comment(plan) + yaml_text.dump(data)


def _commands(plan: Plan, units: list[str]) -> list[Any]:
    source = plan.config.generate_package or _package(plan)
    commands: list[Any] = [
        ["python3", "-m", "venv", ENVIRONMENT],
        [f"{ENVIRONMENT}/bin/pip", "install", "--quiet", source],
        ["install", "-d", "-m", "0755", "/etc/sluice"],
    ]
    if plan.server:
        # Made there, so that it stands in nobody's user data. The second start finds the first one's.
        commands.append(f"test -s {TOKEN_FILE} || (umask 077; head -c 32 /dev/urandom | base64 >{TOKEN_FILE})")
    sockets = units[1:]
    commands.append(["systemctl", "daemon-reload"])
    commands.append(["systemctl", "enable", "--now", *sockets, units[0]])
    return commands


def _package(plan: Plan) -> str:
    return f"{PACKAGE}[acme]=={plan.version}" if plan.server else f"{PACKAGE}=={plan.version}"


def _comment(plan: Plan) -> str:
    _check(plan)
    lines = [f"A new machine with Debian or Ubuntu becomes a Sluice {plan.kind}."]
    if not plan.config.generate_package:
        lines += [
            f"It installs {_package(plan)} from the index that pip asks there. Where that has none, build a wheel",
            "(`pip wheel --no-deps .` in a checkout) and name its https address with the flag generate-package.",
        ]
    if plan.server:
        lines += [
            f"It makes a token of its own, in {TOKEN_FILE}: `ssh` there and copy it to where clients run.",
            f"`{PROGRAM} certificates` shows the fingerprint of its authority, for their --ca-fingerprint.",
        ]
        names = ", ".join(f"{listener.port}" for listener in plan.listeners)
        lines.append(f"Open the ports {names} in the cloud's firewall, and those that clients open.")
    else:
        lines += [
            "A client needs the server's token, which must not stand in user data, where others read it:",
            f"write it to {TOKEN_FILE} (owner root, mode 0600) over `ssh`. Until then the service tries again.",
        ]
    lines.append(f"To update it: {ENVIRONMENT}/bin/pip install --upgrade WHEEL && systemctl restart {plan.name}")
    others = [file.path for file in plan.files if file.key != "token"]
    if others:
        lines.append(f"These are for you to bring there, too: {', '.join(others)}")
    if plan.token_note:
        lines.append(plan.token_note)
    return "".join(f"# {line}\n" for line in lines)


def _check(plan: Plan) -> None:
    path = next(file.path for file in plan.files if file.key == "token")
    if path != TOKEN_FILE:
        raise ConfigError(
            f"--token-file {path}: a machine of cloud-init keeps its token in {TOKEN_FILE}: leave this flag out"
        )
    if plan.state:
        raise ConfigError(
            f"--auto-tls-path {plan.state}: a machine of cloud-init keeps its state in {STATE}: leave this flag out"
        )
