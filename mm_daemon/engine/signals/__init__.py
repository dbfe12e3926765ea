"""Estimators of the market's state: O(1) per event, decayed in time (MODELS 6)."""
