"""What end-to-end tests stand on: the program as processes, upstreams that record, visitors of raw bytes.

Nothing here imports the program under test: a misunderstanding would otherwise be on both sides.
"""
