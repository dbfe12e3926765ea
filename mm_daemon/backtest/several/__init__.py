"""Several backtests: which ones, as tasks that travel, in many processes, as one report."""
