"""Every option, once: frozen dataclasses whose fields carry flag names, default, unit and help text.

Flags and ``--help`` are made from the fields (``cli/flags.py``). A config that exists is a valid one.
"""
