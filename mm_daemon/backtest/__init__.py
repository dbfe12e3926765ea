"""The deterministic driver: backtests and the replay of journals, without a loop and without a clock.

For programs of one's own: `run` and `run_days` (`api.py`, deploy/docs/backtesting.md). They are loaded when they are
asked for, so that the command line does not wait for what it does not use.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mm_daemon.backtest.api import MarketResult, Result, run, run_days

__all__ = ["MarketResult", "Result", "run", "run_days"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from mm_daemon.backtest import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
