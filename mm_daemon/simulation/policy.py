"""What a person assumes about a venue whose orders are simulated, and what such a venue can then do.

The keys of `paper` in the configuration; paper mode and backtests build a `SimulatedVenue` from them.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.simulation.desk import desk_capabilities
from mm_daemon.simulation.faults import FaultPlan
from mm_daemon.simulation.fee_tiers import FeeTier
from mm_daemon.simulation.models import NS_PER_MS, MeasuredRow, QueueModel
from mm_daemon.simulation.refusals import RateLimit, RejectRules

_ACK_TIMEOUT_MS = 3000

_Milliseconds = Annotated[float, Meta(ge=0, le=60000)]


class VenuePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is assumed about the venue and the way to it. The defaults are careful ones."""

    entry_latency_ms: Annotated[
        float, Meta(ge=0, le=60000, description="time from the release of a command to its arrival, ms")
    ] = 5.0
    response_latency_ms: Annotated[
        float, Meta(ge=0, le=60000, description="time from a match or reply at the venue to our learning of it, ms")
    ] = 5.0
    entry_samples_ms: Annotated[
        tuple[_Milliseconds, ...], Meta(description="measured entry latencies to draw from instead, ms")
    ] = ()
    response_samples_ms: Annotated[
        tuple[_Milliseconds, ...], Meta(description="measured response latencies to draw from instead, ms")
    ] = ()
    latency_file: (
        Annotated[
            Path,
            Meta(
                description="CSV of measured latencies by time, used instead, on straight lines between them: time_ns, "
                "entry_ms, response_ms and perhaps feed_ms; `mm-daemon journal latencies` makes one"
            ),
        ]
        | None
    ) = None
    feed_floor_ms: Annotated[
        float, Meta(ge=0, le=60000, description="feed latency of the fastest market event that was received, ms")
    ] = 2.0
    feed_latency_ms: (
        Annotated[
            float,
            Meta(
                ge=0,
                le=60000,
                description="backtests: time from a market event at the venue to our learning of it, ms; null = as "
                "recorded",
            ),
        ]
        | None
    ) = None
    feed_samples_ms: Annotated[
        tuple[_Milliseconds, ...], Meta(description="backtests: measured feed latencies to draw from instead, ms")
    ] = ()
    queue_model: Annotated[
        QueueModel, Meta(description="where cancelled lots stood in the queue; risk_averse: always behind us")
    ] = QueueModel.RISK_AVERSE
    queue_exponent: Annotated[
        float, Meta(gt=0, le=20, description="n of the power queue models; larger takes cancels from the longer part")
    ] = 1.0
    decrease_keeps_place: Annotated[
        bool, Meta(description="a pure size decrease by amend keeps the place in the queue")
    ] = False
    rejects: (
        Annotated[RejectRules, Meta(description="what the venue refuses beside its own filters; null = nothing")] | None
    ) = None
    rate_limits: Annotated[
        tuple[RateLimit, ...],
        Meta(description="limits on requests, for venues whose connector knows none: paced by, and refused beyond"),
    ] = ()
    fee_tiers: Annotated[
        tuple[FeeTier, ...], Meta(description="fees by volume, in place of the contract's; [] = the contract's")
    ] = ()
    fee_tier_volume: Annotated[
        float, Meta(ge=0, description="volume of the month before, quote currency: what fee_tiers begin with")
    ] = 0.0
    faults: (
        Annotated[FaultPlan, Meta(description="what goes wrong, to see how it is dealt with; null = nothing")] | None
    ) = None
    seed: Annotated[int, Meta(ge=0, description="seed of the latency draws")] = 1
    latency_rows: tuple[MeasuredRow, ...] = ()
    """What `latency_file` says, in order of time: read with the configuration."""

    @property
    def floor_ns(self) -> int:
        """Feed latency of the fastest market event: where it is not as recorded, the least that is assumed."""
        measured = [row.feed_ns for row in self.latency_rows if row.feed_ns is not None]
        if measured:
            return min(measured)
        if self.feed_samples_ms:
            return round(min(self.feed_samples_ms) * NS_PER_MS)
        return round((self.feed_floor_ms if self.feed_latency_ms is None else self.feed_latency_ms) * NS_PER_MS)


NOT_KEYS = frozenset({"seed", "latency_rows"})
"""Fields that are not written in a configuration."""


def paper_capabilities(policy: VenuePolicy, real: Capabilities) -> Capabilities:
    """What a `SimulatedVenue` under this policy can do, at the pace of the real venue: paper asks no more than live.

    The ack timeout leaves room for the slowest answer.
    """
    slowest = max(policy.entry_latency_ms, *policy.entry_samples_ms, 0.0) + max(
        policy.response_latency_ms, *policy.response_samples_ms, 0.0
    )
    if policy.latency_rows:
        rows = policy.latency_rows
        slowest = (max(row.entry_ns for row in rows) + max(row.response_ns for row in rows)) / NS_PER_MS
    own = desk_capabilities(
        decrease_keeps_place=policy.decrease_keeps_place,
        ack_timeout_ms=max(_ACK_TIMEOUT_MS, round(4 * slowest)),
        faults=policy.faults,
    )
    buckets = (*real.buckets, *(limit.bucket() for limit in policy.rate_limits))
    return msgspec.structs.replace(
        own, batch_max=real.batch_max, buckets=buckets, exchange=real.exchange, recorded=real.recorded
    )
