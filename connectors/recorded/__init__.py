"""Recorded wire files, played back through the venue's own translator."""
