"""Lighter on this machine: the venue's REST and WebSocket protocol over the simulated market. It checks every
transaction's hash and signature with an implementation of its own, and shares no code with the connector."""
