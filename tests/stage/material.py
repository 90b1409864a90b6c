"""Certificates that are only told of: no files."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from appliance.certificates.material import OWN, Material


def material(*names: str, expires: float = 1.8e9, source: str = OWN, renews: datetime | None = None) -> Material:
    path = Path("/nowhere", *names[:1])
    begins, ends = (datetime.fromtimestamp(moment, timezone.utc) for moment in (1.7e9, expires))
    return Material(path, path, None, "ab" * 32, begins, ends, names, "Let's Encrypt E7", source, renews)
