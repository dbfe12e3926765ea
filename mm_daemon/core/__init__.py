"""The deciding heart: ledger, planner, outbox, and the `TradingCore` that composes them. Pure."""
