"""SHA-1 and SHA-256, without `hashlib`: that loads all digests of OpenSSL, half a megabyte that clients do not use.

The interpreter's own are not public, but `random` of the standard library takes them in the same way.
"""

# mypy: disable-error-code="import-not-found, no-redef"

try:
    from _sha1 import sha1

    from _sha2 import sha256
except ImportError:
    try:  # until Python 3.11
        from _sha1 import sha1
        from _sha256 import sha256
    except ImportError:  # where they were left out of the interpreter
        from hashlib import sha1, sha256

__all__ = ["sha1", "sha256"]
