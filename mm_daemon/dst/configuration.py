"""The daemon's configuration file of a scenario: models, ladders, limits and guards, a part of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.rng import Rng
from mm_daemon.dst.chance import chance, pick

VENUE = Venue("ref")

Document = dict[str, Any]
"""A configuration file as plain values."""


def document_of(rng: Rng, instruments: Sequence[Instrument]) -> Document:
    return {
        "version": 1,
        "mode": "live",
        "control": False,
        "log": {"format": "json", "level": "error"},
        "http": {"port": None},
        "seed": rng.below(1000),
        "runtime": {
            "snapshot_interval_s": None,  # gives way by the wall's clock, which is no part of a seed
            "uvloop": False,
            "summary_interval_s": 3600,
            "stop_timeout_s": pick(rng, (2, 5)),
            "start_timeout_s": 60,
            "loop_stall_ms": 500,
            "queue_ttl_ms": pick(rng, (10, 250, 250, 2000)),
        },
        "journal": {"segment_mb": 1, "disk_keep_free_mb": 0},
        "risk": _risk(rng),
        "orders": _some_of(rng, _ORDER_RULES),
        "reconcile": _some_of(rng, _RECONCILE_RULES),
        "venues": {VENUE: {"connector": "sim"}},
        "markets": [{"venue": VENUE, "symbol": each.symbol, **_market(rng, each)} for each in instruments],
    }


def _risk(rng: Rng) -> Document:
    kind = rng.below(4)
    risk: Document = {"max_drawdown": 100000, "max_loss": 100000, "reject_storm": None, "max_contradictions": None}
    if kind < 2:
        risk["max_loss" if kind else "max_drawdown"] = pick(rng, (0.05, 0.3, 2))
    return risk | _some_of(rng, _RISK_FEATURES)


def _market(rng: Rng, instrument: Instrument) -> Document:
    order = pick(rng, (3, 5, 10, 20))
    most = order * pick(rng, (1, 2, 3, 5, 8)) + pick(rng, (0, 0, 1, 2))
    keys: Document = {
        "order_size": _size(order, instrument),
        "max_position": _size(most, instrument),
        "min_position": 0 if chance(rng, 10) else _size(-most, instrument),
        "model": pick(rng, ("fixed_spread",) * 6 + ("glft", "glft", "ho_stoll", "avellaneda_stoikov")),
        "half_spread_bps": pick(rng, (1, 2, 4, 8)),
        "volatility_half_life_s": 5,
        "max_skew_bps": pick(rng, (5, 20)),
        "levels": pick(rng, (1, 1, 2, 3, 4)),
        "level_step_bps": pick(rng, (0.4, 1, 2, 4)),
        "decide_interval_ms": pick(rng, (0, 50, 100, 400)),
        "fill_lockout_ms": pick(rng, (0, 50, 400)),
        "order_lockout_ms": pick(rng, (0, 20, 100, 300)),
        "reject_lockout_ms": pick(rng, (0, 100, 1000)),
        "lockout_action": pick(rng, ("hold", "hold", "withdraw")),
        "max_book_age_ms": pick(rng, (300, 1000, 4000)),
        "collar_bps": pick(rng, (10, 60, 500, 500)),
        "size_tolerance": pick(rng, (0.0, 0.25)),
        "improve_touch": chance(rng, 60),
    }
    if keys["model"] == "fixed_spread" and chance(rng, 50):
        del keys["half_spread_bps"]
    keys |= _some_of(rng, _FEATURES)
    least = order * keys.get("level_size_ratio", 1) ** (keys["levels"] - 1)
    if least < instrument.min_lots + 1:
        keys["levels"] = 1
    return keys


def _some_of(rng: Rng, features: Sequence[Mapping[str, tuple[Any, ...]]]) -> Document:
    keys: Document = {}
    for feature in features:
        if chance(rng, 15):
            keys |= {key: pick(rng, values) for key, values in feature.items()}
    return keys


_ORDER_RULES: tuple[Mapping[str, tuple[Any, ...]], ...] = (
    {"unknown_withdraw_ms": (500, 2000)},
    {"action_ttl_ms": (500, 2000)},
    {"cancel_retry_ms": (20, 1000)},
)

_RECONCILE_RULES: tuple[Mapping[str, tuple[Any, ...]], ...] = (
    {"interval_s": (1, 3)},
    {"interval_s": (1, 3)},
    {"on_orphan": ("adopt",)},
    {"on_orphan": ("adopt",)},
    {"on_foreign_order": ("cancel", "halt")},
    {"on_foreign_order": ("cancel", "halt")},
    {"position_adopt": ("venue",)},
)

_RISK_FEATURES: tuple[Mapping[str, tuple[Any, ...]], ...] = (
    {"flatten_on_kill": (True,)},
    {"max_notional": (20, 100)},
    {"max_orders_per_second": (2, 5, 20)},
    {"reject_storm": (2, 6)},
    {"max_contradictions": (0, 1)},
    {"max_clock_skew_ms": (50, 500), "clock_skew_samples": (1, 2)},
    {"min_margin_headroom": (0.2, 0.5)},
)

_FEATURES: tuple[Mapping[str, tuple[Any, ...]], ...] = (
    {"actions_per_minute": (10, 40, 200)},
    {"size_skew": (0.5, 1.0)},
    {"stop_loss_bps": (2, 5, 20)},
    {"max_position_age_s": (0.5, 3)},
    {"inventory_exit_at": (0.5, 1.0)},
    {"inventory_skip_at": (0.7, 1.0)},
    {"day_loss_stop": (0.02, 0.2)},
    {"volatility_stop": (0.5, 5), "volatility_widen": (0.2, 0.4)},
    {"toxic_cool_down_ms": (100, 1000), "toxic_trade_z": (1, 2), "toxic_flow_times": (0.5, 3)},
    {"blackouts": (["22:13-22:14"], ["22:14-22:15"])},
    {"sessions": (["22:13-22:14"], ["22:14-23:00"])},
    {"tolerance_frac": (0.0001, 0.0005)},
    {"calibration": ("market",), "momentum_beta": (0.5,)},
    {"flatten_slippage_bps": (0, 100)},
    {"level_size_ratio": (0.6, 1.0)},
    {"max_order_to_trade": (2, 10)},
    {"quote_min_life_ms": (50, 200)},
    {"quote_max_age_s": (0.3, 2)},
    {"fill_burst": (1, 3), "fill_burst_pause_ms": (200, 2000)},
    {"decide_interval_min_ms": (0,)},
    {"size_depth_share": (0.1, 0.5)},
    {"max_order_notional": (40, 100)},
    {"inventory_widening": (2, 5)},
)


def _size(lots: int, instrument: Instrument) -> float:
    return float(instrument.size(lots))
