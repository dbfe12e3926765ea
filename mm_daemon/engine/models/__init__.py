"""Pricing models: functions of numbers, without state. One model a file (MODELS 1-5)."""
