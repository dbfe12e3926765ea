"""The report of recorded runs: its figures, each defined, and their table."""
