"""Simulated venues: matching, queue position, latency and fees; pure machines on deadlines, seeded, without a clock."""
