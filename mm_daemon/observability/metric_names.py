"""Every metric the daemon exports: its name, kind, labels and meaning, as OPERATIONS 2 has them.

What has no source yet (a venue's clock, websockets) is not here: a series that is always zero says nothing.
`tests/unit/observability/test_metrics.py` holds this table against the rules of the Prometheus linter.
"""

from typing import Literal, NamedTuple

Kind = Literal["gauge", "counter", "histogram"]


class Definition(NamedTuple):
    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


_VENUE = ("venue",)
_MARKET = ("venue", "symbol")


def _market(*labels: str) -> tuple[str, ...]:
    return (*_MARKET, *labels)


DEFINITIONS: tuple[Definition, ...] = (
    # The daemon
    Definition("mm_build_info", "gauge", ("version", "config_hash"), "Always 1; what runs, with what parameters."),
    Definition("mm_ready", "gauge", (), "1 after reconciliation with fresh data of every venue, else 0."),
    Definition("mm_kill_active", "gauge", (), "1 while a loss limit or the kill switch keeps quoting off."),
    Definition(
        "mm_drawdown_quote", "gauge", (), "Fall of the P&L of all markets from its peak, where a limit watches it."
    ),
    Definition(
        "mm_worst_case_notional_quote",
        "gauge",
        ("underlying",),
        "Value of an underlying's net position if every order of its worse side were filled, where it is limited.",
    ),
    Definition("mm_task_restarts_total", "counter", ("task",), "Restarts of a part that had failed."),
    Definition("mm_event_loop_lag_seconds", "histogram", (), "How much later than asked the event loop woke up."),
    Definition("mm_queue_depth", "gauge", ("queue",), "What waits in a queue."),
    Definition("mm_queue_dropped_total", "counter", ("queue",), "What a full queue gave up."),
    Definition("mm_journal_flush_seconds", "histogram", (), "Time of one write of the journal."),
    Definition("mm_journal_free_bytes", "gauge", (), "Free space where the journal is kept."),
    # A venue
    Definition("mm_rate_limit_headroom_ratio", "gauge", (*_VENUE, "bucket"), "Share of a rate limit that is left."),
    Definition(
        "mm_clock_skew_seconds", "gauge", _VENUE, "Our clock less the venue's, the way of its message included."
    ),
    Definition(
        "mm_margin_headroom_ratio", "gauge", (*_VENUE, "asset"), "Share of the balance left if every order were filled."
    ),
    Definition("mm_throttled_total", "counter", (*_VENUE, "bucket"), "Times the venue asked to slow down."),
    Definition(
        "mm_dead_man_deadline_timestamp_seconds",
        "gauge",
        _VENUE,
        "When the venue cancels all unless its switch is armed again.",
    ),
    Definition(
        "mm_ws_bad_messages_total", "counter", (*_VENUE, "stream", "reason"), "Messages that could not be used."
    ),
    # A market: state
    Definition("mm_quoting", "gauge", _MARKET, "1 while an order of ours may rest on a side of this market."),
    Definition("mm_lockout", "gauge", _market("reason"), "1 while this keeps a side from being quoted or moved."),
    Definition("mm_lockout_seconds_total", "counter", _market("reason"), "Time a reason kept a side locked out."),
    Definition("mm_market_data_age_seconds", "gauge", _market("stream"), "Time since the last message of a stream."),
    Definition("mm_book_resyncs_total", "counter", _market("reason"), "Times a synchronised book was lost."),
    Definition("mm_best_price", "gauge", _market("side"), "Best price of the trusted book."),
    Definition("mm_quote_price", "gauge", _market("side"), "Price of the quote that works."),
    Definition("mm_reservation_price", "gauge", _MARKET, "Price the quotes are centred on."),
    Definition("mm_spread_quoted_ratio", "gauge", _MARKET, "Distance between our quotes over the mid."),
    Definition("mm_quote_uptime_seconds_total", "counter", _market("side"), "Time with a quote at the venue."),
    # A market: times
    Definition(
        "mm_tick_to_decision_seconds",
        "histogram",
        _MARKET,
        "From receiving the latest message to a changed decision.",
    ),
    Definition(
        "mm_decision_to_send_seconds", "histogram", _MARKET, "From a decision to its commands having been handed over."
    ),
    Definition("mm_order_ack_seconds", "histogram", _market("op"), "From releasing a command to the venue's answer."),
    # A market: orders and fills
    Definition("mm_orders_submitted_total", "counter", _market("side"), "New orders released to the venue."),
    Definition("mm_order_cancels_total", "counter", _market("reason"), "Cancels released to the venue."),
    Definition("mm_order_rejects_total", "counter", _market("reason"), "New orders and amends the venue rejected."),
    Definition("mm_orders_live", "gauge", _market("side", "state"), "Orders that may be alive."),
    Definition("mm_orders_unknown", "gauge", _MARKET, "Orders whose outcome is not known."),
    Definition("mm_unknown_oldest_seconds", "gauge", _MARKET, "Age of the oldest unknown outcome."),
    Definition("mm_fills_total", "counter", _market("side", "liquidity"), "Fills, each once."),
    Definition("mm_fill_base_quantity_total", "counter", _market("side"), "Size filled, base units."),
    Definition("mm_duplicate_fills_total", "counter", _MARKET, "Fills the venue told more than once."),
    Definition("mm_volume_quote_total", "counter", _market("side"), "Money of the fills."),
    Definition(
        "mm_spread_captured_quote_total", "counter", _market("side"), "Money made against the mid by fills inside it."
    ),
    Definition(
        "mm_markout_gain_quote_total",
        "counter",
        _market("horizon", "side"),
        "Money that fills had earned by the mid at a horizon, of those that had earned.",
    ),
    Definition(
        "mm_markout_loss_quote_total",
        "counter",
        _market("horizon", "side"),
        "Money that fills had lost by the mid at a horizon, of those that had lost.",
    ),
    Definition("mm_markout_samples_total", "counter", _market("horizon", "side"), "Fills whose markout is known."),
    Definition(
        "mm_adverse_selection_ratio",
        "gauge",
        _market("horizon", "side"),
        "Mean move of the mid against us from a fill to a horizon, over the price.",
    ),
    Definition(
        "mm_reconcile_mismatches_total",
        "counter",
        ("venue", "kind"),
        "Differences found between the venue's account and ours.",
    ),
    Definition(
        "mm_reconcile_last_success_timestamp_seconds",
        "gauge",
        ("venue",),
        "When the venue's account was last found to agree with ours.",
    ),
    # A market: position and money
    Definition("mm_position_base", "gauge", _MARKET, "Position, base units; negative is short."),
    Definition("mm_position_mean_abs_base", "gauge", _MARKET, "Mean size of the position over time, base units."),
    Definition("mm_position_limit_base", "gauge", _MARKET, "The larger of the position limits, base units."),
    Definition(
        "mm_worst_case_position_base", "gauge", _market("side"), "Position if every order of the side were filled."
    ),
    Definition("mm_pnl_quote", "gauge", _market("part"), "Profit and loss by part, in the settlement currency."),
    # A market: decisions
    Definition("mm_decisions_total", "counter", _market("side", "action", "reason"), "Decisions that changed."),
    Definition("mm_refusals_total", "counter", _market("reason"), "Intents the risk gate refused."),
    Definition("mm_commands_dropped_total", "counter", _market("reason"), "Approved commands that the outbox let go."),
    Definition(
        "mm_order_to_trade_ratio", "gauge", _MARKET, "Messages per fill in the last hour, where they are limited."
    ),
    Definition("mm_action_headroom_ratio", "gauge", _MARKET, "Share of the minute's actions that is left."),
)
