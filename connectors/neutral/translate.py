"""The neutral venue's streams: frames to events.

One translator serves all instruments of one link and owns their sequence state (`connectors/shared/book_sync.py`). Book
updates are held until a snapshot comes that they continue; `wants_book` names the symbols that need one, at the start
and after a gap. A frame that cannot be used is counted and dropped; it never raises and never ends the process (R16).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from connectors.neutral import orders, wire
from connectors.shared.book_sync import BookSync, Chaining, Verdict
from connectors.shared.displayed import Displayed
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    Event,
    FundingUpdate,
    InvalidCause,
    MarkPriceUpdate,
    PublicTrade,
)
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side

_UNDECODABLE = (msgspec.DecodeError, ValueError, RecursionError)
_TAKERS = {"buy": Side.BUY, "sell": Side.SELL}
_RATE_E12 = 1e12


class _Market:
    """One instrument's grids and sequence state."""

    __slots__ = ("displayed", "instrument", "sync", "trade_id")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.displayed = Displayed(instrument)
        self.sync = BookSync(Chaining.CONSECUTIVE)
        self.trade_id = -1


class NeutralTranslator:
    """Owner of the sequence state of one link, and of which reports of our orders are news."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self.symbols: Mapping[str, Instrument] = {instrument.symbol: instrument for instrument in instruments}
        self.revisions = orders.Revisions()
        self.wants_book: dict[str, None] = {}
        """Symbols whose book needs a snapshot, oldest wish first."""
        self.login: wire.LoggedIn | None = None
        """The venue's answer to our login on this link."""
        self.refused: wire.Problem | None = None
        """The last error that the venue told on this link."""
        self.problems: Counter[str] = Counter()
        """Frames that could not be used, by kind."""
        self._markets = {instrument.symbol: _Market(instrument) for instrument in instruments}
        self._handlers: dict[type, Callable[[Any, int], Sequence[Event]]] = {
            wire.Book: self._on_book,
            wire.Trade: self._on_trade,
            wire.Mark: self._on_mark,
            wire.Funding: self._on_funding,
            wire.OrderChanged: self._on_order,
            wire.Filled: self._on_fill,
            wire.Paid: self._on_payment,
            wire.LoggedIn: self._on_login,
            wire.StreamError: self._on_error,
        }

    def begin(self) -> None:
        """A new link: nothing of the one before continues on it."""
        self.login = self.refused = None
        for symbol, market in self._markets.items():
            market.sync.reset()
            self.wants_book[symbol] = None

    def translate(self, frame: bytes, ts_local_ns: int) -> Sequence[Event]:
        """Events in a frame. Never raises."""
        try:
            message = wire.message(frame)
        except _UNDECODABLE:
            self.problems["malformed"] += 1
            return ()
        try:
            return self._handlers[type(message)](message, ts_local_ns)
        except GridError:
            self.problems["bad_number"] += 1
            return self._lose(message, ts_local_ns) if isinstance(message, wire.Book) else ()

    def take_book(self, reply: bytes, ts_local_ns: int) -> Sequence[Event]:
        """A snapshot that was asked for. Never raises; one that is of no use leaves the wish for another."""
        try:
            book = wire.book_reply(reply)
            market = self._markets[book.symbol]
            bids, asks = market.displayed.levels(book.bids), market.displayed.levels(book.asks)
        except (KeyError, *_UNDECODABLE):
            self.problems["bad_snapshot"] += 1
            return ()
        snapshot = BookSnapshot(market.instrument.id, book.time_ns, ts_local_ns, bids, asks, book.update)
        verdict = market.sync.offer_snapshot(snapshot)
        if verdict is Verdict.STARTS:
            self.wants_book.pop(book.symbol, None)
            return _now(market.sync.take_start(), ts_local_ns)
        if verdict is Verdict.HELD or verdict is Verdict.OLD:
            self.wants_book.pop(book.symbol, None)  # the next update starts it, or it stands already
        return ()

    # Market

    def _on_book(self, message: wire.Book, ts_local_ns: int) -> Sequence[Event]:
        market = self._markets.get(message.symbol)
        if market is None:
            return ()
        bids, asks = market.displayed.levels(message.bids), market.displayed.levels(message.asks)
        delta = BookDelta(market.instrument.id, message.time_ns, ts_local_ns, bids, asks, message.update)
        verdict = market.sync.offer(message.update, -1, delta)
        if verdict is Verdict.FOLLOWS:
            return (delta,)
        if verdict is Verdict.STARTS:
            return _now(market.sync.take_start(), ts_local_ns)
        if verdict is Verdict.GAP or verdict is Verdict.OVERLAP:
            self.wants_book[message.symbol] = None
            cause = InvalidCause.GAP if verdict is Verdict.GAP else InvalidCause.OUT_OF_ORDER
            detail = f"update {message.update} does not follow"
            return (BookInvalidated(market.instrument.id, message.time_ns, ts_local_ns, cause, detail),)
        if verdict is Verdict.OLD:
            self.problems["old_update"] += 1
        return ()

    def _lose(self, message: wire.Book, ts_local_ns: int) -> Sequence[Event]:
        """An update that cannot be read is missing from the book."""
        market = self._markets[message.symbol]
        market.sync.reset()
        self.wants_book[message.symbol] = None
        cause = InvalidCause.MALFORMED
        return (BookInvalidated(market.instrument.id, message.time_ns, ts_local_ns, cause, "a number is off the grid"),)

    def _on_trade(self, message: wire.Trade, ts_local_ns: int) -> Sequence[Event]:
        market = self._markets.get(message.symbol)
        if market is None:
            return ()
        if message.trade <= market.trade_id:
            self.problems["old_trade"] += 1
            return ()
        ticks, lots = market.displayed.ticks(message.price), market.displayed.lots(message.size)
        market.trade_id = message.trade
        taker = _TAKERS[message.taker]
        return (PublicTrade(market.instrument.id, message.time_ns, ts_local_ns, taker, ticks, lots, message.trade),)

    def _on_mark(self, message: wire.Mark, ts_local_ns: int) -> Sequence[Event]:
        market = self._markets.get(message.symbol)
        if market is None:
            return ()
        half_ticks = _whole(2.0 * message.price / float(market.instrument.tick))
        return (MarkPriceUpdate(market.instrument.id, message.time_ns, ts_local_ns, half_ticks),)

    def _on_funding(self, message: wire.Funding, ts_local_ns: int) -> Sequence[Event]:
        market = self._markets.get(message.symbol)
        if market is None:
            return ()
        rate, due_ns, period_ns = _whole(message.rate * _RATE_E12), message.due_ns, message.period_ns
        return (FundingUpdate(market.instrument.id, message.time_ns, ts_local_ns, rate, due_ns, period_ns),)

    # Our account

    def _on_order(self, message: wire.OrderChanged, ts_local_ns: int) -> Sequence[Event]:
        return orders.reported(message.order, self.symbols, self.revisions, ts_local_ns)

    def _on_fill(self, message: wire.Filled, ts_local_ns: int) -> Sequence[Event]:
        instrument = self.symbols.get(message.fill.symbol)
        return () if instrument is None else (orders.filled(message.fill, instrument, ts_local_ns),)

    def _on_payment(self, message: wire.Paid, ts_local_ns: int) -> Sequence[Event]:
        instrument = self.symbols.get(message.payment.symbol)
        return () if instrument is None else (orders.paid(message.payment, instrument, ts_local_ns),)

    def _on_login(self, message: wire.LoggedIn, _ts_local_ns: int) -> Sequence[Event]:
        self.login = message
        return ()

    def _on_error(self, message: wire.StreamError, _ts_local_ns: int) -> Sequence[Event]:
        self.refused = message.error
        self.problems["refused"] += 1
        return ()


def _now(events: Sequence[BookSnapshot | BookDelta], ts_local_ns: int) -> list[Event]:
    """What was held is known from now on: an event of the past would let the core's time run backwards."""
    return [msgspec.structs.replace(event, ts_local_ns=ts_local_ns) for event in events]


def _whole(number: float) -> int:
    """Rounded to the nearest. Raises GridError for what has no nearest."""
    try:
        return round(number)
    except (ValueError, OverflowError):
        raise GridError(f"{number} is not a finite number") from None
