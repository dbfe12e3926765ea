"""dYdX's websocket: frames to events.

Owns the message ids of one connection, the books and what is known of the markets. A hole in the ids that no pending
subscription explains means that something was lost, of any channel, and nothing can be asked for again: `broken` says
so, and the connector opens another connection. Messages carry no time of their own; the venue's clock as last measured
stands for it. A frame that cannot be used is counted and dropped; it never raises and never ends the process (R16).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from connectors.dydx import wire
from connectors.dydx.book import UncrossedBook
from connectors.dydx.orders import OwnOrders
from connectors.shared.displayed import Displayed
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    Event,
    FundingUpdate,
    InstrumentUpdated,
    InvalidCause,
    Levels,
    MarkPriceUpdate,
    PublicTrade,
    VenueTime,
)
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.orders import Side

BOOK, TRADES, MARKETS, ACCOUNT, HEIGHT = (
    "v4_orderbook",
    "v4_trades",
    "v4_markets",
    "v4_subaccounts",
    "v4_block_height",
)
TRADABLE = frozenset({"ACTIVE", "POST_ONLY"})
"""States of a market in which a post-only order is taken."""
_UNUSABLE = (msgspec.DecodeError, ValueError, RecursionError)
_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
_HOUR_NS = 3600 * 10**9
_MISSING_MAX = 64
_QUIET_NS = 3 * 10**9
"""A REST answer may be a second old: levels that moved lately on our side are left alone."""


class MessageIds:
    """Each id once, holes only where a subscription has not been answered yet: its id is taken when it is asked for."""

    __slots__ = ("_last", "_missing", "pending")

    def __init__(self) -> None:
        self._last = 0
        self._missing: set[int] = set()
        self.pending = 0
        """Subscriptions that have not been answered."""

    def see(self, message: wire.Envelope) -> bool:
        """Whether nothing is missing for which there is no reason. Ids of errors repeat the one before."""
        number = message.message_id
        if message.type == "connected":
            self._last, self._missing = number, set()
            return True
        if message.type == "error":
            self.pending = max(self.pending - 1, 0)
        elif number > self._last:
            self._missing.update(range(self._last + 1, min(number, self._last + _MISSING_MAX)))
            self._last = number
        else:
            self._missing.discard(number)
        if message.type == "subscribed":
            self.pending = max(self.pending - 1, 0)
        return len(self._missing) <= self.pending


class _Market:
    """One instrument's grids and what was told of it."""

    __slots__ = ("book", "displayed", "funding_e12", "held", "instrument", "ready", "trade_id", "trusted")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.displayed = Displayed(instrument)
        self.book = UncrossedBook()
        self.ready = False
        """The book has begun."""
        self.trusted = True
        self.held: list[wire.BookUpdate] = []
        """Updates that came before the book they belong to, which is older than they are."""
        self.trade_id = -1
        self.funding_e12: int | None = None


class DydxTranslator:
    def __init__(self, venue: Venue, instruments: Iterable[Instrument], orders: OwnOrders | None) -> None:
        self._venue = venue
        self._markets: Mapping[str, _Market] = {each.symbol: _Market(each) for each in instruments}
        self._orders = orders
        self.ids = MessageIds()
        self.offset_ns = 0
        """What the venue's clock is ahead of ours."""
        self.height: int | None = None
        self.answered: set[str] = set()
        """Channels whose subscription was answered on this connection."""
        self.broken: str | None = None
        """Why this connection is of no more use."""
        self.telling = False
        """The daemon knows that the link is up: books are told."""
        self.problems: Counter[str] = Counter()
        """Frames that could not be used, by kind."""
        self._update_id = 0
        self._handlers: Mapping[str, Callable[[str, msgspec.Raw, int], list[Event]]] = {
            BOOK: self._on_book,
            TRADES: self._on_trades,
            MARKETS: self._on_markets,
            ACCOUNT: self._on_account,
            HEIGHT: self._on_height,
        }

    def begin(self) -> None:
        """A new connection: nothing of the one before continues on it."""
        self.ids = MessageIds()
        self.answered.clear()
        self.broken = None
        self.telling = False
        for market in self._markets.values():
            market.ready, market.trusted = False, True
            market.held.clear()

    def translate(self, frame: bytes, ts_local_ns: int) -> Sequence[Event]:
        """Events in a frame. Never raises."""
        try:
            message = wire.envelope(frame)
        except _UNUSABLE:
            self.problems["malformed"] += 1
            return ()
        whole = self.ids.see(message)
        events: list[Event] = []
        if not whole:
            self.problems["gap"] += 1
            return self._break("a message was lost", InvalidCause.GAP, ts_local_ns)
        try:
            if message.type == "channel_data":
                events = self._data(message, message.contents, ts_local_ns)
            elif message.type == "channel_batch_data":
                for contents in wire.batch(message.contents):
                    events += self._data(message, contents, ts_local_ns)
            elif message.type == "subscribed":
                events = self._subscribed(message, ts_local_ns)
            elif message.type == "error":
                self.problems["refused"] += 1
                self.broken = f"the indexer refused: {message.message}"
        except _UNUSABLE:  # a GridError is one: an update that cannot be read is missing from what it belongs to
            self.problems["unusable"] += 1
            return [*events, *self._lose(message, ts_local_ns)]
        return events

    def _data(self, message: wire.Envelope, contents: msgspec.Raw, ts_local_ns: int) -> list[Event]:
        handler = self._handlers.get(message.channel)
        if handler is None:
            if message.channel not in wire.IGNORED_CHANNELS:
                self.problems["unknown_channel"] += 1
            return []
        return handler(message.id, contents, ts_local_ns)

    def _lose(self, message: wire.Envelope, ts_local_ns: int) -> list[Event]:
        if message.channel in (BOOK, ACCOUNT):
            return self._break(f"a message of {message.channel} cannot be read", InvalidCause.MALFORMED, ts_local_ns)
        return []

    def _break(self, cause: str, kind: InvalidCause, ts_local_ns: int) -> list[Event]:
        self.broken = cause
        shown = [market for market in self._markets.values() if market.ready and self.telling]
        at_ns = ts_local_ns + self.offset_ns
        return [BookInvalidated(market.instrument.id, at_ns, ts_local_ns, kind, cause) for market in shown]

    def _subscribed(self, message: wire.Envelope, ts_local_ns: int) -> list[Event]:
        """What a subscription begins with."""
        events: list[Event] = []
        if message.channel == BOOK and message.id in self._markets:
            market = self._markets[message.id]
            self._begin_book(market, wire.book(message.contents), ts_local_ns)
            if self.telling:
                events = [self._snapshot(market, ts_local_ns)]
        elif message.channel == TRADES and message.id in self._markets:
            past = wire.trades(message.contents).trades
            known = max((_trade_id(trade.id) for trade in past), default=-1)
            self._markets[message.id].trade_id = max(self._markets[message.id].trade_id, known)
        elif message.channel == MARKETS:
            for ticker, row in wire.markets(message.contents).markets.items():
                if ticker in self._markets:
                    events += self._on_market(self._markets[ticker], row, ts_local_ns)
        elif message.channel == HEIGHT:
            events = self._on_height(message.id, message.contents, ts_local_ns)
        elif message.channel == ACCOUNT and self._orders is not None:
            for order in wire.account_shown(message.contents).orders:
                self._orders.note(order)
        self.answered.add(message.channel)
        return events

    # Books

    def _begin_book(self, market: _Market, shown: wire.Book, ts_local_ns: int) -> None:
        """The snapshot is older than all updates, those that overtook it included."""
        bids, asks = _shown_levels(market, shown)
        market.book.begin(bids, asks, ts_local_ns)
        for update in market.held:
            market.book.apply(*self._levels(market, update), ts_local_ns)
        market.held.clear()
        market.ready = True

    def show_books(self, ts_local_ns: int) -> list[Event]:
        """The link is up: the books that have begun, as they are now; the others follow."""
        self.telling = True
        return [
            self._snapshot(market, ts_local_ns) for market in self._markets.values() if market.ready and market.trusted
        ]

    def trust_books(self, trusted: bool, detail: str, ts_local_ns: int) -> list[Event]:
        """Whether what the indexer says is recent enough to be believed; nothing when that is as before."""
        events: list[Event] = []
        for market in self._markets.values():
            if market.trusted is trusted:
                continue
            market.trusted = trusted
            if not (market.ready and self.telling):
                continue
            at_ns, cause = ts_local_ns + self.offset_ns, InvalidCause.UNSYNCHRONISED
            late = BookInvalidated(market.instrument.id, at_ns, ts_local_ns, cause, detail)
            events.append(self._snapshot(market, ts_local_ns) if trusted else late)
        return events

    def check_book(self, symbol: str, reply: bytes, asked_ns: int, ts_local_ns: int) -> list[Event]:
        """Compare a book with the REST interface's. Never raises."""
        market = self._markets[symbol]
        try:
            bids, asks = _shown_levels(market, wire.book(reply))
        except _UNUSABLE:
            self.problems["bad_snapshot"] += 1
            return []
        if not market.ready:
            return []
        changed = market.book.checked(bids, asks, asked_ns, ts_local_ns, _QUIET_NS)
        if changed[0] or changed[1]:
            self.problems["repaired_level"] += len(changed[0]) + len(changed[1])
        return self._delta(market, changed, ts_local_ns)

    def _on_book(self, symbol: str, contents: msgspec.Raw, ts_local_ns: int) -> list[Event]:
        market = self._markets.get(symbol)
        if market is None:
            return []
        update = wire.book_update(contents)
        if not market.ready:
            market.held.append(update)
            return []
        changed = market.book.apply(*self._levels(market, update), ts_local_ns)
        return self._delta(market, changed, ts_local_ns)

    @staticmethod
    def _levels(market: _Market, update: wire.BookUpdate) -> tuple[Levels, Levels]:
        return market.displayed.levels(update.bids), market.displayed.levels(update.asks)

    def _delta(self, market: _Market, changed: tuple[Levels, Levels], ts_local_ns: int) -> list[Event]:
        bids, asks = changed
        if not (bids or asks) or not self.telling or not market.trusted:
            return []
        self._update_id += 1
        at_ns = ts_local_ns + self.offset_ns
        return [BookDelta(market.instrument.id, at_ns, ts_local_ns, bids, asks, self._update_id)]

    def _snapshot(self, market: _Market, ts_local_ns: int) -> BookSnapshot:
        self._update_id += 1
        bids, asks = market.book.levels(Side.BUY), market.book.levels(Side.SELL)
        at_ns = ts_local_ns + self.offset_ns
        return BookSnapshot(market.instrument.id, at_ns, ts_local_ns, bids, asks, self._update_id)

    # Trades and markets

    def _on_trades(self, symbol: str, contents: msgspec.Raw, ts_local_ns: int) -> list[Event]:
        """Committed trades, oldest first in a message: a burst once a block."""
        market = self._markets.get(symbol)
        if market is None:
            return []
        events: list[Event] = []
        for trade in wire.trades(contents).trades:
            number = _trade_id(trade.id)
            if number <= market.trade_id:
                self.problems["old_trade"] += 1
                continue
            ticks, lots = market.displayed.ticks(trade.price), market.displayed.lots(trade.size)
            market.trade_id = number
            at_ns = wire.nanos(trade.createdAt)
            taker = _SIDES[trade.side]
            events.append(PublicTrade(market.instrument.id, at_ns, ts_local_ns, taker, ticks, lots, number))
        return events

    def _on_markets(self, _name: str, contents: msgspec.Raw, ts_local_ns: int) -> list[Event]:
        update = wire.markets_update(contents)
        events: list[Event] = []
        for ticker, price in update.oraclePrices.items():
            if ticker in self._markets:
                events.append(self._mark(self._markets[ticker], price.oraclePrice, ts_local_ns))
        for ticker, change in update.trading.items():
            market = self._markets.get(ticker)
            if market is None:
                continue
            if change.status is not None:
                events += self._on_status(market, change.status, ts_local_ns)
            if change.nextFundingRate is not None:
                events += self._funding(market, change.nextFundingRate, ts_local_ns)
        return events

    def _on_market(self, market: _Market, row: wire.Market, ts_local_ns: int) -> list[Event]:
        events = self._on_status(market, row.status, ts_local_ns)
        if row.oraclePrice is not None:
            events.append(self._mark(market, row.oraclePrice, ts_local_ns))
        if row.nextFundingRate is not None:
            events += self._funding(market, row.nextFundingRate, ts_local_ns)
        return events

    def _on_status(self, market: _Market, status: str, ts_local_ns: int) -> list[Event]:
        """A market that opens or closes: its book starts again, which is told at once."""
        tradable = status in TRADABLE
        if tradable is market.instrument.tradable:
            return []
        market.instrument = msgspec.structs.replace(market.instrument, tradable=tradable)
        at_ns = ts_local_ns + self.offset_ns
        events: list[Event] = [InstrumentUpdated(market.instrument.id, at_ns, ts_local_ns, market.instrument)]
        if market.ready and self.telling and market.trusted:
            events.append(self._snapshot(market, ts_local_ns))
        return events

    def _mark(self, market: _Market, price: float, ts_local_ns: int) -> MarkPriceUpdate:
        """The oracle's price is the only mark there is."""
        half_ticks = _whole(2.0 * price / float(market.instrument.tick))
        return MarkPriceUpdate(market.instrument.id, ts_local_ns + self.offset_ns, ts_local_ns, half_ticks)

    def _funding(self, market: _Market, rate: float, ts_local_ns: int) -> list[Event]:
        """The estimate for the coming hour, positive when longs pay."""
        rate_e12, at_ns = _whole(rate * 1e12), ts_local_ns + self.offset_ns
        due_ns = (at_ns // _HOUR_NS + 1) * _HOUR_NS
        market.funding_e12 = rate_e12
        return [FundingUpdate(market.instrument.id, at_ns, ts_local_ns, rate_e12, due_ns, _HOUR_NS)]

    # The chain and our account

    def _on_height(self, _name: str, contents: msgspec.Raw, ts_local_ns: int) -> list[Event]:
        block = wire.block_height(contents)
        height = block.height if block.blockHeight is None else block.blockHeight
        if height is None:
            raise GridError("a block without its height")
        self.height = max(self.height or 0, height)
        if self._orders is not None:
            self._orders.height = max(self._orders.height, height)
        return [VenueTime(self._venue, ts_local_ns + self.offset_ns, ts_local_ns, height)]

    def _on_account(self, _name: str, contents: msgspec.Raw, ts_local_ns: int) -> list[Event]:
        if self._orders is None:
            return []
        return [*self._orders.update(wire.account_update(contents), ts_local_ns + self.offset_ns, ts_local_ns)]


def _shown_levels(market: _Market, shown: wire.Book) -> tuple[Levels, Levels]:
    bids = market.displayed.levels((level.price, level.size) for level in shown.bids)
    asks = market.displayed.levels((level.price, level.size) for level in shown.asks)
    return bids, asks


def _trade_id(text: str) -> int:
    """A number that grows with block, transaction and event, in 63 bits: 33, 10 and 20 of them."""
    height, transaction, event = int(text[:8], 16), int(text[8:16], 16), int(text[16:], 16)
    return (height & (1 << 33) - 1) << 30 | (transaction & 0x3FF) << 20 | event & 0xFFFFF


def _whole(number: float) -> int:
    """Rounded to the nearest. Raises GridError for what has no nearest."""
    try:
        return round(number)
    except (ValueError, OverflowError):
        raise GridError(f"{number} is not a finite number") from None
