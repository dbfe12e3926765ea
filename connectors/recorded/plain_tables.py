"""Tables of quotes or of bars as market data, each with no more than it can honestly say of fills.

Quotes show the best prices and nothing of trades: a resting order is filled where the opposite best price comes to it
or beyond, never by waiting in a queue.

Bars show four prices of a time. All that is known of a bar is told at its end, so that nothing is quoted with knowledge
of the future. An order is filled only where the price traded *through* it, by a tick at least, and against us: a bar
that closed lower shows its low, so that bids above it are filled on the way down, and not its high; one that closed
higher shows its high alone. Around the close stands a spread that the configuration assumes, since bars show none.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor
from typing import Literal

from connectors.recorded.feed import single
from connectors.recorded.funding import FundingRates, rate_e12
from connectors.recorded.reader import DAMAGE_MAX, Damage
from connectors.recorded.tables import Cell, Table, Times, find_columns, number, text_of
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import BookSnapshot, Levels, MarketEvent, VolatilityUpdate
from mm_daemon.domain.instrument import Instrument

Kind = Literal["quotes", "bars"]
QUOTES = ("time", "bid", "ask")
BARS = ("time", "open", "high", "low", "close")
_OPTIONAL: Mapping[Kind, tuple[str, ...]] = {
    "quotes": ("symbol", "bid_size", "ask_size", "volatility", "funding"),
    "bars": ("symbol", "volume", "volatility", "funding"),
}
_NEEDED: Mapping[Kind, tuple[str, ...]] = {"quotes": QUOTES, "bars": BARS}
UNLIMITED_LOTS = 1_000_000_000
"""Shown where a table says nothing of sizes."""
_SLACK = 1e-9
_PER_ONE = 1_000_000
_MOST: Mapping[str, tuple[float, float]] = {"funding": (-1.0, 1.0), "volatility": (0.0, 100.0)}
_NS_PER_S = 1_000_000_000
_LOOKED_AT = 64
"""Rows of whose distances the shortest is the length of a bar."""


def kind_of(columns: Sequence[str], given: Mapping[str, str]) -> Kind | None:
    """What a table is by its columns; None: neither."""
    found = find_columns(columns, given, (*QUOTES, *BARS[1:]))
    if all(name in found for name in QUOTES):
        return "quotes"
    return "bars" if all(name in found for name in BARS) else None


class PlainTableFeed:
    """Quotes or bars of the instruments that stand in the table."""

    def __init__(
        self,
        kind: Kind,
        table: Table,
        instruments: Sequence[Instrument],
        *,
        columns: Mapping[str, str],
        bar_seconds: float | None,
        spread_bps: float,
        funding_hours: float,
    ) -> None:
        """`columns`: names of the file by ours. Raises ConfigError for columns that are missing."""
        self._kind = kind
        self._table = table
        self._instruments = instruments
        self._places = find_columns(table.columns, columns, (*_NEEDED[kind], *_OPTIONAL[kind]))
        missing = [name for name in _NEEDED[kind] if name not in self._places]
        if missing:
            raise ConfigError(
                f"recording {table.name}:1: {kind} need a column {missing[0]}, and there are "
                f"{', '.join(table.columns)}; say which it is under columns: {{{missing[0]}: NAME}}"
            )
        if "symbol" not in self._places:
            single(instruments, f"recording {table.name}")
        self._bar_ns = None if bar_seconds is None else round(bar_seconds * _NS_PER_S)
        self._spread_bps = spread_bps
        self._funding_ns = round(funding_hours * 3600 * _NS_PER_S)
        self._others: set[str] = set()
        self._unit = ""
        self.frames = 0
        self.off_grid = 0

    def first_ns(self) -> int:
        for event in self.events():
            return event.ts_local_ns
        names = ", ".join(each.symbol for each in self._instruments)
        raise ConfigError(f"recording {self._table.name}: holds no row of {names}")

    @property
    def damage(self) -> Sequence[Damage]:
        return self._table.damage

    @property
    def length(self) -> tuple[int, int]:
        return self._table.length

    @property
    def problems(self) -> Mapping[str, int]:
        counts = {"recording_damage": self._table.damaged, "off_grid_price": self.off_grid}
        return {kind: count for kind, count in counts.items() if count}

    @property
    def notes(self) -> Sequence[str]:
        """Damage, and what such a table cannot show."""
        name, known = self._table.name, self._places
        notes = [*self._table.notes][:DAMAGE_MAX]
        if self._unit:
            notes.append(f"{name}: times are read as {self._unit} since 1970, UTC")
        if self._kind == "quotes":
            sized = "bid_size" in known and "ask_size" in known
            notes.append(
                f"{name}: quotes only: an order is filled where the opposite best price comes to it; queues, trades "
                f"and depth are not modelled{'' if sized else ', sizes are taken as unlimited'}"
            )
        else:
            volume = "up to the bar's volume" if "volume" in known else "of any size, for there is no volume"
            notes.append(
                f"{name}: bars only: an order is filled where the price traded through it, on the side that the bar "
                f"closed against, {volume}; the spread is assumed ({self._spread_bps:g} bps, a tick at least); queues, "
                "latency within a bar and the path between its prices are not modelled"
            )
        if "volatility" in known:
            notes.append(f"{name}: its column of annual volatility stands in the place of the engine's own estimate")
        return notes

    def events(self) -> Iterator[MarketEvent]:
        self.frames = self.off_grid = 0
        self._others.clear()
        return self._quotes() if self._kind == "quotes" else self._bars()

    def _quotes(self) -> Iterator[MarketEvent]:
        places, update = self._places, 0
        bid_at, ask_at = places["bid"], places["ask"]
        bid_size, ask_size = places.get("bid_size"), places.get("ask_size")
        for instrument, at_ns, row in self._rows():
            tick = float(instrument.tick)
            try:
                bid, ask = number(row[bid_at]), number(row[ask_at])
                bid_lots, ask_lots = (self._lots(instrument, row, at) for at in (bid_size, ask_size))
            except ValueError as error:
                self._table.spoil(f"a number cannot be read: {error}")
                continue
            if bid is None or ask is None:
                continue  # a side of the book is empty: the row says nothing
            bid_ticks, ask_ticks = floor(bid / tick + _SLACK), ceil(ask / tick - _SLACK)
            if bid_ticks <= 0 or bid_ticks >= ask_ticks:
                self._table.spoil(f"bid {bid:g} and ask {ask:g} make no book")
                continue
            self._see_grid(bid / tick, ask / tick)
            update += 1
            yield _book(instrument, at_ns, (bid_ticks, bid_lots), (ask_ticks, ask_lots), update)
            yield from self._beside(instrument, at_ns, row)

    def _bars(self) -> Iterator[MarketEvent]:
        places, update = self._places, 0
        prices_at = [places[name] for name in BARS[1:]]
        bar_ns = self._bar_ns or self._shortest_distance()
        for instrument, begun_ns, row in self._rows():
            tick = float(instrument.tick)
            try:
                open_, high, low, close = (number(row[at]) for at in prices_at)
                lots = self._lots(instrument, row, places.get("volume"))
            except ValueError as error:
                self._table.spoil(f"a number cannot be read: {error}")
                continue
            if open_ is None or high is None or low is None or close is None:
                continue
            if not 0 < low <= min(open_, close) <= max(open_, close) <= high:
                self._table.spoil(f"open {open_:g}, high {high:g}, low {low:g}, close {close:g} are no bar")
                continue
            self._see_grid(low / tick, high / tick, close / tick)
            at_ns = begun_ns + bar_ns
            extreme = _adverse(open_ / tick, high / tick, low / tick, close / tick)
            if extreme is not None and lots:
                update += 1
                yield _book(instrument, at_ns, (extreme, lots), (extreme + 1, lots), update)
            update += 1
            middle = round(close / tick)
            half = max(1, ceil(close / tick * self._spread_bps / 20_000))
            size = max(lots, 1)
            yield _book(instrument, at_ns, (max(1, middle - half), size), (middle + half, size), update)
            yield from self._beside(instrument, at_ns, row)

    def _rows(self) -> Iterator[tuple[Instrument, int, Sequence[Cell]]]:
        """Rows of our instruments in order of time; whatever else is there is named."""
        table, places, times = self._table, self._places, Times()
        time_at, symbol_at = places["time"], places.get("symbol")
        markets = {each.symbol: each for each in self._instruments}
        only = self._instruments[0] if symbol_at is None else None
        last_ns = 0
        for row in table.rows():
            self.frames += 1
            market = only
            if symbol_at is not None:
                symbol = text_of(row[symbol_at])
                market = markets.get(symbol) or markets.get(symbol.upper())
                if market is None:
                    self._name_other(symbol)
                    continue
            assert market is not None
            try:
                at_ns = times.ns(row[time_at])
            except ValueError as error:
                table.spoil(str(error))
                continue
            self._unit = times.unit
            if at_ns < last_ns:
                table.spoil("time steps back; sort the table by time (the row is left out)")
                continue
            last_ns = at_ns
            yield market, at_ns, row

    def _name_other(self, symbol: str) -> None:
        if symbol not in self._others:
            self._others.add(symbol)
            ours = ", ".join(each.symbol for each in self._instruments)
            self._table.spoil(f"rows of {symbol} stand here, which is not quoted (only {ours}); they are left out")

    def _lots(self, instrument: Instrument, row: Sequence[Cell], place: int | None) -> int:
        """Whole lots of a size; at least one where there is any. Raises ValueError."""
        size = None if place is None else number(row[place])
        if size is None:
            return UNLIMITED_LOTS
        if size < 0:
            raise ValueError(f"a size of {size:g}")
        lots = floor(size / float(instrument.lot) + _SLACK)
        return min(max(lots, 1 if size else 0), UNLIMITED_LOTS)

    def _beside(self, instrument: Instrument, at_ns: int, row: Sequence[Cell]) -> Iterator[MarketEvent]:
        """What else the row says: the funding rate of a period, and the annual volatility, as fractions."""
        rate, volatility = (self._fraction(row, name) for name in ("funding", "volatility"))
        if rate is not None:
            yield FundingRates.update(instrument.id, at_ns, rate_e12(rate), self._funding_ns)
        if volatility is not None:
            yield VolatilityUpdate(instrument.id, at_ns, at_ns, round(volatility * _PER_ONE))

    def _fraction(self, row: Sequence[Cell], name: str) -> float | None:
        place = self._places.get(name)
        if place is None:
            return None
        try:
            value = number(row[place])
            most = _MOST[name]
            if value is not None and not most[0] <= value <= most[1]:
                raise ValueError(f"{value:g} is not within {most[0]:g} and {most[1]:g}; it is a fraction, 0.5 for 50 %")
        except ValueError as error:
            self._table.spoil(f"{name} cannot be used: {error}")
            return None
        return value

    def _see_grid(self, *ticks: float) -> None:
        self.off_grid += any(abs(each - round(each)) > 1e-6 for each in ticks)

    def _shortest_distance(self) -> int:
        """Length of a bar: the shortest distance between the first rows. Raises ConfigError when there are too few."""
        times, shortest, last_ns = Times(), 0, 0
        table = self._table
        for seen, row in enumerate(table.rows()):
            try:
                at_ns = times.ns(row[self._places["time"]])
            except ValueError:
                continue  # named when it is read
            if last_ns < at_ns and last_ns:
                shortest = min(shortest or at_ns - last_ns, at_ns - last_ns)
            last_ns = max(last_ns, at_ns)
            if seen >= _LOOKED_AT:
                break
        if not shortest:
            raise ConfigError(f"recording {table.name}: one bar does not tell how long a bar is; write bar_seconds")
        return shortest


def _adverse(open_: float, high: float, low: float, close: float) -> int | None:
    """The price p such that a book of p and p + 1 fills, at their own price, exactly the orders that the bar traded
    through on the side that it closed against; None: it did not move. All in ticks.

    Closed lower: bids above the low, so that the ask is the first tick above it. Closed higher: asks below the high.
    Closed where it opened: the further of the two.
    """
    if high == low:
        return None
    down = close < open_ or (close == open_ and open_ - low >= high - open_)
    if down:
        return max(1, ceil(low - _SLACK))
    return max(1, floor(high + _SLACK) - 1)


def _book(instrument: Instrument, at_ns: int, bid: tuple[int, int], ask: tuple[int, int], update: int) -> BookSnapshot:
    bids: Levels = (bid,) if bid[1] else ()
    asks: Levels = (ask,) if ask[1] else ()
    return BookSnapshot(instrument.id, at_ns, at_ns, bids, asks, update)
