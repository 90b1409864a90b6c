"""The token, as it is kept here: who may read and change it, and whether it could be guessed."""

import os

from appliance.cli.doctor.findings import ERROR, OK, WARNING, Finding, Findings
from appliance.config.options import ConfigError
from appliance.config.secrets import find_token
from appliance.config.shared import MAKE_TOKEN, TokenOptions

SHORT = 16


def look(config: TokenOptions) -> Findings:
    try:
        found = find_token(config, os.environ)
    except ConfigError as error:
        yield Finding("token", ERROR, str(error), "the file must hold the server's token alone, readable for this user")
        return
    if found is None:
        yield Finding("token", WARNING, "none is given, so it cannot be tried", config.no_token_advice)
        return
    faults = [*_of_file(config.token_file), *_of_text(found)]
    yield from faults
    if not faults:
        yield Finding("token", OK, "it can be read, and is long enough")


def _of_file(path: str | None) -> Findings:
    if path is None:
        return
    mode = os.stat(path).st_mode
    if mode & 0o022:
        who = "everybody here" if mode & 0o002 else "its group"
        yield Finding("token", WARNING, f"{who} may change {path}", f"chmod g-w,o= {path}")
    elif mode & 0o004:
        yield Finding("token", WARNING, f"everybody here may read {path}", f"chmod o= {path}")


def _of_text(found: str) -> Findings:
    if len(found) < SHORT:
        text = f"it has {len(found)} sign{'' if len(found) == 1 else 's'} only, which can be guessed"
        yield Finding("token", WARNING, text, f"make one: {MAKE_TOKEN}")
