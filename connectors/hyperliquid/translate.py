"""Hyperliquid market data: frames to events.

`l2Book` is the whole visible book each time, so each frame is a snapshot and a lost one heals with the next. `bbo` is
the same book's best prices, block by block, laid over it; `trades` are prints. The venue numbers nothing: the sequence
of a market is the time of its blocks in milliseconds, the same clock in books and best prices, which is how the two
are told newer from older.

The first `trades` frame of a subscription is history. What traded up to the first book we have seen is in that book
already and is no news: it is ignored, whichever frame brings it.

Called by `recorded` and by the connector, once per frame.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from connectors.hyperliquid import wire
from connectors.shared.book_sync import Restart
from connectors.shared.displayed import Displayed
from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import (
    BookInvalidated,
    BookSnapshot,
    FundingUpdate,
    InvalidCause,
    MarketEvent,
    MarkPriceUpdate,
    PublicTrade,
    TopOfBook,
)
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side

FRAME_BYTES_MAX = 4 << 20

_NS_PER_MS = 1_000_000
_HEAD = 512
_REMEMBERED_TRADES = 4096
_REMEMBERED_LEVELS = 1 << 13
_BOOK_CHANNEL = re.compile(rb'"channel"\s*:\s*"l2Book"')
_COIN = re.compile(rb'"coin"\s*:\s*"([^"]+)"')
_GREETING = b"Websocket connection established."
_AGGRESSORS = {"B": Side.BUY, "A": Side.SELL}
_UNDECODABLE = (msgspec.DecodeError, ValueError, RecursionError)

IGNORED_CHANNELS = frozenset(
    {
        "activeAssetData",
        "allDexsAssetCtxs",
        "allDexsClearinghouseState",
        "allMids",
        "candle",
        "clearinghouseState",
        "fastAssetCtxs",
        "notification",
        "openOrders",
        "orderUpdates",
        "pong",
        "post",
        "spotState",
        "subscriptionResponse",
        "twapStates",
        "user",
        "userFills",
        "userFundings",
        "userHistoricalOrders",
        "userNonFundingLedgerUpdates",
        "userTwapHistory",
        "userTwapSliceFills",
        "webData2",
        "webData3",
    }
)
"""Channels we know and take no market data from."""

_OUR_CHANNELS = frozenset({"activeAssetCtx", "activeSpotAssetCtx", "bbo", "l2Book", "trades"})
_HOUR_NS = 3_600_000_000_000


class _Levels(dict[wire.Level, tuple[int, int]]):
    """A memo from a level to (ticks, lots), because most levels of a book are those of the book before. Raises
    GridError.
    """

    def __init__(self, displayed: Displayed) -> None:
        super().__init__()
        self._displayed = displayed

    def __missing__(self, level: wire.Level) -> tuple[int, int]:
        known = (self._displayed.ticks(level.price), self._displayed.lots(level.size))
        if len(self) >= _REMEMBERED_LEVELS:
            self.clear()
        self[level] = known
        return known


class _Market:
    """One instrument's grids and how far its sequence has come, in milliseconds of block time."""

    __slots__ = (
        "best_ms",
        "best_restart",
        "book_ms",
        "book_restart",
        "displayed",
        "id",
        "invalid_cause",
        "levels",
        "mark_half_ticks",
        "opened_ms",
        "rate_e12",
        "tick",
        "trades",
    )

    def __init__(self, instrument: Instrument) -> None:
        self.id = instrument.id
        self.displayed = Displayed(instrument)
        self.tick = float(instrument.tick)
        self.levels = _Levels(self.displayed)
        self.book_ms = -1
        self.book_restart = Restart()
        self.best_ms = -1
        self.best_restart = Restart()
        self.opened_ms: int | None = None
        self.mark_half_ticks: int | None = None
        self.rate_e12: int | None = None
        self.invalid_cause: InvalidCause | None = InvalidCause.UNSYNCHRONISED
        self.trades: dict[tuple[int, int], None] = {}
        """Time and id of the newest prints, oldest first: ids are hashes and say nothing of the order."""


class HyperliquidTranslator:
    """`WireTranslator` of the venue; `problems` and `ignored` count frames, and single prints, by kind."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._markets = {each.wire_symbol or each.symbol: _Market(each) for each in instruments}
        self._problems: dict[str, int] = {}
        self._ignored: dict[str, int] = {}
        self._handlers: dict[type[wire.Frame], Callable[[Any, int], Sequence[MarketEvent]]] = {
            wire.BookFrame: self._on_book,
            wire.BestFrame: self._on_best,
            wire.TradesFrame: self._on_trades,
            wire.ContextFrame: self._on_context,
            wire.SpotContextFrame: self._on_context,
        }

    @property
    def problems(self) -> Mapping[str, int]:
        """What could not be used, by kind; `off_grid_size` counts sizes that were floored to whole lots."""
        off_grid = sum(market.displayed.off_grid for market in self._markets.values())
        return {**self._problems, "off_grid_size": off_grid} if off_grid else self._problems

    @property
    def ignored(self) -> Mapping[str, int]:
        """What was good and we take nothing from, by kind."""
        return self._ignored

    def translate(self, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        """Events in a frame; see the port. Never raises."""
        if len(frame) > FRAME_BYTES_MAX:
            return self._unreadable("oversized", frame, ts_local_ns)
        try:
            decoded = wire.decode(frame)
        except _UNDECODABLE:
            return self._unusual(frame, ts_local_ns)
        return self._handlers[type(decoded)](decoded.data, ts_local_ns)

    def begin(self) -> None:
        """A new link: its first prints are history again, and every book is to be shown anew."""
        for market in self._markets.values():
            market.opened_ms = market.mark_half_ticks = market.rate_e12 = None
            market.invalid_cause = InvalidCause.UNSYNCHRONISED

    def _on_book(self, data: wire.Book, ts_local_ns: int) -> Sequence[MarketEvent]:
        market = self._markets.get(data.coin)
        if market is None:
            return self._ignore("other_symbol")
        if data.spread is not None:
            return self._ignore("aggregated_book")
        time_ms = data.time_ms
        restarted: Sequence[MarketEvent] = ()
        if time_ms < market.book_ms:
            if not market.book_restart.noticed(market.book_ms):
                return self._count("out_of_order")
            restarted = self._start_again(market, ts_local_ns)
        known = market.levels.__getitem__
        try:
            bids = tuple(map(known, data.levels[0]))
            asks = tuple(map(known, data.levels[1]))
        except GridError as error:
            self._count("bad_number")
            return self._lose(market, InvalidCause.MALFORMED, str(error), ts_local_ns)
        if bids and asks and bids[0][0] >= asks[0][0]:  # best first; any other order shows in the book itself
            self._count("crossed")
            return self._lose(market, InvalidCause.CROSSED, "crossed book", ts_local_ns)
        market.book_ms = time_ms
        market.invalid_cause = None
        if market.opened_ms is None:
            market.opened_ms = time_ms
        return (*restarted, BookSnapshot(market.id, time_ms * _NS_PER_MS, ts_local_ns, bids, asks, time_ms))

    def _on_best(self, data: wire.Best, ts_local_ns: int) -> Sequence[MarketEvent]:
        market = self._markets.get(data.coin)
        if market is None:
            return self._ignore("other_symbol")
        time_ms = data.time_ms
        if time_ms <= market.best_ms:
            if market.best_restart.noticed(market.best_ms):
                return self._start_again(market, ts_local_ns)
            return self._count("duplicate" if time_ms == market.best_ms else "out_of_order")
        bid, ask = data.bbo
        try:
            bid_ticks, bid_lots = (NO_BID, 0) if bid is None else market.levels[bid]
            ask_ticks, ask_lots = (NO_ASK, 0) if ask is None else market.levels[ask]
        except GridError:
            return self._count("bad_number")
        if bid_ticks >= ask_ticks:
            return self._count("crossed")
        market.best_ms = time_ms
        return (
            TopOfBook(market.id, time_ms * _NS_PER_MS, ts_local_ns, bid_ticks, bid_lots, ask_ticks, ask_lots, time_ms),
        )

    def _on_trades(self, data: list[wire.Trade], ts_local_ns: int) -> Sequence[MarketEvent]:
        if not data:
            return self._ignore("no_trades")
        events = [self._trade(trade, ts_local_ns) for trade in data]
        return [event for event in events if event is not None]

    def _trade(self, data: wire.Trade, ts_local_ns: int) -> PublicTrade | None:
        """One print, or None when it was counted as a problem or as ignored."""
        market = self._markets.get(data.coin)
        if market is None:
            self._ignore("other_symbol")
            return None
        if market.opened_ms is None or data.time_ms <= market.opened_ms:
            self._ignore("trade_history")
            return None
        aggressor = _AGGRESSORS.get(data.side)
        if aggressor is None:
            self._count("malformed_trade")
            return None
        try:
            ticks, lots = market.displayed.ticks(data.price), market.displayed.lots(data.size)
        except GridError:
            self._count("bad_number")
            return None
        if not lots:
            self._count("zero_size_trade")
            return None
        key = (data.time_ms, data.trade_id)
        seen = market.trades
        if key in seen:
            self._count("duplicate")
            return None
        seen[key] = None
        if len(seen) > _REMEMBERED_TRADES:
            del seen[next(iter(seen))]
        return PublicTrade(market.id, data.time_ms * _NS_PER_MS, ts_local_ns, aggressor, ticks, lots, data.trade_id)

    def _on_context(self, data: wire.Context, ts_local_ns: int) -> Sequence[MarketEvent]:
        """Mark and predicted funding rate, when they have changed. The venue stamps neither, and settles each hour."""
        market = self._markets.get(data.coin)
        if market is None:
            return self._ignore("other_symbol")
        events: list[MarketEvent] = []
        mark, funding = data.prices.mark, data.prices.funding
        try:
            half_ticks = None if mark is None else round(2.0 * mark / market.tick)
            rate_e12 = None if funding is None else round(funding * 1e12)
        except (ValueError, OverflowError):  # not a number, or infinite
            return self._count("bad_number")
        if half_ticks is not None and half_ticks > 0 and half_ticks != market.mark_half_ticks:
            market.mark_half_ticks = half_ticks
            events.append(MarkPriceUpdate(market.id, ts_local_ns, ts_local_ns, half_ticks))
        if rate_e12 is not None and rate_e12 != market.rate_e12:
            market.rate_e12 = rate_e12
            next_ns = (ts_local_ns // _HOUR_NS + 1) * _HOUR_NS
            events.append(FundingUpdate(market.id, ts_local_ns, ts_local_ns, rate_e12, next_ns, _HOUR_NS))
        return events

    def _unusual(self, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        """What is no book, best price or print: other channels, replies, damage."""
        try:
            body = msgspec.json.decode(frame)
        except _UNDECODABLE:
            if frame.strip() == _GREETING:
                return self._ignore("greeting")
            return self._unreadable("malformed", frame, ts_local_ns)
        if not isinstance(body, dict):
            return self._count("unknown_kind")
        channel = body.get("channel")
        if not isinstance(channel, str):
            return self._ignore("request") if "method" in body else self._count("unknown_kind")
        if channel in _OUR_CHANNELS:
            return self._unreadable("malformed", frame, ts_local_ns)
        if channel == "error":
            return self._count("refused_request")
        return self._ignore(channel) if channel in IGNORED_CHANNELS else self._count("unknown_kind")

    def _unreadable(self, problem: str, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        """A book that cannot be read voids the one before it, as far as its first bytes tell whose it is."""
        self._count(problem)
        head = frame[:_HEAD]
        coin = _COIN.search(head) if _BOOK_CHANNEL.search(head) else None
        market = self._markets.get(coin[1].decode("utf-8", "replace")) if coin else None
        if market is None:
            return ()
        return self._lose(market, InvalidCause.MALFORMED, f"{problem} book of {len(frame)} bytes", ts_local_ns)

    def _start_again(self, market: _Market, ts_local_ns: int) -> Sequence[MarketEvent]:
        """The block time has stepped back for good: what bears the old one is void, and the next book is the first."""
        market.invalid_cause = None  # said even where it was said before: best prices may be waiting for a book
        lost = self._lose(market, InvalidCause.OUT_OF_ORDER, "block time has stepped back", ts_local_ns)
        market.book_ms = market.best_ms = -1
        market.opened_ms = None
        return lost

    def _lose(self, market: _Market, cause: InvalidCause, detail: str, ts_local_ns: int) -> Sequence[MarketEvent]:
        """`BookInvalidated`, said once for as long as the cause stays the same."""
        if market.invalid_cause is cause:
            return ()
        market.invalid_cause = cause
        newest_ms = max(market.book_ms, market.best_ms)
        ts_venue_ns = newest_ms * _NS_PER_MS if newest_ms > 0 else ts_local_ns
        return (BookInvalidated(market.id, ts_venue_ns, ts_local_ns, cause, detail),)

    def _count(self, problem: str) -> Sequence[MarketEvent]:
        self._problems[problem] = self._problems.get(problem, 0) + 1
        return ()

    def _ignore(self, kind: str) -> Sequence[MarketEvent]:
        self._ignored[kind] = self._ignored.get(kind, 0) + 1
        return ()
