"""Lighter's market data: frames to events.

A subscription's first frame is the whole book, and each update names the nonce that it continues: the one before, or
there is a gap. `offset` belongs to one API server and is not looked at. A market whose book is lost is in
`wants_book`: it must be unsubscribed and subscribed again, since a second subscription brings no other snapshot.

Funding rates are percent of the hour here, and fractions in our events. The first `trade` frame replays old trades and
is left aside.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from connectors.lighter import wire
from connectors.shared.displayed import Displayed
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    FundingUpdate,
    InvalidCause,
    Levels,
    MarketEvent,
    MarkPriceUpdate,
    PublicTrade,
)
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side

IGNORED_TYPES = frozenset(
    {
        *(f"{verb}/{name}" for verb in ("subscribed", "update") for name in ("ticker", "height", "candle")),
    }
)
"""Market data that we know and never ask for: the book says more."""
UNDECODABLE = (msgspec.DecodeError, ValueError, RecursionError)
_NS_PER_MS, _NS_PER_US, _HOUR_NS = 1_000_000, 1000, 3_600_000_000_000
_RATE_E12_PER_PERCENT = 1e10
_CHANNEL = re.compile(rb'"channel"\s*:\s*"order_book[:/](\d+)"')


class _Market:
    """One market's grids and sequence state."""

    __slots__ = ("book", "displayed", "instrument", "nonce", "number", "trade_id")

    def __init__(self, number: int, instrument: Instrument) -> None:
        self.number = number
        self.instrument = instrument
        self.displayed = Displayed(instrument)
        self.nonce: int | None = None
        """Of the last frame; None: there is no book."""
        self.book = OrderBook()
        """What was let through, to see a crossed book before it is told."""
        self.trade_id = -1


class LighterTranslator:
    """Owner of the sequence state of one link."""

    def __init__(self, markets: Mapping[int, Instrument]) -> None:
        """`markets`: instruments by the venue's number."""
        self._markets = {number: _Market(number, instrument) for number, instrument in markets.items()}
        self.wants_book: dict[int, None] = {}
        """Markets whose book must be subscribed anew, oldest wish first."""
        self.problems: Counter[str] = Counter()
        """Frames that could not be used, by kind."""
        self.handlers: Mapping[str, Callable[[bytes, int], Sequence[MarketEvent]]] = {
            "subscribed/order_book": self._on_snapshot,
            "update/order_book": self._on_update,
            "subscribed/trade": self._on_old_trades,
            "update/trade": self._on_trades,
            "subscribed/market_stats": self._on_stats,
            "update/market_stats": self._on_stats,
        }

    def begin(self) -> None:
        """A new link: nothing of the one before continues on it."""
        self.wants_book.clear()
        for market in self._markets.values():
            market.nonce = None

    def translate(self, kind: str, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        """Events in a frame of a type of `handlers`. Never raises."""
        try:
            return self.handlers[kind](frame, ts_local_ns)
        except UNDECODABLE as error:
            self.problems["bad_number" if isinstance(error, GridError) else "malformed"] += 1
            return self._lose(frame, ts_local_ns) if kind.endswith("order_book") else ()

    # Books

    def _on_snapshot(self, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        message = wire.decode_book(frame)
        market = self._of(message.channel)
        if market is None:
            return ()
        bids, asks = self._levels(market, message.order_book)
        market.nonce = message.order_book.nonce
        market.book = OrderBook()
        event = BookSnapshot(market.instrument.id, _time_ns(message), ts_local_ns, bids, asks, market.nonce)
        market.book.apply(event)
        self.wants_book.pop(market.number, None)
        return self._unless_crossed(market, event)

    def _on_update(self, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        message = wire.decode_book(frame)
        market, body = self._of(message.channel), message.order_book
        if market is None or market.nonce is None:
            return ()  # none of ours, or before its snapshot
        if body.nonce <= market.nonce:
            self.problems["old_update"] += 1
            return ()
        if body.begin_nonce != market.nonce:
            detail = f"continues {body.begin_nonce}, not {market.nonce}"
            return (self._lost(market, _time_ns(message), ts_local_ns, InvalidCause.GAP, detail),)
        bids, asks = self._levels(market, body)
        market.nonce = body.nonce
        event = BookDelta(market.instrument.id, _time_ns(message), ts_local_ns, bids, asks, body.nonce)
        market.book.apply(event)
        return self._unless_crossed(market, event)

    def _unless_crossed(self, market: _Market, event: BookSnapshot | BookDelta) -> Sequence[MarketEvent]:
        """A crossed book is a book that has lost something."""
        if not market.book.crossed:
            return (event,)
        return (self._lost(market, event.ts_venue_ns, event.ts_local_ns, InvalidCause.CROSSED, "bid above ask"),)

    def _lost(
        self, market: _Market, ts_venue_ns: int, ts_local_ns: int, cause: InvalidCause, detail: str
    ) -> BookInvalidated:
        market.nonce = None
        self.wants_book[market.number] = None
        return BookInvalidated(market.instrument.id, ts_venue_ns, ts_local_ns, cause, detail)

    def _lose(self, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        """A book frame that cannot be read is missing from its book, if it says at least whose it is."""
        named = _CHANNEL.search(frame)
        market = None if named is None else self._markets.get(int(named[1]))
        if market is None or market.nonce is None:
            return ()
        return (self._lost(market, 0, ts_local_ns, InvalidCause.MALFORMED, "a frame cannot be read"),)

    @staticmethod
    def _levels(market: _Market, body: wire.BookBody) -> tuple[Levels, Levels]:
        """Bids and asks. Raises GridError."""
        levels = market.displayed.levels
        return (
            levels([(each.price, each.size) for each in body.bids or ()]),
            levels([(each.price, each.size) for each in body.asks or ()]),
        )

    def _of(self, channel: str) -> _Market | None:
        return self._markets.get(_number(channel))

    # Trades and statistics

    def _on_old_trades(self, frame: bytes, _ts_local_ns: int) -> Sequence[MarketEvent]:
        """What a subscription begins with was traded before; only the newest number is kept."""
        message = wire.decode_trades(frame)
        market = self._of(message.channel)
        if market is not None:
            market.trade_id = max([market.trade_id, *(each.trade_id for each in message.trades or ())])
        return ()

    def _on_trades(self, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        message = wire.decode_trades(frame)
        market = self._of(message.channel)
        if market is None:
            return ()
        told: list[MarketEvent] = []
        rows = [*(message.trades or ()), *(message.liquidation_trades or ())]
        for row in sorted(rows, key=lambda row: row.trade_id):
            if row.trade_id <= market.trade_id:
                self.problems["old_trade"] += 1
                continue
            ticks, lots = market.displayed.ticks(float(row.price)), market.displayed.lots(float(row.size))
            market.trade_id = row.trade_id
            taker = Side.BUY if row.is_maker_ask else Side.SELL
            told.append(PublicTrade(market.instrument.id, trade_ns(row), ts_local_ns, taker, ticks, lots, row.trade_id))
        return told

    def _on_stats(self, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        message = wire.decode_stats(frame)
        told: list[MarketEvent] = []
        for row in message.rows():
            market = self._markets.get(row.market_id)
            if market is None:
                continue
            name, at_ns = market.instrument.id, message.timestamp * _NS_PER_MS
            if row.mark_price:
                half_ticks = _whole(2.0 * float(row.mark_price) / float(market.instrument.tick))
                told.append(MarkPriceUpdate(name, at_ns, ts_local_ns, half_ticks))
            if row.current_funding_rate:
                rate = _whole(float(row.current_funding_rate) * _RATE_E12_PER_PERCENT)
                due_ns = (at_ns // _HOUR_NS + 1) * _HOUR_NS
                told.append(FundingUpdate(name, at_ns, ts_local_ns, rate, due_ns, _HOUR_NS))
        return told


class Head(msgspec.Struct, gc=False):
    """What a frame is and whose."""

    type: str = ""
    channel: str = ""


head = msgspec.json.Decoder(Head).decode


def trade_ns(row: wire.Trade) -> int:
    """When a trade was made."""
    return row.transaction_time * _NS_PER_US if row.transaction_time else row.timestamp * _NS_PER_MS


def _time_ns(message: wire.BookFrame) -> int:
    return message.last_updated_at * _NS_PER_US if message.last_updated_at else message.timestamp * _NS_PER_MS


def _number(channel: str) -> int:
    """The market of a channel, which comes back with a colon; -1 for none."""
    number = channel.replace("/", ":").split(":")[1:2]
    return int(number[0]) if number and number[0].isascii() and number[0].isdigit() else -1


def _whole(number: float) -> int:
    """Rounded to the nearest. Raises GridError for what has no nearest."""
    try:
        return round(number)
    except (ValueError, OverflowError):
        raise GridError(f"{number} is not a finite number") from None
