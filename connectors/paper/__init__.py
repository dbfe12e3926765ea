"""Paper execution on any venue's market data."""
