"""Deterministic simulation of the whole daemon: a seeded world of faults around it, and invariants after every step."""
