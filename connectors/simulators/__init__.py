"""Venues behind real sockets on this machine: what connectors are tested against, with no translator in common."""
