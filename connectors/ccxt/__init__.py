"""Centralised venues through ccxt (deploy/docs/ccxt.md). ccxt is imported when a connector is built, not before."""
