"""What a person assumes about a venue whose orders are simulated, and what such a venue can then do.

The keys of `paper` in the configuration; paper mode and backtests build a `SimulatedVenue` from them.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.simulation.desk import desk_capabilities
from mm_daemon.simulation.faults import FaultPlan
from mm_daemon.simulation.models import QueueModel

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
    feed_floor_ms: Annotated[
        float, Meta(ge=0, le=60000, description="feed latency of the fastest market event, ms")
    ] = 2.0
    queue_model: Annotated[
        QueueModel, Meta(description="where cancelled lots stood in the queue; risk_averse: always behind us")
    ] = QueueModel.RISK_AVERSE
    queue_exponent: Annotated[
        float, Meta(gt=0, le=20, description="n of the power queue models; larger takes cancels from the longer part")
    ] = 1.0
    decrease_keeps_place: Annotated[
        bool, Meta(description="a pure size decrease by amend keeps the place in the queue")
    ] = False
    faults: (
        Annotated[FaultPlan, Meta(description="what goes wrong, to see how it is dealt with; null = nothing")] | None
    ) = None
    seed: Annotated[int, Meta(ge=0, description="seed of the latency draws")] = 1


def paper_capabilities(policy: VenuePolicy, real: Capabilities) -> Capabilities:
    """What a `SimulatedVenue` under this policy can do, at the pace of the real venue: paper asks no more than live.

    The ack timeout leaves room for the slowest answer.
    """
    slowest = max(policy.entry_latency_ms, *policy.entry_samples_ms, 0.0) + max(
        policy.response_latency_ms, *policy.response_samples_ms, 0.0
    )
    own = desk_capabilities(
        decrease_keeps_place=policy.decrease_keeps_place,
        ack_timeout_ms=max(_ACK_TIMEOUT_MS, round(4 * slowest)),
        faults=policy.faults,
    )
    return msgspec.structs.replace(
        own, batch_max=real.batch_max, buckets=real.buckets, exchange=real.exchange, recorded=real.recorded
    )
