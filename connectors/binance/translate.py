"""Binance USD-M and spot market data: frames to events.

One translator serves all instruments of one link, or of one recording, and owns their sequence state (`book_sync.py`).
Frames may come wrapped (`{"stream", "data"}`) or bare; the REST depth reply is taken as it is and, naming no symbol, is
given to the one book it can start. Until such a snapshot, and again after a break (`BookInvalidated`), depth deltas are
held and the book stays invalid; without a further snapshot it never comes back.

Times: `ts_venue_ns` is the matching engine's time `T` where the frame has one, else the sending time `E`; spot's
bookTicker has neither and takes the newest venue time heard in its market. A delta is not checked for crossing here:
that is judged on the book, after the best-price overlay.

Called by the live connector and by `recorded`, once per frame: the hottest path of the house.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from connectors.binance import wire
from connectors.shared.book_sync import BookSync, Chaining, Restart, Verdict
from connectors.shared.displayed import Displayed
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    InvalidCause,
    Levels,
    MarketEvent,
    PublicTrade,
    TopOfBook,
)
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side

FRAME_BYTES_MAX = 4 << 20

_NS_PER_MS = 1_000_000
_WRAPPED = b'{"stream"'
_HEAD = 512
_DIFF_STREAM = re.compile(r"@depth(@\d+ms)?$")
_DEPTH_IN_STREAM = re.compile(rb'"stream"\s*:\s*"([^"@]+)@depth(?:@\d+ms)?"')
_DEPTH_IN_EVENT = re.compile(rb'"e"\s*:\s*"depthUpdate"')
_SYMBOL_IN_EVENT = re.compile(rb'"s"\s*:\s*"([^"]+)"')
_FOLLOWS = Verdict.FOLLOWS  # members of an enumeration are slow to look up
_BUY, _SELL = Side.BUY, Side.SELL
_UNDECODABLE = (msgspec.DecodeError, ValueError, RecursionError)

IGNORED_KINDS = frozenset(
    {
        "24hrMiniTicker",
        "24hrTicker",
        "ACCOUNT_CONFIG_UPDATE",
        "ACCOUNT_UPDATE",
        "ALGO_UPDATE",
        "CONDITIONAL_ORDER_TRIGGER_REJECT",
        "MARGIN_CALL",
        "ORDER_TRADE_UPDATE",
        "TRADE_LITE",
        "assetIndexUpdate",
        "compositeIndex",
        "contractInfo",
        "continuous_kline",
        "forceOrder",
        "kline",
        "listenKeyExpired",
        "markPriceUpdate",
        "serverShutdown",
    }
)
"""Event types we know and take nothing from."""

_OUR_KINDS = frozenset({"depthUpdate", "trade", "aggTrade", "bookTicker"})


class _Market:
    """One instrument's grids and sequence state."""

    __slots__ = (
        "diff_stream",
        "displayed",
        "id",
        "invalid_cause",
        "sync",
        "top_id",
        "top_restart",
        "trade_id",
        "trade_kind",
        "trade_restart",
        "venue_ns",
    )

    def __init__(self, instrument: Instrument, chaining: Chaining) -> None:
        self.id = instrument.id
        self.displayed = Displayed(instrument)
        self.sync = BookSync(chaining)
        self.invalid_cause: InvalidCause | None = InvalidCause.UNSYNCHRONISED
        self.diff_stream = ""
        self.top_id = -1
        self.top_restart = Restart()
        self.trade_id = -1
        self.trade_kind: type[wire.Payload] | None = None
        self.trade_restart = Restart()
        self.venue_ns = 0


class _BinanceTranslator:
    """`WireTranslator` of the venue; `problems` and `ignored` count frames by kind."""

    _wire: wire.Wire
    _chaining: Chaining

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._markets = {instrument.symbol: _Market(instrument, self._chaining) for instrument in instruments}
        self._wrapped = self._wire.wrapped
        self._bare = self._wire.bare
        self._problems: dict[str, int] = {}
        self._ignored: dict[str, int] = {}
        self._handlers: dict[type[wire.Payload], Callable[[Any, str, int], Sequence[MarketEvent]]] = {
            wire.BookTicker: self._on_top,
            wire.FuturesBookTicker: self._on_top,
            wire.Trade: self._on_trade,
            wire.AggregateTrade: self._on_trade,
            wire.Depth: self._on_depth,
        }

    @property
    def problems(self) -> Mapping[str, int]:
        """Frames that could not be used, by kind; `off_grid_size` counts sizes that were floored to whole lots."""
        off_grid = sum(market.displayed.off_grid for market in self._markets.values())
        return {**self._problems, "off_grid_size": off_grid} if off_grid else self._problems

    @property
    def ignored(self) -> Mapping[str, int]:
        """Good frames that we take nothing from, by kind."""
        return self._ignored

    def translate(self, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        """Events in a frame; see the port. Never raises."""
        if len(frame) > FRAME_BYTES_MAX:
            return self._unreadable("oversized", frame, ts_local_ns)
        try:
            if frame.startswith(_WRAPPED):
                envelope = self._wrapped(frame)
                data, stream = envelope.data, envelope.stream
            else:
                data, stream = self._bare(frame), ""
        except _UNDECODABLE:
            return self._unusual(frame, ts_local_ns)
        return self._handlers[type(data)](data, stream, ts_local_ns)

    def _on_top(self, data: wire.BookTicker, _stream: str, ts_local_ns: int) -> Sequence[MarketEvent]:
        market = self._markets.get(data.symbol)
        if market is None:
            return self._ignore("other_symbol")
        update_id = data.update_id
        restarted: Sequence[MarketEvent] = ()
        if update_id <= market.top_id:
            if not market.top_restart.noticed(market.top_id):
                return self._count("duplicate" if update_id == market.top_id else "out_of_order")
            restarted = self._restarted(market, ts_local_ns)
        try:
            ticks, lots = market.displayed.ticks, market.displayed.lots
            bid, bid_lots = ticks(data.bid), lots(data.bid_size)
            ask, ask_lots = ticks(data.ask), lots(data.ask_size)
        except GridError:
            self._count("bad_number")
            return restarted
        if bid >= ask:
            self._count("crossed")
            return restarted
        market.top_id = update_id
        ts_venue_ns = data.matched_ms * _NS_PER_MS or market.venue_ns or ts_local_ns
        best = TopOfBook(market.id, ts_venue_ns, ts_local_ns, bid, bid_lots, ask, ask_lots, update_id)
        return (*restarted, best) if restarted else (best,)

    def _restarted(self, market: _Market, ts_local_ns: int) -> Sequence[MarketEvent]:
        """Best prices count anew: the book is void, or it would show the old ones, newer by id, for ever."""
        market.sync.reset()
        market.invalid_cause = cause = InvalidCause.OUT_OF_ORDER
        ts_venue_ns = market.venue_ns or ts_local_ns
        return (BookInvalidated(market.id, ts_venue_ns, ts_local_ns, cause, "ids of the best prices begin anew"),)

    def _on_trade(
        self, data: wire.Trade | wire.AggregateTrade, _stream: str, ts_local_ns: int
    ) -> Sequence[MarketEvent]:
        market = self._markets.get(data.symbol)
        if market is None:
            return self._ignore("other_symbol")
        if data.type_ != "MARKET":  # insurance fund, auto-deleveraging: nobody chose to trade
            return self._count("trade_type")
        trade_id, kind = data.trade_id, type(data)
        if kind is not market.trade_kind:
            if market.trade_kind is not None:  # both trade streams are on: the same fills twice
                return self._ignore("second_trade_stream")
            market.trade_kind = kind
        if trade_id <= market.trade_id and not market.trade_restart.noticed(market.trade_id):
            return self._count("duplicate" if trade_id == market.trade_id else "out_of_order")
        try:
            ticks, lots = market.displayed.ticks(data.price), market.displayed.lots(data.quantity)
        except GridError:
            return self._count("bad_number")
        if not lots:
            return self._count("zero_size_trade")
        market.trade_id = trade_id
        market.venue_ns = ts_venue_ns = data.matched_ms * _NS_PER_MS
        aggressor = _SELL if data.buyer_is_maker else _BUY
        return (PublicTrade(market.id, ts_venue_ns, ts_local_ns, aggressor, ticks, lots, trade_id),)

    def _on_depth(self, data: wire.Depth, stream: str, ts_local_ns: int) -> Sequence[MarketEvent]:
        market = self._markets.get(data.symbol)
        if market is None:
            return self._ignore("other_symbol")
        if stream != market.diff_stream and not _is_diff(market, stream):
            return self._ignore("other_depth")
        if data.first_id > data.last_id:
            self._count("malformed")
            return self._lose(market, f"update ids {data.first_id}..{data.last_id} run backwards", ts_local_ns)
        try:
            bids, asks = market.displayed.levels(data.bids), market.displayed.levels(data.asks)
        except GridError as error:
            self._count("bad_number")
            return self._lose(market, str(error), ts_local_ns)
        market.venue_ns = ts_venue_ns = (data.matched_ms or data.pushed_ms) * _NS_PER_MS
        delta = BookDelta(market.id, ts_venue_ns, ts_local_ns, bids, asks, data.last_id)
        verdict = market.sync.offer(data.first_id, data.previous_id, delta)
        if verdict is _FOLLOWS:
            return (delta,)
        return self._out_of_step(market, verdict, data.first_id, delta)

    def _out_of_step(self, market: _Market, verdict: Verdict, first_id: int, delta: BookDelta) -> Sequence[MarketEvent]:
        """Every depth frame that is not simply the next one."""
        if market.sync.dropped:
            self._count("held_overflow", market.sync.dropped)
            market.sync.dropped = 0
        if verdict is Verdict.STARTS:
            return _started(market, delta.ts_local_ns)
        if verdict is Verdict.OLD:
            return self._count("duplicate" if delta.update_id == market.sync.newest_id else "out_of_order")
        if verdict is Verdict.HELD:
            return ()
        gap = verdict is Verdict.GAP
        self._count("gap" if gap else "out_of_order")
        detail = f"update {first_id}..{delta.update_id} does not follow the one before it"
        cause = InvalidCause.GAP if gap else InvalidCause.OUT_OF_ORDER
        return _invalid(market, cause, detail, delta.ts_venue_ns, delta.ts_local_ns)

    def _unusual(self, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        """What is no depth, trade or bookTicker frame at first sight: snapshots, replies, other streams, damage."""
        try:
            body = msgspec.json.decode(frame)
        except _UNDECODABLE:
            return self._unreadable("malformed", frame, ts_local_ns)
        stream = ""
        if isinstance(body, dict) and "data" in body:
            stream, body = str(body.get("stream", "")), body["data"]
        if not isinstance(body, dict):
            return self._count("unknown_kind")
        if "lastUpdateId" in body:
            return self._ignore("other_depth") if stream else self._on_snapshot(body, ts_local_ns)
        if "id" in body and "error" in body:
            return self._count("refused_request")
        if "id" in body and "result" in body:
            return self._ignore("reply")
        kind = body.get("e")
        if isinstance(kind, str) and kind not in _OUR_KINDS:
            return self._ignore(kind) if kind in IGNORED_KINDS else self._count("unknown_kind")
        try:
            data = self._wire.converted(body)
        except _UNDECODABLE:
            return self._unreadable("malformed", frame, ts_local_ns)
        return self._handlers[type(data)](data, stream, ts_local_ns)

    def _on_snapshot(self, body: dict[str, Any], ts_local_ns: int) -> Sequence[MarketEvent]:
        try:
            data = msgspec.convert(body, wire.DepthSnapshot, strict=False)
        except _UNDECODABLE:
            return self._count("malformed")
        found = self._fitting(data)
        if found is None:
            return ()
        market, bids, asks = found
        if bids and asks and max(bids)[0] >= min(asks)[0]:
            self._count("crossed")
            return _invalid(market, InvalidCause.CROSSED, "crossed snapshot", market.venue_ns, ts_local_ns)
        ts_venue_ns = data.matched_ms * _NS_PER_MS or market.venue_ns or ts_local_ns
        verdict = market.sync.offer_snapshot(
            BookSnapshot(market.id, ts_venue_ns, ts_local_ns, bids, asks, data.last_id)
        )
        if verdict is Verdict.STARTS:
            return _started(market, ts_local_ns)
        return self._count("stale_snapshot") if verdict is Verdict.GAP else ()

    def _fitting(self, data: wire.DepthSnapshot) -> tuple[_Market, Levels, Levels] | None:
        """The book a snapshot belongs to, with its levels; None, and counted, when there is not exactly one.

        Among several instruments it must be the only waiting book whose held deltas the snapshot's id continues and
        whose prices it shares.
        """
        waiting = [market for market in self._markets.values() if not market.sync.synchronised]
        if not waiting:
            self._ignore("snapshot_not_needed")
            return None
        alone = len(self._markets) == 1
        fitting = []
        for market in waiting:
            if not alone and not market.sync.could_start(data.last_id):
                continue
            try:
                bids, asks = market.displayed.levels(data.bids), market.displayed.levels(data.asks)
            except GridError:
                if alone:
                    self._count("bad_number")
                    return None
                continue
            if alone or _share_prices(bids, market.sync.held()):
                fitting.append((market, bids, asks))
        if len(fitting) == 1:
            return fitting[0]
        self._count("snapshot_without_symbol")
        return None

    def _unreadable(self, problem: str, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        """A frame that cannot be decoded voids the book whose depth it carried, as far as its first bytes tell.

        When they do not, the next depth frame shows the loss as a gap.
        """
        self._count(problem)
        market = self._depth_market(frame[:_HEAD])
        if market is None:
            return ()
        return self._lose(market, f"{problem} depth frame of {len(frame)} bytes", ts_local_ns)

    def _depth_market(self, head: bytes) -> _Market | None:
        if b'"stream"' in head:
            found = _DEPTH_IN_STREAM.search(head)
        else:
            found = _SYMBOL_IN_EVENT.search(head) if _DEPTH_IN_EVENT.search(head) else None
        return self._markets.get(found[1].decode("utf-8", "replace").upper()) if found else None

    def _lose(self, market: _Market, detail: str, ts_local_ns: int) -> Sequence[MarketEvent]:
        market.sync.reset()
        return _invalid(market, InvalidCause.MALFORMED, detail, market.venue_ns or ts_local_ns, ts_local_ns)

    def _count(self, problem: str, times: int = 1) -> Sequence[MarketEvent]:
        self._problems[problem] = self._problems.get(problem, 0) + times
        return ()

    def _ignore(self, kind: str) -> Sequence[MarketEvent]:
        self._ignored[kind] = self._ignored.get(kind, 0) + 1
        return ()


class BinanceUsdmTranslator(_BinanceTranslator):
    """USD-M futures."""

    _wire = wire.FUTURES
    _chaining = Chaining.PREVIOUS_ID


class BinanceSpotTranslator(_BinanceTranslator):
    """Spot."""

    _wire = wire.SPOT
    _chaining = Chaining.CONSECUTIVE


def _is_diff(market: _Market, stream: str) -> bool:
    """Whether a stream's depth is changes of the whole book, not its top (`depth20`) or another book (`rpiDepth`).

    A bare frame does not say; subscribing to one kind of depth is then up to the connector.
    """
    if stream and not _DIFF_STREAM.search(stream):
        return False
    market.diff_stream = stream
    return True


def _started(market: _Market, ts_local_ns: int) -> Sequence[MarketEvent]:
    """The snapshot and the deltas since, all stamped with the moment they became a book."""
    market.invalid_cause = None
    return [msgspec.structs.replace(event, ts_local_ns=ts_local_ns) for event in market.sync.take_start()]


def _invalid(
    market: _Market, cause: InvalidCause, detail: str, ts_venue_ns: int, ts_local_ns: int
) -> Sequence[MarketEvent]:
    """`BookInvalidated`, said once for as long as the cause stays the same."""
    if market.invalid_cause is cause:
        return ()
    market.invalid_cause = cause
    return (BookInvalidated(market.id, ts_venue_ns, ts_local_ns, cause, detail),)


def _share_prices(bids: Levels, deltas: list[BookDelta]) -> bool:
    """Whether any held bid lies within the snapshot's bids."""
    if not bids:
        return False
    low, high = min(bids)[0], max(bids)[0]
    return any(low <= ticks <= high for delta in deltas for ticks, _ in delta.bids)
