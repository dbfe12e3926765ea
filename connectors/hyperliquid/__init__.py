"""Hyperliquid: market data, orders and accounts over its own wire."""
