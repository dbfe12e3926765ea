"""The neutral venue: a small protocol of our own, served over HTTP and WebSocket. `deploy/docs/your-own-connector.md`
describes the protocol."""
