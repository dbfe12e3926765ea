"""The market as the simulated venue publishes it: books, best prices and marks; what anybody may ask of them, and what
the streams say. Owns nothing but what was published.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from connectors.simulators.binance_usdm.limits import Refused
from connectors.simulators.binance_usdm.rows import NS_PER_MS, Row
from mm_daemon.domain.book import NO_ASK, NO_BID, OrderBook
from mm_daemon.domain.events import BookDelta, BookSnapshot, Event, FundingUpdate, MarkPriceUpdate, PublicTrade
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.domain.orders import Side

_IDS_AN_UPDATE = 100
_FIRST_ID_BEHIND = 37
"""Update ids of the real venue are global: those between two updates of a symbol belong to others."""


class Said(NamedTuple):
    """A message: its channel for faults, the stream it belongs to (empty: the account's own), its payload."""

    channel: str
    stream: str
    data: Row


class Published:
    """Of the symbols that are traded."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._by_id = {each.id: each for each in instruments}
        self.instruments: Mapping[str, Instrument] = {each.symbol: each for each in self._by_id.values()}
        self._books = {name: OrderBook() for name in self._by_id}
        self._marks: dict[InstrumentId, tuple[int, FundingUpdate | None]] = {}
        self._best: dict[InstrumentId, tuple[int, int, int, int]] = {}

    def traded(self, symbol: str) -> Instrument:
        """Raises Refused."""
        instrument = self.instruments.get(symbol)
        if instrument is None:
            raise Refused(-1121, "Invalid symbol.")
        return instrument

    # What anybody may ask

    def depth(self, symbol: str, limit: int, now_ns: int) -> Row:
        instrument = self.traded(symbol)
        book = self._books[instrument.id]
        return {
            "lastUpdateId": book.update_id * _IDS_AN_UPDATE,
            "E": now_ns // NS_PER_MS,
            "T": now_ns // NS_PER_MS,
            "bids": _levels(instrument, book.levels(Side.BUY, limit)),
            "asks": _levels(instrument, book.levels(Side.SELL, limit)),
        }

    def best(self, symbol: str, now_ns: int) -> Row:
        return self._ticker(self.traded(symbol), self.best_of(self.traded(symbol).id), now_ns // NS_PER_MS)

    def premium(self, symbol: str, now_ns: int) -> Row:
        instrument = self.traded(symbol)
        half_ticks, funding = self.mark_half_ticks(instrument.id), self._marks.get(instrument.id, (0, None))[1]
        mark = f"{instrument.tick * half_ticks / 2:f}"
        return {
            "symbol": symbol,
            "markPrice": mark,
            "indexPrice": mark,
            "estimatedSettlePrice": mark,
            "lastFundingRate": "0" if funding is None else _rate(funding),
            "interestRate": "0.00010000",
            "nextFundingTime": 0 if funding is None else funding.next_ns // NS_PER_MS,
            "time": now_ns // NS_PER_MS,
        }

    def mark_half_ticks(self, instrument: InstrumentId) -> int:
        """In half ticks; the mid where there is no funding and so no mark; 0: not known."""
        half_ticks = self._marks.get(instrument, (0, None))[0]
        if half_ticks:
            return half_ticks
        bid, _, ask, _ = self.best_of(instrument)
        return bid + ask if bid != NO_BID and ask != NO_ASK else 0

    def best_of(self, instrument: InstrumentId) -> tuple[int, int, int, int]:
        return self._best.get(instrument, (NO_BID, 0, NO_ASK, 0))

    # What the streams say

    def take(self, event: Event) -> list[Said]:
        """Publish one event of the market: what the streams say of it. Of the account's they say nothing here."""
        if isinstance(event, BookDelta | BookSnapshot):
            return list(self._book(event))
        if isinstance(event, PublicTrade):
            return self._trade(event)
        if isinstance(event, MarkPriceUpdate):
            known = self._marks.get(event.instrument, (0, None))[1]
            self._marks[event.instrument] = (event.mark_half_ticks, known)
        elif isinstance(event, FundingUpdate):
            self._marks[event.instrument] = (self._marks[event.instrument][0], event)
            return [self._mark(event)]
        return []

    def _book(self, event: BookDelta | BookSnapshot) -> Iterator[Said]:
        book, instrument = self._books[event.instrument], self._by_id[event.instrument]
        before = book.update_id
        book.apply(event)
        at_ms = event.ts_venue_ns // NS_PER_MS
        if isinstance(event, BookDelta):
            last = event.update_id * _IDS_AN_UPDATE
            data: Row = {
                "e": "depthUpdate",
                "E": at_ms,
                "T": at_ms,
                "s": instrument.symbol,
                "ps": instrument.symbol,
                "U": last - _FIRST_ID_BEHIND,
                "u": last,
                "pu": before * _IDS_AN_UPDATE,
                "b": _levels(instrument, event.bids),
                "a": _levels(instrument, event.asks),
                "st": 1,
            }
            yield Said("depthUpdate", f"{instrument.symbol.lower()}@depth", data)
        bids, asks = book.levels(Side.BUY, 1), book.levels(Side.SELL, 1)
        best = (*(bids[0] if bids else (NO_BID, 0)), *(asks[0] if asks else (NO_ASK, 0)))
        if best != self._best.get(event.instrument) and bids and asks:
            self._best[event.instrument] = best
            ticker = self._ticker(instrument, best, at_ms) | {"e": "bookTicker", "E": at_ms, "T": at_ms, "st": 1}
            yield Said("bookTicker", f"{instrument.symbol.lower()}@bookTicker", _stream_ticker(ticker))

    def _ticker(self, instrument: Instrument, best: tuple[int, int, int, int], at_ms: int) -> Row:
        bid, bid_lots, ask, ask_lots = best
        return {
            "symbol": instrument.symbol,
            "bidPrice": f"{instrument.price(bid):f}",
            "bidQty": f"{instrument.size(bid_lots):f}",
            "askPrice": f"{instrument.price(ask):f}",
            "askQty": f"{instrument.size(ask_lots):f}",
            "time": at_ms,
            "lastUpdateId": self._books[instrument.id].update_id * _IDS_AN_UPDATE,
        }

    def _trade(self, event: PublicTrade) -> list[Said]:
        instrument = self._by_id[event.instrument]
        at_ms, number = event.ts_venue_ns // NS_PER_MS, event.trade_id
        price, size = f"{instrument.price(event.ticks):f}", f"{instrument.size(event.lots):f}"
        taker_sold = event.aggressor is Side.SELL
        shared: Row = {"E": at_ms, "T": at_ms, "s": instrument.symbol, "p": price, "q": size, "m": taker_sold, "st": 1}
        name = instrument.symbol.lower()
        one: Row = {"e": "trade", **shared, "t": number, "X": "MARKET"}
        many: Row = {"e": "aggTrade", **shared, "a": number, "f": number, "l": number, "nq": size}
        return [Said("trade", f"{name}@trade", one), Said("aggTrade", f"{name}@aggTrade", many)]

    def _mark(self, event: FundingUpdate) -> Said:
        premium = self.premium(self._by_id[event.instrument].symbol, event.ts_venue_ns)
        data: Row = {
            "e": "markPriceUpdate",
            "E": premium["time"],
            "s": premium["symbol"],
            "p": premium["markPrice"],
            "ap": premium["markPrice"],
            "P": premium["estimatedSettlePrice"],
            "i": premium["indexPrice"],
            "r": premium["lastFundingRate"],
            "T": premium["nextFundingTime"],
            "st": 1,
        }
        return Said("markPriceUpdate", f"{premium['symbol'].lower()}@markPrice", data)


def _levels(instrument: Instrument, levels: Sequence[tuple[int, int]]) -> list[list[str]]:
    return [[f"{instrument.price(ticks):f}", f"{instrument.size(lots):f}"] for ticks, lots in levels]


def _rate(funding: FundingUpdate) -> str:
    return f"{Decimal(funding.rate_e12).scaleb(-12):.8f}"


def _stream_ticker(row: Row) -> Row:
    names = {"bidPrice": "b", "bidQty": "B", "askPrice": "a", "askQty": "A", "symbol": "s", "lastUpdateId": "u"}
    return {names.get(name, name): value for name, value in row.items() if name != "time"}
