"""Bytes <-> values: no sockets, no gevent, no clock."""
