"""A paper run of a recording as a backtest at the run's own turns."""
