"""The command line: makes a config from flags and runs what it describes. No logic of the tunnel's own.

Help and errors come at once: nothing here imports gevent, ssl or Flask before a command runs.
"""
