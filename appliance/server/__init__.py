"""Layer 4: the server: the public data plane (edge), the control plane that clients connect to, and who may."""
