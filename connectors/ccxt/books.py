"""Market data as ccxt.pro gives them, with guards, for exchanges that we have no translator of.

A book is told whole, cut to so many levels, whenever ccxt says that it has moved. ccxt can keep a stale book for long
without a word, so each one is doubted: it must not be crossed, must not be older than a bound, and is compared with a
REST snapshot now and then; one that fails voids the book and has the whole client built anew. Every doubt is counted.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from connectors.ccxt.contracts import Contract
from connectors.ccxt.settings import CcxtSettings
from connectors.ccxt.streams import from_ccxt
from connectors.shared.displayed import Displayed
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import (
    BookInvalidated,
    BookSnapshot,
    Event,
    FundingUpdate,
    InvalidCause,
    Levels,
    MarkPriceUpdate,
    PublicTrade,
)
from mm_daemon.domain.orders import Side

_NS_PER_MS = 1_000_000
_NS_PER_HOUR = 3_600_000_000_000
_IDS_KEPT = 2048
_LEVELS_MAX = 5000
"""Levels a side that ccxt's own book may grow to: it forgets none that the venue does not remove."""
_COMPARED_LEVELS = 20
_SHARE_EXPECTED = 0.5
_DRIFTS_BEFORE_RECYCLE = 2
_RATE_ONE = 1e12
_TAKERS = {"buy": Side.BUY, "sell": Side.SELL}


class BookGuard:
    """One symbol's book and trades: what ccxt shows becomes events, or a doubt."""

    def __init__(self, contract: Contract, settings: CcxtSettings, now_ns: Callable[[], int]) -> None:
        self.contract = contract
        # The venue's own count of sizes, so that no contract size is multiplied in floats.
        self._displayed = Displayed(msgspec.structs.replace(contract.instrument, lot=contract.step))
        self._levels = settings.book_levels
        self._max_age_ns = settings.book_max_age_ms * _NS_PER_MS
        self._now_ns = now_ns
        self._update = 0
        self._told: tuple[Levels, Levels] | None = None
        self._moved_ns = 0
        self._drifts = 0
        self._ids: dict[str, None] = {}
        self._recent: deque[tuple[Levels, Levels]] = deque(maxlen=8)
        self.grown = False
        """ccxt's own book has become too large to be kept."""
        self.problems: Counter[str] = Counter()

    @property
    def stands(self) -> bool:
        return self._told is not None

    def on_book(self, book: Any) -> Sequence[Event]:
        """ccxt's live book, which it changes later: what is needed of it is taken at once."""
        now_ns = self._now_ns()
        at_ns = int(book.get("timestamp") or 0) * _NS_PER_MS or now_ns
        try:
            bids, asks = (self._cut(book[side]) for side in ("bids", "asks"))
        except (GridError, TypeError, ValueError, IndexError):
            self.problems["bad_number"] += 1
            return self.void(InvalidCause.MALFORMED, "a number is off the grid")
        self._moved_ns = now_ns
        self.grown = max(len(book["bids"]), len(book["asks"])) > _LEVELS_MAX
        if not bids or not asks:
            return self.void(InvalidCause.UNSYNCHRONISED, "a side of the book is empty")
        if bids[0][0] >= asks[0][0]:
            self.problems["crossed"] += 1
            return self.void(InvalidCause.CROSSED, "the book is crossed")
        if (bids, asks) == self._told:
            return ()
        self._told = (bids, asks)
        self._recent.append(self._told)
        self._update += 1
        return (BookSnapshot(self.contract.instrument.id, at_ns, now_ns, bids, asks, self._update),)

    def look(self) -> Sequence[Event]:
        """Void a book that has not been heard of for too long."""
        if self._told is None or self._now_ns() - self._moved_ns <= self._max_age_ns:
            return ()
        self.problems["too_old"] += 1
        return self.void(InvalidCause.UNSYNCHRONISED, "nothing was heard of the book for too long")

    def compare(self, book: Any) -> bool:
        """Whether a REST snapshot and what was told agree; False after too many that did not in a row."""
        if self._told is None:
            return True
        try:
            shown = [{ticks for ticks, _ in self._cut(book[side])[:_COMPARED_LEVELS]} for side in ("bids", "asks")]
        except (GridError, TypeError, ValueError, IndexError):
            self.problems["bad_snapshot"] += 1
            return True
        for told in self._recent:
            shares = [
                len(prices & {ticks for ticks, _ in side}) / len(prices) if prices else 1.0
                for prices, side in zip(shown, told, strict=True)
            ]
            if min(shares) >= _SHARE_EXPECTED:
                self._drifts = 0
                return True
        self.problems["drift"] += 1
        self._drifts += 1
        return self._drifts < _DRIFTS_BEFORE_RECYCLE

    def void(self, cause: InvalidCause, detail: str) -> Sequence[Event]:
        """`BookInvalidated`, said once."""
        if self._told is None:
            return ()
        self._told, self._drifts = None, 0
        self._recent.clear()
        now_ns = self._now_ns()
        return (BookInvalidated(self.contract.instrument.id, now_ns, now_ns, cause, detail),)

    def forget(self) -> None:
        """A new link: the next book is told, whatever was told before."""
        self._told = None
        self._recent.clear()

    def on_trades(self, trades: Sequence[Any]) -> list[Event]:
        """Trades not told before."""
        events: list[Event] = []
        now_ns = self._now_ns()
        for trade in trades:
            key, side = str(trade.get("id")), _TAKERS.get(str(trade.get("side")))
            if key in self._ids:
                continue
            self._ids[key] = None
            if len(self._ids) > _IDS_KEPT:
                del self._ids[next(iter(self._ids))]
            try:
                ticks = self._displayed.ticks(float(trade["price"]))
                lots = self._displayed.lots(float(trade["amount"]))
            except (GridError, TypeError, ValueError):
                self.problems["bad_number"] += 1
                continue
            if side is None or not lots:
                self.problems["bad_trade"] += 1
                continue
            self._update += 1
            at_ns = int(trade.get("timestamp") or 0) * _NS_PER_MS or now_ns
            number = int(key) if key.isdigit() and len(key) < 19 else self._update
            events.append(PublicTrade(self.contract.instrument.id, at_ns, now_ns, side, ticks, lots, number))
        return events

    def on_funding(self, row: Any) -> list[Event]:
        """ccxt's funding rate: mark and predicted rate."""
        instrument, now_ns = self.contract.instrument, self._now_ns()
        at_ns = int(row.get("timestamp") or 0) * _NS_PER_MS or now_ns
        events: list[Event] = []
        try:
            if row.get("markPrice") is not None:
                half_ticks = round(2.0 * float(row["markPrice"]) / float(instrument.tick))
                events.append(MarkPriceUpdate(instrument.id, at_ns, now_ns, half_ticks))
            due_ms = row.get("fundingTimestamp") or row.get("nextFundingTimestamp")
            if row.get("fundingRate") is not None and due_ms:
                rate_e12 = round(float(row["fundingRate"]) * _RATE_ONE)
                hours = str(row.get("interval") or "8h").removesuffix("h")
                period_ns = (int(hours) if hours.isdigit() else 8) * _NS_PER_HOUR
                due_ns = int(due_ms) * _NS_PER_MS
                events.append(FundingUpdate(instrument.id, at_ns, now_ns, rate_e12, due_ns, period_ns))
        except (ValueError, OverflowError):
            self.problems["bad_number"] += 1
        return events

    def _cut(self, side: Any) -> Levels:
        """The best levels. Raises GridError."""
        cut = [(float(level[0]), float(level[1])) for level in side[: self._levels]]
        return tuple(level for level in self._displayed.levels(cut) if level[1])


async def watch_book(exchange: Any, guard: BookGuard, tell: Callable[[Sequence[Event]], None]) -> None:
    """One task per stream, awaiting all the time: what nobody awaits, ccxt drops."""
    while True:
        tell(guard.on_book(await from_ccxt(exchange.watch_order_book(guard.contract.unified))))


async def watch_trades(exchange: Any, guard: BookGuard, tell: Callable[[Sequence[Event]], None]) -> None:
    while True:
        tell(guard.on_trades(await from_ccxt(exchange.watch_trades(guard.contract.unified))))


async def look_after(
    guard: BookGuard,
    tell: Callable[[Sequence[Event]], None],
    fetch_book: Callable[[str], Any],
    recycle: Callable[[str], None],
    *,
    every_s: float,
    look_s: float,
) -> None:
    """The doubts of one book: its age all the time, a snapshot every `every_s`. `fetch_book` is None when it fails."""
    waited_s = 0.0
    while True:
        await asyncio.sleep(look_s)
        waited_s += look_s
        if guard.grown:
            guard.grown = False
            guard.problems["grown"] += 1
            recycle("grown")
        old = guard.look()
        if old:
            tell(old)
            recycle("too_old")
        if waited_s < every_s:
            continue
        waited_s = 0.0
        book = await fetch_book(guard.contract.unified) if guard.stands else None
        if book is not None and not guard.compare(book):
            tell(guard.void(InvalidCause.UNSYNCHRONISED, "the book is not the exchange's any more"))
            recycle("drift")
