"""Layer 4: the client: dials out to the server, and carries bytes between streams and upstreams. No HTTP here."""
