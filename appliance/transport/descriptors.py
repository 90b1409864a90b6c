"""The limit of file descriptors: a tunnel needs two for each visitor."""

from __future__ import annotations

import resource

MOST = 1 << 20


def raise_limit() -> int:
    """Raise the soft limit to the hard one; returns the limit now in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    except (ValueError, OSError):
        return soft
    return max(soft, wanted)
