"""Limits, and the one door to a venue."""
