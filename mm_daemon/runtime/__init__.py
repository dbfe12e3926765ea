"""The shell around the core: clock, inbox, gateway, supervision, start and stop. Thin; a backtest does without."""
