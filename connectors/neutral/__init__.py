"""The neutral venue's connector: the reference for authors of others (deploy/docs/your-own-connector.md)."""
