"""Layer 2: bytes over sockets. Greenlets, TLS, the WebSocket connections of a session; no routes and no HTTP."""
