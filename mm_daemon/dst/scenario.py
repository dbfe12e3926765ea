"""What one seed stands for: a venue with its contracts and capabilities, a configuration, and which faults there are.

Everything is drawn from the seed's own stream, so that the same seed is the same scenario on every machine. Scenarios
are meant to be unlike each other: each has a part of the features and a part of the faults, some of them often.
"""

from decimal import Decimal

import msgspec

from mm_daemon.domain.capabilities import AmendQuantity, Bucket, BucketKind, Capabilities, CommandClass, Validity
from mm_daemon.domain.instrument import FixedTick, Instrument, InstrumentId, PriceGrid, SignificantFigures
from mm_daemon.domain.rng import Rng
from mm_daemon.dst import capricious
from mm_daemon.dst.chance import chance, pick
from mm_daemon.dst.configuration import VENUE, Document, document_of
from mm_daemon.dst.weights import DOUBTFUL, LATE, MEDDLING, SEES_TO_IT, TEMPTING, actions_of, fates_of

START_NS = 1_700_000_000 * 10**9
"""14 November 2023, 22:13:20 UTC: sessions and blackouts of the scenarios lie around it."""
START_TICKS = 10_000


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
    rogue, meddled, doubtful = chance(plans, 30), chance(plans, 35), chance(plans, 30)
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
    document = document_of(rng, instruments)
    fates = {"arrives": 100} if in_process else fates_of(rng)
    if doubtful or (meddled and not in_process and chance(plans, 50)):
        fates = DOUBTFUL
    if cuts:
        fates = LATE
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
    if chance(plans, 3):  # numbers from which no price follows, as soon as fills are seen to move the market
        document["markets"][0].pop("half_spread_bps", None)
        document["markets"][0] |= {"model": "glft", "k": 300, "impact_times": 10, "max_impact_bps": 1000}
    elif chance(Rng(seed).split("whims"), 3):
        document["markets"][0].pop("half_spread_bps", None)
        document["markets"][0] |= {"model": capricious.NAME, "k": 2}
    return Scenario(
        seed=seed,
        instruments=instruments,
        capabilities=capabilities,
        document=document,
        pause_ms=pick(rng, (10, 20, 40, 80)),
        latency_ms=latency_ms,
        late_ms=late_ms,
        actions=actions_of(rng)
        | (MEDDLING if meddled else {})
        | (SEES_TO_IT if doubtful else {})
        | (TEMPTING if rogue else {}),
        fates=fates,
        lost_reports=lost_reports,
        late_reports=late_reports,
        double_reports=pick(rng, (0, 20, 100)),
        reorders=not in_process and chance(rng, 40),
        restless=restless,
        segment_kib=pick(rng, (None, None, 8, 40)),
        names_cum=chance(rng, 80),
        tells_fees=chance(rng, 85),
        deaths=80 if cuts or doubtful else pick(rng, (0, 50, 80)),
        cuts=cuts,
        bad_disks=pick(rng, (0, 0, 30)),
        rogue=rogue,
        attentive=doubtful,
        meddled=meddled,
        outbox_capacity=pick(plans, (1, 2, 4)) if chance(plans, 10) else None,
    )


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
