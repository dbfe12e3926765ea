"""The others in the embedded market react: they refill, join, step back, and take what is priced wrongly."""

import math
from decimal import Decimal

import msgspec

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import BookDelta, BookSnapshot, OrderFilled, PublicTrade
from mm_daemon.domain.orders import Side
from mm_daemon.simulation.embedded import EmbeddedMarket, EmbeddedSettings, EmbeddedSymbol
from mm_daemon.simulation.flow import FlowSettings
from mm_daemon.testkit.builders import VENUE, instrument
from tests.simulated import Hand, place

BUY, SELL = Side.BUY, Side.SELL


def _market(flow: FlowSettings, seed: int = 1, *, price: str = "60000") -> Hand:
    symbol = EmbeddedSymbol(
        instrument=instrument(), start_price=Decimal(price), typical_size=Decimal("0.05"), flow=flow
    )
    return Hand(EmbeddedMarket(VENUE, [symbol], EmbeddedSettings(seed=seed)))


def _book(hand: Hand) -> OrderBook:
    book = OrderBook()
    _hear(hand, book)
    return book


def _hear(hand: Hand, book: OrderBook) -> None:
    """All that was said of the book and is new to it."""
    for event in hand.said:
        if isinstance(event, BookSnapshot | BookDelta) and event.update_id > book.update_id:
            book.apply(event)
            assert book.trusted


def test_swept_side_is_refilled() -> None:
    """After somebody has taken everything there is, the other side is there at once and usual within seconds."""
    hand = _market(FlowSettings(volatility=0.0, trades_per_second=0.0))
    hand.until(0)
    hand.send(1, place(1, BUY, 700_000, 10**7, post_only=False, ioc=True))
    hand.until(300)
    assert sum(lots for _, lots in _book(hand).levels(SELL, 50)) > 0
    hand.until(5_000)
    book = _book(hand)
    assert (book.ask_ticks - book.bid_ticks) / book.half_ticks * 2e4 < 2.5
    assert len(book.levels(SELL, 50)) > 10


def test_who_knows_takes_what_is_priced_wrongly_and_nothing_else() -> None:
    """With informed takers alone nothing trades at honest prices; an ask below fair is gone in seconds."""
    hand = _market(FlowSettings(volatility=0.0, informed_share=1.0))
    hand.until(20_000)
    assert hand.of(PublicTrade) == []
    hand.send(20_000, place(1, SELL, 599_995, 5))
    hand.until(30_000)
    assert [(fill.side, fill.ticks) for fill in hand.of(OrderFilled)][:1] == [(SELL, 599_995)]


def test_good_price_gets_company() -> None:
    """Others join our better bid where they may, and never where they may not."""
    shares = []
    for chance in (0.0, 1.0):
        flow = FlowSettings(volatility=0.0, volatility_dispersion=0.0, trades_per_second=0.0, join_chance=chance)
        hand = _market(flow)
        hand.until(0)
        ours = 600_000 - 30
        assert ours > _book(hand).bid_ticks
        hand.send(1, place(1, BUY, ours, 5))
        hand.until(5_000)
        shares.append(_book(hand).lots_at(BUY, ours))
    alone, joined = shares
    assert alone == 5
    assert joined > 50


def test_makers_who_step_back_are_run_over_less_often() -> None:
    """What the informed find depends on how quick the makers are."""
    trades = []
    for chance in (0.0, 1.0):
        hand = _market(FlowSettings(informed_share=1.0, pull_chance=chance))
        hand.until(120_000)
        trades.append(len(hand.of(PublicTrade)))
    slow, quick = trades
    assert slow > 2 * quick


def test_symbol_opens_at_its_own_start_price() -> None:
    """Whatever price a symbol is given, off the grid too, its first book stands around it."""
    hand = _market(FlowSettings(), price="43210.567")
    hand.until(0)
    book = _book(hand)
    assert abs(book.half_ticks / 2 - 432_105.67) < 0.0002 * 432_105.67


LAW = FlowSettings(
    volatility=0.0, volatility_dispersion=0.0, spread_bps=0.4, trade_clustering=0.0, taker_intensity=20.0, taker_k=1.0
)


def test_takers_reach_as_far_as_the_law_says() -> None:
    """Orders that come at least so far from the published mid, for each of four distances: A*exp(-k*distance) a second
    of both sides together, within three standard errors of a Poisson count, with bursts or informed takers too.
    """
    for flow, error in (
        (LAW, 1.0),
        (msgspec.structs.replace(LAW, informed_share=1.0, volatility=0.5), 1.0),
        (
            msgspec.structs.replace(LAW, trade_clustering=0.5),
            2.0,
        ),  # each brings one more: sqrt(4) times a Poisson count's
    ):
        hand = _market(flow, seed=3)
        hand.until(200_000)
        book = OrderBook()
        reaches: dict[int, float] = {}
        for event in hand.said:
            if isinstance(event, BookSnapshot | BookDelta):
                book.apply(event)
            elif isinstance(event, PublicTrade):
                mid = book.half_ticks / 2
                reach = event.aggressor * (event.ticks - mid) / mid * 1e4
                reaches[event.ts_venue_ns] = max(reach, reaches.get(event.ts_venue_ns, 0.0))
        for distance in (1.0, 1.5, 2.0, 3.0):
            expected = 200 * 2 * 20.0 * math.exp(-distance)
            counted = sum(reach >= distance for reach in reaches.values())
            assert abs(counted - expected) < 3 * error * math.sqrt(expected)


def test_our_order_is_filled_as_often_as_the_law_says() -> None:
    """An offer at a distance is taken whole, whatever its size, after 1/(A*exp(-k*distance)) seconds on average."""
    hand, book = _market(LAW, seed=4), OrderBook()
    waits: list[float] = []
    now_ms = 0.0
    for number in range(1, 301):
        hand.said.clear()
        now_ms += 200
        hand.until(now_ms)
        _hear(hand, book)
        mid = book.half_ticks / 2
        ticks = math.ceil(mid * (1 + 1.5e-4))
        hand.send(now_ms, place(number, SELL, ticks, 1_000_000))
        start_ms = now_ms + 2
        while not (fills := hand.of(OrderFilled)):
            now_ms += 50
            hand.until(now_ms)
        _hear(hand, book)
        assert fills[0].lots == 1_000_000
        seconds = (fills[0].ts_venue_ns / 1e6 - start_ms) / 1e3
        waits.append(seconds * 20.0 * math.exp(-1e4 * (ticks / mid - 1)))
    assert abs(sum(waits) / len(waits) - 1) < 3 / math.sqrt(len(waits))


def test_takers_with_a_reach_leave_the_book_as_it_was() -> None:
    """Makers put back what was taken: the touch is the makers' alone, and not wider than without takers."""
    spreads = []
    for flow in (FlowSettings(volatility=0.0, volatility_dispersion=0.0, trades_per_second=0.0), LAW):
        hand = _market(msgspec.structs.replace(flow, spread_bps=1.6, impact_bps=0.0))
        hand.until(60_000)
        book, widths = OrderBook(), []
        for event in hand.said:
            if isinstance(event, BookSnapshot | BookDelta):
                book.apply(event)
                widths.append(book.ask_ticks - book.bid_ticks)
        spreads.append(sum(widths) / len(widths))
    quiet, taken = spreads
    assert taken < 1.2 * quiet
