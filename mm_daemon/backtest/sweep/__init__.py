"""Searching a configuration's keys by backtests: what to try (`plan`), how it is judged (`objectives`), what was tried
and what comes next (`study`), the search itself (`search`), what came of it (`results`)."""
