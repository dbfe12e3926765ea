"""What one seed stands for: a venue with its contracts and capabilities, a configuration, and which faults there are.

Everything is drawn from the seed's own stream, so that the same seed is the same scenario on every machine. Scenarios
are meant to be unlike each other: each has a part of the features and a part of the faults, some of them often.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from mm_daemon.domain.capabilities import AmendQuantity, Bucket, BucketKind, Capabilities, CommandClass, Validity
from mm_daemon.domain.instrument import FixedTick, Instrument, InstrumentId, PriceGrid, SignificantFigures, Venue
from mm_daemon.domain.rng import Rng

VENUE = Venue("ref")
START_NS = 1_700_000_000 * 10**9
"""14 November 2023, 22:13:20 UTC: sessions and blackouts of the scenarios lie around it."""
START_TICKS = 10_000

T = TypeVar("T")

Document = dict[str, Any]
"""A configuration file as plain values."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """`actions` and `fates` are weights: of what the world does next, and of what becomes of a batch of commands."""

    seed: int
    instruments: tuple[Instrument, ...]
    capabilities: Capabilities
    document: Document
    pause_ms: int
    """Mean time between two things the world does."""
    latency_ms: int
    """One way, least; a late message takes longer."""
    late_ms: int
    actions: dict[str, int]
    fates: dict[str, int]
    lost_reports: int
    """How many of a thousand reports never arrive."""
    late_reports: int
    double_reports: int
    reorders: bool
    """Commands and reports overtake each other."""
    restless: int
    """Ticks that the price moves at most from one change to the next."""
    segment_kib: int | None
    """Size of the journal's segments; None: as the configuration says."""
    names_cum: bool
    """The venue's reports of a death name the filled size."""
    tells_fees: bool
    deaths: int
    """In how many of a hundred lives the process dies in the middle of something."""
    cuts: bool
    """The power is cut while orders are under way, again and again."""
    bad_disks: int
    """In how many of a hundred lives the disk fails."""
    rogue: bool
    """A strategy inside the core asks the gate for whatever it likes."""
    attentive: bool
    """A person looks at the venue whenever the outcome of a command is not known."""
    meddled: bool
    """Somebody else uses our credentials."""
    outbox_capacity: int | None
    """With how many commands an outbox is full; None: as ever."""

    @property
    def fresh(self) -> bool:
        """Whether an amend makes another order."""
        return self.capabilities.amend_quantity is AmendQuantity.FRESH

    @property
    def ids(self) -> tuple[InstrumentId, ...]:
        return tuple(instrument.id for instrument in self.instruments)


def scenario(seed: int) -> Scenario:
    """The scenario of a seed."""
    rng = Rng(seed).split("scenario")
    plans = Rng(seed).split("plans")
    rogue, meddled, doubtful = chance(plans, 30), chance(plans, 30), chance(plans, 30)
    instruments = _instruments(rng)
    in_process = chance(rng, 25)
    latency_ms = pick(rng, (1, 5, 20, 60))
    cuts = chance(plans, 5)
    in_process = in_process and not (doubtful or cuts)
    late_ms = pick(rng, (50, 100)) if in_process else pick(rng, (50, 200, 800, 2500))
    late_reports = pick(rng, (0, 20, 100))
    slow = (doubtful or meddled) and not in_process and chance(plans, 60)
    if cuts:
        late_ms = 2500
    if slow:  # what is in doubt stays so for a while
        late_ms, late_reports = 2500, 200
    capabilities = _capabilities(rng, in_process=in_process, latest_ms=latency_ms + 2 * late_ms + 1)
    if slow:
        capabilities = msgspec.structs.replace(capabilities, ack_timeout_ms=pick(plans, (300, 300, 3000)))
    document = _document(rng, instruments)
    fates = {"arrives": 100} if in_process else _fates(rng)
    if doubtful or (meddled and not in_process and chance(plans, 50)):
        fates = _DOUBTFUL
    if cuts:
        fates = _LATE
    lost_reports = pick(rng, (0, 0, 2, 10))
    if meddled and chance(plans, 70):  # what waits long in the outbox can be meddled with before it leaves
        capabilities = msgspec.structs.replace(capabilities, buckets=_TIGHT)
        document["runtime"]["queue_ttl_ms"] = 2000
    if rogue and chance(plans, 20):
        document["risk"]["min_margin_headroom"] = 0.3
    restless = pick(rng, (2, 3, 3, 8))
    if meddled and chance(plans, 60):  # what was meddled with is still there when accounts are compared
        document["reconcile"]["interval_s"] = 1
        restless = 1
    if meddled or doubtful:
        lost_reports = pick(plans, (10, 40, 100))
    if chance(plans, 3):  # numbers from which no price follows
        document["markets"][0].pop("half_spread_bps", None)
        document["markets"][0] |= {"model": "glft", "gamma": 1000, "k": 1e-300}
    return Scenario(
        seed=seed,
        instruments=instruments,
        capabilities=capabilities,
        document=document,
        pause_ms=pick(rng, (10, 20, 40, 80)),
        latency_ms=latency_ms,
        late_ms=late_ms,
        actions=_actions(rng)
        | (_MEDDLING if meddled else {})
        | (_SEES_TO_IT if doubtful else {})
        | (_TEMPTING if rogue else {}),
        fates=fates,
        lost_reports=lost_reports,
        late_reports=late_reports,
        double_reports=pick(rng, (0, 20, 100)),
        reorders=not in_process and chance(rng, 40),
        restless=restless,
        segment_kib=pick(rng, (None, None, 8, 40)),
        names_cum=chance(rng, 80),
        tells_fees=chance(rng, 85),
        deaths=80 if cuts or (doubtful and chance(plans, 60)) else pick(rng, (0, 50, 80)),
        cuts=cuts,
        bad_disks=pick(rng, (0, 0, 30)),
        rogue=rogue,
        attentive=doubtful and chance(plans, 60),
        meddled=meddled,
        outbox_capacity=pick(plans, (1, 2, 4)) if chance(plans, 10) else None,
    )


_MEDDLING: dict[str, int] = {
    "order of ours trimmed": 20,
    "order of ours moved": 20,
    "order of ours amended by hand": 20,
    "amend by hand refused": 40,
    "cancel by hand refused": 8,
    "order of ours asked about by hand": 10,
    "order under an id of ours": 40,
    "report told again": 40,
}
_SEES_TO_IT: dict[str, int] = {"resolve": 100}
_TEMPTING: dict[str, int] = {"configuration changed": 16, "balance": 8}
_DOUBTFUL: dict[str, int] = {
    "arrives": 770,
    "command lost, no answer": 60,
    "connection lost after the command": 30,
    "time-out after the venue took it": 70,
    "command late": 40,
    "venue refuses": 30,
}
"""What becomes of a thousand batches where little is certain."""
_LATE: dict[str, int] = {"arrives": 600, "command late": 400}


def pick(rng: Rng, choices: Sequence[T]) -> T:
    return choices[rng.below(len(choices))]


def chance(rng: Rng, percent: int) -> bool:
    return rng.below(100) < percent


def weighted(rng: Rng, weights: Mapping[str, int], total: int) -> str:
    """One of the names, by weight; `total` is their sum."""
    drawn = rng.below(total)
    for name, weight in weights.items():
        drawn -= weight
        if drawn < 0:
            return name
    raise AssertionError("weights do not add up to their total")


def _instruments(rng: Rng) -> tuple[Instrument, ...]:
    symbols = ("BTC-USDT", "ETH-USDT")[: 1 if chance(rng, 60) else 2]
    return tuple(
        Instrument(
            venue=VENUE,
            symbol=symbol,
            base=symbol[:3],
            quote="USDT",
            tick=Decimal("0.1"),
            lot=Decimal("0.01"),
            grid=pick(rng, _GRIDS),
            min_lots=pick(rng, (1, 1, 3)),
            max_lots=pick(rng, (None, None, 60)),
            min_notional=pick(rng, (Decimal(0), Decimal(5), Decimal(30))),
            maker_fee_ppm=pick(rng, (-50, 0, 20, 100)),
            taker_fee_ppm=pick(rng, (0, 350)),
        )
        for symbol in symbols
    )


def _capabilities(rng: Rng, *, in_process: bool, latest_ms: int) -> Capabilities:
    """`latest_ms`: how long after it was sent a command may take effect."""
    amend = chance(rng, 70)
    fresh = amend and chance(rng, 50)
    validity = pick(rng, (Validity.DELAY, Validity.DELAY, Validity.EXPIRES_AT, Validity.NONCE))
    silence_ms = pick(rng, (None, None, 300, 2000))
    return Capabilities(
        amend=amend,
        amend_quantity=AmendQuantity.FRESH if fresh else AmendQuantity.TOTAL,
        amend_new_venue_id=fresh,
        batch_max=pick(rng, (1, 3, 10)),
        ack_timeout_ms=pick(rng, (300, 1000, 3000)),
        buckets=_buckets(rng),
        dead_man_floor_ms=silence_ms,
        dead_man_ms=silence_ms,
        validity=validity,
        validity_margin_ms=pick(rng, (0, 500)),
        d_max_ms=latest_ms,
        fence=validity is Validity.NONCE or chance(rng, 10),
        simulated=in_process,
    )


def _buckets(rng: Rng) -> tuple[Bucket, ...]:
    if chance(rng, 55):
        return ()
    costs = {CommandClass.PLACE: 1, CommandClass.AMEND: 1, CommandClass.REDUCE: 1}
    if chance(rng, 50):
        costs |= {CommandClass.CANCEL: 1, CommandClass.CANCEL_ALL: 1}
    return (
        Bucket(
            name="orders",
            kind=pick(rng, (BucketKind.WINDOW, BucketKind.TOKEN)),
            capacity=pick(rng, (8, 20, 60)),
            period_ms=pick(rng, (1000, 5000)),
            costs=costs,
            cancels_exempt=chance(rng, 50),
        ),
    )


def _document(rng: Rng, instruments: Sequence[Instrument]) -> Document:
    return {
        "version": 1,
        "mode": "live",
        "control": False,
        "log": {"format": "json", "level": "error"},
        "http": {"port": None},
        "seed": rng.below(1000),
        "runtime": {
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


_GRIDS: tuple[PriceGrid, ...] = (FixedTick(), FixedTick(), SignificantFigures(4, 1))

_TIGHT = (
    Bucket(
        name="orders",
        kind=BucketKind.WINDOW,
        capacity=6,
        period_ms=3000,
        costs={CommandClass.PLACE: 1, CommandClass.AMEND: 1, CommandClass.REDUCE: 1},
        cancels_exempt=True,
    ),
)


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


_USUAL = {"move": 420, "trade": 330, "quiet": 40}

_SOMETIMES: Mapping[str, tuple[int, ...]] = {
    "price jump": (2, 8),
    "book gap": (2, 8),
    "book side empty": (2, 6),
    "book crossed": (2,),
    "book stale": (2, 5),
    "mark": (5,),
    "balance": (5,),
    "venue time": (10,),
    "venue time astray": (3,),
    "funding": (3,),
    "order dies at the venue": (3, 10),
    "foreign order": (2,),
    "foreign fill": (1, 3),
    "position changed without a fill": (1,),
    "disconnect": (1, 4),
    "half-open link": (1, 3),
    "session fails": (1, 3),
    "ban": (1, 2),
    "rate limit told": (2, 5),
    "venue restart": (1, 3),
    "market halted": (1, 2),
    "grid changed": (1,),
    "process stalled": (1, 2),
    "wall clock stepped": (2,),
    "pause": (2, 4),
    "disable": (2, 4),
    "flatten": (1, 4),
    "cancel all": (1, 3),
    "kill": (1, 2),
    "configuration changed": (1, 4),
    "stop asked": (1, 3),
    "resolve": (2, 5),
    "adopt": (2,),
}


def _actions(rng: Rng) -> dict[str, int]:
    some = {name: pick(rng, weights) for name, weights in _SOMETIMES.items() if chance(rng, 40)}
    return {**_USUAL, **some}


_BAD_FATES = (
    "command lost, no answer",
    "connection lost before the command",
    "connection lost after the command",
    "time-out before the venue",
    "time-out after the venue took it",
    "command late",
    "rate limited",
    "venue refuses",
)


def _fates(rng: Rng) -> dict[str, int]:
    """Of a thousand batches."""
    bad = {name: pick(rng, (5, 30)) for name in _BAD_FATES if chance(rng, 45)}
    return {"arrives": 1000 - sum(bad.values()), **bad}
