"""The embedded market as a venue: no network, no keys."""
