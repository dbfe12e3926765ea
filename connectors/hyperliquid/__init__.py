"""Hyperliquid's wire: market data so far."""
