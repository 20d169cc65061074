"""The same reply, written for each peer."""
