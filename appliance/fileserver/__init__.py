"""Serving the files of one directory over HTTP: a stand-alone server, and the client's directory upstreams.

`paths` decides what may be opened, `conditions`, `ranges` and `answers` what is answered, `visit` carries one
connection, `service` joins them, `app` runs the command. Nothing here knows of tunnels.
"""
