"""A property list for launchd of macOS. Pure."""

import plistlib
import shlex

from appliance.cli.generate.plan import Plan

USER = "_sluice"
STATE = "/usr/local/var/sluice"
DIRECTORY = "/Library/LaunchDaemons"
MOST_FILES = 65536


def generate(plan: Plan) -> str:
    label = f"sluice.{plan.name}"
    job = {
        "Label": label,
        "ProgramArguments": [plan.program, *plan.words({file.key: file.path for file in plan.files})],
        "UserName": USER,
        "EnvironmentVariables": {"STATE_DIRECTORY": STATE},
        "WorkingDirectory": STATE,
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 5,
        "ExitTimeOut": plan.grace_seconds + 15,
        "SoftResourceLimits": {"NumberOfFiles": MOST_FILES},
        "HardResourceLimits": {"NumberOfFiles": MOST_FILES},
        "ProcessType": "Interactive",  # else it is slowed down as what runs in the background
        "StandardErrorPath": f"{STATE}/{plan.name}.log",
        "Umask": 0o077,
    }
    text = plistlib.dumps(job, sort_keys=False).decode("utf-8")
    head, _, rest = text.partition("\n")
    return f"{head}\n<!--\n{_comment(plan, label)}-->\n{rest}"


def _comment(plan: Plan, label: str) -> str:
    """No two dashes may stand in it (XML 1.0, 2.5): so no long flags, and none in a path."""
    place = f"{DIRECTORY}/{label}.plist"
    names = " ".join(shlex.quote(file.path) for file in plan.files if not file.directory)
    lines = [
        f"Save this as {place}. Then, once, as root:",
        f"    sysadminctl -addUser {USER} -UID 399 -roleAccount",
        f"    install -d -o {USER} -m 700 {STATE}",
        f"    chown {USER} {names}",
        f"    launchctl bootstrap system {place}",
    ]
    if plan.config_file:
        lines.append(f"The user {USER} must be able to read {plan.config_file}, too.")
    if plan.token_note:
        lines.append(plan.token_note)
    return "".join(f"{line}\n" for line in lines).replace("--", "- -")
