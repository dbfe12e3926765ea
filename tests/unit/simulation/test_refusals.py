"""What a simulated venue refuses beyond its filters, its rate limits, its fee tiers, and the funding it pays."""

import pytest

from mm_daemon.domain.capabilities import BucketKind, Capabilities, CommandClass
from mm_daemon.domain.events import (
    FundingPaid,
    FundingUpdate,
    MarkPriceUpdate,
    OrderAccepted,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderFilled,
    OrderRejected,
    RateLimited,
)
from mm_daemon.domain.money import from_pair
from mm_daemon.domain.orders import RejectKind, Side
from mm_daemon.simulation.fee_tiers import FeeTier, on_tier
from mm_daemon.simulation.models import MeasuredRow
from mm_daemon.simulation.policy import VenuePolicy, paper_capabilities
from mm_daemon.simulation.refusals import RateLimit, RejectRules, VenueLimits
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import MS, SYMBOL, VENUE, delta, instrument, snapshot, trade
from tests.simulated import Hand, amend, cancel, cancel_all, place

BUY, SELL = Side.BUY, Side.SELL
_ATTO = 10**18


def hand(policy: VenuePolicy) -> Hand:
    """Bids 1000 and asks 1001, 100 lots a level, at 1 ms; 5 ms there, 5 ms back."""
    contract = instrument(tick="1", lot="1", maker_fee_ppm=100, taker_fee_ppm=400)
    played = Hand(SimulatedVenue(VENUE, [contract], policy))
    played.market(snapshot(1, 1000, 1001, lots=100))
    return played


def charged(fill: OrderFilled) -> int:
    assert fill.fee is not None
    return from_pair(fill.fee)


def test_refusals_by_chance_are_seeded_and_leave_the_order_alone() -> None:
    """Certain refusals: a place is refused, an amend and a cancel are and the order lives on; no rules refuse none."""
    places = hand(VenuePolicy(rejects=RejectRules(place_chance=1.0)))
    places.send(10, place(1, BUY, 990, 5))
    places.until(50)
    (refused,) = places.of(OrderRejected)
    assert refused.kind is RejectKind.OTHER
    later = hand(VenuePolicy(rejects=RejectRules(amend_chance=1.0, cancel_chance=1.0)))
    later.send(10, place(1, BUY, 990, 5))
    later.send(20, amend(1, 989, 5))
    later.send(30, cancel(1))
    later.until(50)
    assert len(later.of(OrderAccepted)) == len(later.of(OrderAmendRejected)) == len(later.of(OrderCancelRejected)) == 1
    assert [order.ticks for order in later.venue.snapshot(50 * MS).orders] == [990]

    def history(seed: int) -> list[int]:
        some = hand(VenuePolicy(rejects=RejectRules(place_chance=0.5), seed=seed))
        for number in range(40):
            some.send(10 + number, place(1 + number, BUY, 990, 5))
        some.until(100)
        return [int(event.client_id) for event in some.of(OrderRejected)]

    assert history(1) == history(1) != history(2)
    assert 8 < len(history(1)) < 32


def test_refusals_by_rule() -> None:
    """Too many open orders, a price too far from the market, a position that needs too much margin."""
    rules = RejectRules(max_open_orders=2, price_band_bps=200, max_exposure=15_000)
    ruled = hand(VenuePolicy(rejects=rules))
    ruled.send(10, place(1, BUY, 990, 10), place(2, BUY, 970, 1), place(3, BUY, 990, 6), place(4, SELL, 1001, 10))
    ruled.send(20, place(5, BUY, 990, 1), amend(1, 970, 10), cancel(1))
    ruled.until(50)
    refused = {int(event.client_id): event.kind for event in ruled.of(OrderRejected)}
    assert refused == {2: RejectKind.INVALID, 3: RejectKind.INSUFFICIENT_MARGIN, 5: RejectKind.OTHER}
    assert [event.kind for event in ruled.of(OrderAmendRejected)] == [RejectKind.INVALID]
    assert len(ruled.of(OrderCanceled)) == 1


def test_a_window_takes_so_many_in_any_period() -> None:
    """Counted at arrival: the third within a second is refused with the time to wait; cancels are free or not."""
    limited = hand(VenuePolicy(rate_limits=(RateLimit(name="orders", capacity=2, period_ms=1000),)))
    limited.send(10, *(place(number, BUY, 990, 5) for number in (1, 2, 3)), cancel(1))
    limited.until(50)
    (refused,) = limited.of(OrderRejected)
    assert (refused.client_id, refused.kind) == (3, RejectKind.RATE_LIMITED)
    (told,) = limited.of(RateLimited)
    assert (told.bucket, told.retry_after_ms) == ("orders", 1000)
    assert len(limited.of(OrderCanceled)) == 1
    limited.send(1010, place(4, BUY, 990, 5))
    limited.until(1100)
    assert len(limited.of(OrderAccepted)) == 3
    strict = hand(VenuePolicy(rate_limits=(RateLimit(name="all", capacity=2, period_ms=1000, cancels=True),)))
    strict.send(10, place(1, BUY, 990, 5), amend(1, 989, 5), cancel(1), cancel_all())
    strict.until(50)
    assert [event.kind for event in strict.of(OrderCancelRejected)] == [RejectKind.RATE_LIMITED]
    assert len(strict.of(RateLimited)) == 2
    assert not strict.of(OrderCanceled)


def test_a_token_bucket_fills_evenly() -> None:
    """Two a second: after both are spent, half a second brings one back."""
    limits = VenueLimits([RateLimit(name="t", kind="token", capacity=2, period_ms=1000).bucket()])
    assert limits.refusal(place(1, BUY, 1, 1), 0) is None
    assert limits.refusal(place(2, BUY, 1, 1), 0) is None
    assert limits.refusal(place(3, BUY, 1, 1), 100 * MS) == ("t", 400)
    assert limits.refusal(place(3, BUY, 1, 1), 500 * MS) is None
    assert limits.refusal(place(4, BUY, 1, 1), 900 * MS) == ("t", 100)


def test_the_outbox_paces_by_the_limits_that_the_venue_refuses_by() -> None:
    """One definition for both: the buckets of a connector and those of the configuration."""
    policy = VenuePolicy(rate_limits=(RateLimit(name="orders", kind="token", capacity=10, period_ms=2000),))
    (bucket,) = paper_capabilities(policy, Capabilities()).buckets
    assert (bucket.name, bucket.kind, bucket.capacity, bucket.period_ms) == ("orders", BucketKind.TOKEN, 10, 2000)
    assert bucket.cost(CommandClass.PLACE, 3) == 3
    assert bucket.cost(CommandClass.CANCEL, 1) == 0


def test_fees_fall_with_the_volume() -> None:
    """The first fill is charged by the tier of the volume before, the next by what it became; the contract says the
    tier that an account begins at.
    """
    tiers = (
        FeeTier(from_volume=5_000, maker_bps=-0.5, taker_bps=3.0),
        FeeTier(from_volume=1_000, maker_bps=2.0, taker_bps=4.0),
    )
    traded = hand(VenuePolicy(fee_tiers=tiers, fee_tier_volume=1_000))
    traded.send(10, place(1, BUY, 1001, 4, post_only=False, ioc=True), place(2, SELL, 1000, 2, post_only=False))
    traded.until(50)
    first, second = traded.of(OrderFilled)
    assert charged(first) == 4 * 1001 * 400 * _ATTO // 10**6
    assert charged(second) == 2 * 1000 * 300 * _ATTO // 10**6
    contract = instrument(maker_fee_ppm=100, taker_fee_ppm=400)
    assert on_tier(contract, tiers, 999) == contract
    assert on_tier(contract, tiers, 9_999).maker_fee_ppm == -50


@pytest.mark.parametrize("mark", [True, False])
def test_funding_is_paid_when_it_is_due(mark: bool) -> None:
    """At the rate told last before, on the position of then, once; at the venue's mark, or the mid where it says
    none. Longs pay a positive rate.
    """
    funded = hand(VenuePolicy(feed_floor_ms=0.0))
    funded.send(10, place(1, BUY, 1001, 4, post_only=False, ioc=True))
    due_ns = 1000 * MS
    funded.market(FundingUpdate(SYMBOL, 50 * MS, 50 * MS, 10**9, due_ns, 8 * 3600 * 10**9))
    if mark:
        funded.market(MarkPriceUpdate(SYMBOL, 60 * MS, 60 * MS, 2004))
    funded.market(FundingUpdate(SYMBOL, 70 * MS, 70 * MS, 2 * 10**9, due_ns, 8 * 3600 * 10**9))
    funded.market(trade(999, SELL, 1000, 1))
    assert not funded.of(FundingPaid)
    funded.market(FundingUpdate(SYMBOL, 1001 * MS, 1001 * MS, 5 * 10**9, due_ns, 8 * 3600 * 10**9))
    funded.market(delta(1002, bids=((999, 5),), update_id=3))
    funded.until(1100)
    (paid,) = funded.of(FundingPaid)
    half_ticks = 2004 if mark else 2001
    assert from_pair(paid.amount) == -4 * half_ticks * _ATTO * 2 * 10**9 // (2 * 10**12)
    assert paid.ts_local_ns == 1006 * MS
    funded.market(FundingUpdate(SYMBOL, 1200 * MS, 1200 * MS, 10**9, 3000 * MS, 8 * 3600 * 10**9))
    funded.market(trade(4000, SELL, 1000, 1))
    funded.until(4100)
    assert len(funded.of(FundingPaid)) == 2


def test_latencies_follow_what_was_measured() -> None:
    """Between two measurements on the line, before the first and after the last as there."""
    rows = (MeasuredRow(0, 10 * MS, 2 * MS), MeasuredRow(100 * MS, 20 * MS, 4 * MS))
    measured = hand(VenuePolicy(latency_rows=rows, feed_floor_ms=0.0))
    measured.send(50, place(1, BUY, 990, 5))
    (accepted,) = measured.until(300)
    arrival_ms = 50 + 15
    assert accepted.ts_local_ns == round((arrival_ms + 2 + 2 * arrival_ms / 100) * MS)
    measured.send(400, place(2, BUY, 990, 5))
    (accepted,) = measured.until(600)
    assert accepted.ts_local_ns == 424 * MS
    assert paper_capabilities(VenuePolicy(latency_rows=rows), Capabilities()).ack_timeout_ms == 3000
    assert VenuePolicy(latency_rows=(MeasuredRow(0, 1, 1, 7), MeasuredRow(5, 1, 1, 3))).floor_ns == 3
