"""The control plane's pages for people and monitoring."""
