"""The others in the embedded market react: they refill, join, step back, and take what is priced wrongly."""

from decimal import Decimal

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
    for event in hand.said:
        if isinstance(event, BookSnapshot | BookDelta):
            book.apply(event)
            assert book.trusted
    return book


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
