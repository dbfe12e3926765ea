"""Lighter: the venue's REST and WebSocket, signed by its own native library."""
