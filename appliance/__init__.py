"""Sluice: a self-hosted tunnel. A server on the Internet, a client in a private network that dials out to it.

The words, one meaning each:

visitor          whoever connects to the public data plane
upstream         a service in the client's network: ``http://127.0.0.1:3000``, ``127.0.0.1:22``, a directory
session          one connected client, as the server knows it
control channel  the WebSocket of a session that carries messages, never visitors' bytes
stream           one WebSocket connection of a session: one visitor's bytes at a time, then used again
opener, carrier  the two ends of a stream: one says ``open`` for its visitor, the other dials the upstream
pool             the idle streams of a session, kept warm ahead of need
route            name or port -> the sessions and upstreams that serve it
door             a public port of TCP mode, open while a client offers it
passage          one TCP connection carried through a stream
edge             the server's public side, where HTTP is parsed, policy enforced, requests counted

The layers, whose imports point only downward (``tests/test_layers.py`` proves it):

6 cli | 5 admin | 4 server, client, fileserver | 3 tunnel | 2 transport, certificates | 1 wire | 0 config

Importing this package never monkey-patches: the server's command does, before it imports anything else.
"""

__version__ = "0.1.0"
