"""Binance USD-M futures and spot: native market data."""
