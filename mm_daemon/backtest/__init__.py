"""The deterministic driver: backtests and the replay of journals, without a loop and without a clock."""
