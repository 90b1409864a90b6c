"""Keys and certificates: the automatic authority of the control plane, and those that the user brings."""
