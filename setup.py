"""The optional compiled build: with MM_COMPILE=1 the modules that every message walks become extension modules.

The source stays the only one: mypyc compiles it as it stands. Without the variable nothing is compiled, so that an
install needs no compiler. `make compiled` builds beside the source; deploy/docs/speed.md says what it is worth.

A module that defines a `msgspec.Struct` cannot be among them, because mypyc drops the options of its class line and the
types of its fields; nor can `risk/checks.py`, which looks at numbers of whatever type they are.
"""

import os

from setuptools import Extension, setup

HOT = (
    "connectors/binance/translate.py",
    "connectors/hyperliquid/numbers.py",
    "connectors/hyperliquid/orders.py",
    "connectors/hyperliquid/translate.py",
    "connectors/recorded/feed.py",
    "connectors/shared/book_sync.py",
    "connectors/shared/displayed.py",
    "mm_daemon/backtest/runner.py",
    "mm_daemon/backtest/tally.py",
    "mm_daemon/core/accounts.py",
    "mm_daemon/core/agenda.py",
    "mm_daemon/core/buckets.py",
    "mm_daemon/core/control.py",
    "mm_daemon/core/dispatch.py",
    "mm_daemon/core/ledger_order.py",
    "mm_daemon/core/market.py",
    "mm_daemon/core/market_decision.py",
    "mm_daemon/core/order_ledger.py",
    "mm_daemon/core/order_reports.py",
    "mm_daemon/core/outbox.py",
    "mm_daemon/core/planner.py",
    "mm_daemon/core/safeguards.py",
    "mm_daemon/core/trading_core.py",
    "mm_daemon/core/venue_clock.py",
    "mm_daemon/core/venue_links.py",
    "mm_daemon/domain/book.py",
    "mm_daemon/domain/deadlines.py",
    "mm_daemon/engine/decision_table.py",
    "mm_daemon/engine/equity.py",
    "mm_daemon/engine/lockouts.py",
    "mm_daemon/engine/models/exponential_fills.py",
    "mm_daemon/engine/moments.py",
    "mm_daemon/engine/quote_engine.py",
    "mm_daemon/engine/quote_placement.py",
    "mm_daemon/engine/rounding.py",
    "mm_daemon/engine/signals/adjusted_microprice.py",
    "mm_daemon/engine/signals/fill_intensity.py",
    "mm_daemon/engine/signals/flow.py",
    "mm_daemon/engine/signals/kyle.py",
    "mm_daemon/engine/signals/microprice.py",
    "mm_daemon/engine/signals/momentum.py",
    "mm_daemon/engine/signals/robust_volatility.py",
    "mm_daemon/engine/signals/taker_orders.py",
    "mm_daemon/engine/signals/toxicity.py",
    "mm_daemon/engine/signals/trade_size.py",
    "mm_daemon/engine/signals/volatility.py",
    "mm_daemon/engine/tolerance.py",
    "mm_daemon/observability/quoted_time.py",
    "mm_daemon/risk/budget.py",
    "mm_daemon/risk/exposure.py",
    "mm_daemon/risk/facts.py",
    "mm_daemon/risk/gate.py",
    "mm_daemon/simulation/account.py",
    "mm_daemon/simulation/models.py",
    "mm_daemon/simulation/played_market.py",
    "mm_daemon/simulation/replay_matching.py",
    "mm_daemon/simulation/venue.py",
)


def extensions() -> list[Extension]:
    if os.environ.get("MM_COMPILE") != "1":
        return []
    from mypyc.build import mypycify

    made: list[Extension] = mypycify(list(HOT), opt_level="3", debug_level="0", target_dir="build/mypyc")
    for extension in made:
        extension.extra_compile_args.append("-ffp-contract=off")  # every product is rounded, as the interpreter does it
    return made


if __name__ == "__main__":
    setup(ext_modules=extensions())
