"""Binance USD-M futures, simulated: the part of its REST API and streams that a market maker uses through ccxt."""
