"""mm-daemon: a market-making daemon whose live, paper, backtest and replay runs share one engine."""

__version__ = "0.1.0"
