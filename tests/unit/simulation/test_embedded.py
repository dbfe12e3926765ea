"""The embedded market: opens at once, stays tight and two-sided, trades, and treats our orders like anybody's."""

from decimal import Decimal

import pytest

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import (
    BookDelta,
    BookSnapshot,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    PublicTrade,
)
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side
from mm_daemon.simulation.embedded import EmbeddedMarket, EmbeddedSettings, EmbeddedSymbol
from mm_daemon.simulation.flow import FlowSettings
from mm_daemon.testkit.builders import MS, SYMBOL, VENUE, instrument
from tests.simulated import Hand, amend, cancel_all, place

BUY, SELL = Side.BUY, Side.SELL


def _market(seed: int = 1, *, symbols: tuple[str, ...] = ("BTC-USDT",), flow: FlowSettings | None = None) -> Hand:
    described = [
        EmbeddedSymbol(
            instrument=instrument(name, maker_fee_ppm=20, taker_fee_ppm=350),
            start_price=Decimal(60000),
            typical_size=Decimal("0.05"),
            flow=flow or FlowSettings(),
        )
        for name in symbols
    ]
    return Hand(EmbeddedMarket(VENUE, described, EmbeddedSettings(seed=seed)))


def _book(hand: Hand) -> OrderBook:
    """The book as published so far."""
    book = OrderBook()
    for event in hand.said:
        if isinstance(event, BookSnapshot | BookDelta) and event.instrument == SYMBOL:
            book.apply(event)
    return book


def test_opens_with_a_full_book_of_every_symbol_at_once() -> None:
    """The first call has a snapshot per symbol, so that a daemon can quote."""
    hand = _market(symbols=("BTC-USDT", "ETH-USDT"))
    assert hand.venue.next_deadline_ns() == 0
    first, second = hand.venue.advance(5_000 * MS)
    assert isinstance(first, BookSnapshot)
    assert isinstance(second, BookSnapshot)
    assert {first.instrument, second.instrument} == {"test:BTC-USDT", "test:ETH-USDT"}
    assert first.ts_local_ns == second.ts_local_ns == 5_000 * MS


def test_stays_tight_two_sided_and_lively_for_minutes() -> None:
    """At every update both sides are there; most of the time within 2 bps; several trades a second."""
    hand = _market()
    hand.until(300_000)
    book = OrderBook()
    spreads_bps = []
    for event in hand.said:
        if isinstance(event, BookSnapshot | BookDelta):
            book.apply(event)
            assert book.trusted
            spreads_bps.append((book.ask_ticks - book.bid_ticks) / book.half_ticks * 2e4)
    spreads_bps.sort()
    assert spreads_bps[len(spreads_bps) // 2] < 1.5
    assert spreads_bps[len(spreads_bps) * 9 // 10] < 2.5
    assert len(hand.of(PublicTrade)) > 3 * 300
    gaps = [b.ts_local_ns - a.ts_local_ns for a, b in zip(hand.of(BookDelta), hand.of(BookDelta)[1:], strict=False)]
    assert min(gaps) >= 100 * MS
    assert max(gaps) < 2000 * MS


def test_quotes_two_bps_from_the_mid_are_filled_within_a_minute() -> None:
    """A patient two-sided quote meets takers, as maker, at its own price, and pays the maker fee."""
    hand = _market()
    hand.until(0)
    book = _book(hand)
    distance = round(book.half_ticks / 2 * 2e-4)
    bid, ask = book.half_ticks // 2 - distance, book.half_ticks // 2 + distance
    hand.send(1, place(1, BUY, bid, 2), place(2, SELL, ask, 2))
    hand.until(60_000)
    fills = hand.of(OrderFilled)
    assert fills
    assert all(fill.maker and fill.ticks == (bid if fill.side is BUY else ask) for fill in fills)
    assert all(fill.fee == (0, 10**14 * fill.ticks * fill.lots * 20 // 10**6) for fill in fills)


def test_public_trades_include_ours() -> None:
    """Each fill of ours is a print of the same price and size."""
    hand = _market()
    hand.until(0)
    hand.send(1, place(1, BUY, _book(hand).bid_ticks + 1, 5))
    hand.until(30_000)
    prints = {(trade.ts_venue_ns, trade.ticks, trade.lots) for trade in hand.of(PublicTrade)}
    fills = hand.of(OrderFilled)
    assert fills
    assert {(fill.ts_venue_ns, fill.ticks, fill.lots) for fill in fills} <= prints


def test_our_order_is_in_the_published_book_until_it_is_cancelled() -> None:
    """It counts like any other, and a cancel takes it out."""
    hand = _market()
    hand.until(0)
    deep = _book(hand).bid_ticks - 5000
    hand.send(1, place(1, BUY, deep, 7))
    hand.until(500)
    assert _book(hand).lots_at(BUY, deep) == 7
    hand.send(500, amend(1, deep - 1, 9))
    hand.until(1000)
    assert (_book(hand).lots_at(BUY, deep), _book(hand).lots_at(BUY, deep - 1)) == (0, 9)
    hand.send(1000, cancel_all())
    hand.until(1500)
    assert _book(hand).lots_at(BUY, deep - 1) == 0
    assert len(hand.of(OrderCanceled)) == 1


def test_commands_and_replies_take_their_latency() -> None:
    """Two milliseconds there, two back by default."""
    hand = _market()
    hand.until(0)
    hand.send(10, place(1, BUY, _book(hand).bid_ticks - 5000, 7))
    hand.until(50)
    (accepted,) = hand.of(OrderAccepted)
    assert (accepted.ts_venue_ns, accepted.ts_local_ns) == (12 * MS, 14 * MS)


def test_ioc_order_takes_from_the_book_as_taker() -> None:
    """It trades with others at their prices and never rests."""
    hand = _market()
    hand.until(0)
    ask = _book(hand).ask_ticks
    hand.send(1, place(1, BUY, ask + 2000, 5, post_only=False, ioc=True))
    hand.until(100)
    fills = hand.of(OrderFilled)
    assert sum(fill.lots for fill in fills) == 5
    assert not any(fill.maker for fill in fills)
    venue = hand.venue
    assert isinstance(venue, EmbeddedMarket)
    assert venue.snapshot(100 * MS).orders == ()


def test_post_only_order_that_crosses_is_refused() -> None:
    """Judged on the real book at arrival."""
    hand = _market()
    hand.until(0)
    hand.send(1, place(1, BUY, _book(hand).ask_ticks + 500, 5))
    hand.until(100)
    assert [event.kind for event in hand.of(OrderRejected)] == [RejectKind.POST_ONLY_CROSS]


def test_same_seed_same_history_whatever_the_time_of_day() -> None:
    """Started at another instant, the same seed gives the same events, shifted."""
    late, early = _market(), _market()
    late.said += late.venue.advance(10_000 * MS)
    late.until(40_000)
    early.until(30_000)
    other = _market(seed=2)
    other.until(30_000)

    def shape(hand: Hand, start_ms: int) -> list[tuple[int, ...]]:
        return [(t.ts_local_ns - start_ms * MS, t.ticks, t.lots, int(t.aggressor)) for t in hand.of(PublicTrade)]

    assert shape(early, 0) == shape(late, 10_000)
    assert shape(early, 0) != shape(other, 0)


def test_symbols_do_not_disturb_each_other() -> None:
    """A symbol's history depends on the seed and its own name, not on who else is traded."""
    alone, together = _market(), _market(symbols=("ETH-USDT", "BTC-USDT"))
    alone.until(20_000)
    together.until(20_000)
    mine = [trade.lots for trade in together.of(PublicTrade) if trade.instrument == SYMBOL]
    assert [trade.lots for trade in alone.of(PublicTrade)] == mine


def test_books_can_be_shown_again() -> None:
    """A new link starts with whole books, equal to what the updates had led to."""
    hand = _market()
    hand.until(5_000)
    venue = hand.venue
    assert isinstance(venue, EmbeddedMarket)
    venue.show_books(5_000 * MS)
    hand.until(5_001)
    first, again = hand.of(BookSnapshot)
    assert again.update_id > first.update_id
    assert all(event.update_id < again.update_id for event in hand.of(BookDelta) if event.ts_local_ns <= 5_000 * MS)
    hand.until(20_000)
    assert _book(hand).trusted


def test_quiet_market_waits() -> None:
    """Without takers and volatility nobody trades with anybody."""
    hand = _market(flow=FlowSettings(volatility=0.0, trades_per_second=0.0))
    hand.until(20_000)
    assert hand.of(PublicTrade) == []


def test_market_without_symbols_is_refused() -> None:
    """There would be nothing to live for."""
    with pytest.raises(ConfigError, match="at least one symbol"):
        EmbeddedMarket(VENUE, [])


def test_close_ends_our_orders() -> None:
    """Nothing of ours is open afterwards."""
    hand = _market()
    hand.until(0)
    hand.send(1, place(1, BUY, _book(hand).bid_ticks - 5000, 7))
    hand.until(100)
    venue = hand.venue
    assert isinstance(venue, EmbeddedMarket)
    venue.close()
    assert venue.snapshot(100 * MS).orders == ()


def test_execute_answers_at_once_and_hit_fills_exactly() -> None:
    """For a simulator with a wire of its own: a request is carried out when it comes, and a taker of the moment takes
    what stands before an order and then so much of it."""
    hand = _market()
    market = hand.venue
    assert isinstance(market, EmbeddedMarket)
    hand.until(10)
    order = place(5, BUY, market.mids()[SYMBOL] // 2 - 100, 40)
    (accepted,) = market.execute(order, 10 * MS)
    assert isinstance(accepted, OrderAccepted)
    before = len(hand.said)
    assert market.hit(order.client_id, 15, 10 * MS) == 15
    hand.until(20)
    (filled,) = [event for event in hand.said if isinstance(event, OrderFilled)]
    assert (filled.lots, filled.ticks, filled.side) == (15, order.ticks, BUY)
    taken = [event for event in hand.said[before:] if isinstance(event, PublicTrade)]
    ours = next(n for n, trade in enumerate(taken) if trade.ticks == order.ticks and trade.lots == 15)
    assert all(trade.ticks >= order.ticks and trade.aggressor is SELL for trade in taken[: ours + 1])
    assert market.hit(ClientOrderId(6), 1, 20 * MS) == 0
