"""Text that makes a machine run a command: systemd units, manifests, and the like.

Each format is a pure function of a `Plan`, which `plan.py` makes of a command's config. What a secret is stays outside:
the text names the file that it is read from.
"""
