"""`RecordedConnector`: market data from a recording: raw frames, events, a journal, or a table.

For `run` it plays in real time, or `speed` times as fast, on the recording's own clock: the application starts its
clock at `starts_at_ns` and runs it `speed` times as fast as the wall. Recordings that run together are played by the
first of them, merged, so that their events come in the order of a backtest however late the loop is. For backtests
`events` hands out the whole recording without a loop. Times are the recording's in both. It takes no orders: `paper`
executes those. What lies at the path is found out by `formats.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
from msgspec import Meta

from connectors.recorded import formats
from connectors.recorded.feed import STREAMS, Stream, WireFeed, only
from connectors.recorded.formats import Format
from connectors.recorded.funding import FundingRates
from connectors.recorded.reader import Damage, Damaged
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, PlaceOrder
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import (
    Event,
    FundingUpdate,
    MarketEvent,
    OrderAmendRejected,
    OrderCancelRejected,
    OrderRejected,
    VenueConnected,
    VenueSnapshot,
)
from mm_daemon.domain.instrument import FixedTick, Instrument, PriceGrid, SignificantFigures, Venue
from mm_daemon.domain.orders import ClientOrderId, RejectKind
from mm_daemon.ports.connector import ConnectorContext

if TYPE_CHECKING:
    import asyncio  # a backtest reads recordings without a loop, and starts sooner without this

_SLEEP_MIN_S = 0.001
_BATCH = 256
_PPM_PER_BPS = 100
_NO_ORDERS = "a recording takes no orders; run it in paper mode"
_NS_PER_HOUR = 3_600_000_000_000


_Addressed = tuple[MarketEvent, Callable[[Event], None]]


class InstrumentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One market's contract, which recordings do not carry. Fees in bps of notional; negative is a rebate."""

    base: Annotated[str, Meta(min_length=1, description="currency that is bought and sold")]
    quote: Annotated[str, Meta(min_length=1, description="currency it is paid in")]
    tick: Annotated[Decimal, Meta(gt=0, description="price step, quote currency")]
    significant_figures: (
        Annotated[
            int, Meta(ge=1, le=15, description="most figures of a price, whole prices aside; null = every tick is one")
        ]
        | None
    ) = None
    lot: Annotated[Decimal, Meta(gt=0, description="size step, base units")]
    min_notional: Annotated[Decimal, Meta(ge=0, description="least notional of an order, quote currency")] = Decimal(0)
    maker_fee_bps: Annotated[float, Meta(ge=-100, le=1000, description="fee of a resting fill, bps; negative: rebate")]
    taker_fee_bps: Annotated[float, Meta(ge=-100, le=1000, description="fee of a taking fill, bps")]

    def instrument(self, venue: Venue, symbol: str) -> Instrument:
        """Raises ConfigError when significant figures are asked for on a tick that is no power of ten up to one."""
        return Instrument(
            venue=venue,
            symbol=symbol,
            base=self.base,
            quote=self.quote,
            tick=self.tick,
            lot=self.lot,
            grid=self._grid(venue, symbol),
            min_notional=self.min_notional,
            maker_fee_ppm=round(self.maker_fee_bps * _PPM_PER_BPS),
            taker_fee_ppm=round(self.taker_fee_bps * _PPM_PER_BPS),
        )

    def _grid(self, venue: Venue, symbol: str) -> PriceGrid:
        if self.significant_figures is None:
            return FixedTick()
        decimals = -self.tick.adjusted()
        if decimals < 0 or self.tick != Decimal(10) ** -decimals:
            raise ConfigError(
                f"venues.{venue}.instruments.{symbol}: significant_figures needs a tick of 1, 0.1, 0.01 and so on, "
                f"not {self.tick}"
            )
        return SignificantFigures(figures=self.significant_figures, decimals=decimals)


class RecordedSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which recording, how it is to be read, and what the contracts are."""

    path: (
        Annotated[
            Path,
            Meta(
                description="the recording: a folder of `mm-daemon record`, a file of `<ns> <frame>` lines, a journal, "
                "files of Tardis, or a table of quotes or bars"
            ),
        ]
        | None
    ) = None
    format: Annotated[Format, Meta(description="what it is; auto: told by its content")] = "auto"
    translator: (
        Annotated[str, Meta(min_length=1, description="whose wire frames are of, for example binance-usdm")] | None
    ) = None
    instruments: Annotated[
        dict[str, InstrumentSettings],
        Meta(description="contract of each symbol; not needed where the recording knows it"),
    ] = msgspec.field(default_factory=dict)
    speed: Annotated[float, Meta(gt=0, le=1000, description="how fast `run` plays it, times real time")] = 1.0
    streams: Annotated[
        tuple[Stream, ...], Meta(min_length=1, description="streams that are used; the others are not")
    ] = STREAMS
    damaged: Annotated[
        Damaged, Meta(description="stop at the first damaged place, or skip it and use what is good")
    ] = "stop"
    funding: Annotated[
        dict[str, Path], Meta(description="funding rates to join, by symbol: a CSV or Parquet of timestamp, rate")
    ] = msgspec.field(default_factory=dict)
    funding_hours: Annotated[float, Meta(gt=0, le=168, description="hours between two fundings, of such series")] = 8.0
    columns: Annotated[
        dict[str, str], Meta(description="names of a table's columns where they are not found: {bid: my_bid}")
    ] = msgspec.field(default_factory=dict)
    bar_seconds: (
        Annotated[
            float, Meta(gt=0, le=31_622_400, description="length of a bar, seconds; null = told by the first rows")
        ]
        | None
    ) = None
    spread_bps: Annotated[float, Meta(ge=0, le=1000, description="spread assumed around the close of a bar, bps")] = 0.0


class RecordedConnector:
    """A `Connector` for `run` and a `RecordedFeed` for backtests, over one recording."""

    Settings: ClassVar[type[msgspec.Struct]] = RecordedSettings
    capabilities = Capabilities(recorded=True)

    def __init__(self, context: ConnectorContext, settings: RecordedSettings) -> None:
        """Raises ConfigError when there is nothing to read, or a symbol has no definition."""
        self._context = context
        self._settings = settings
        source = formats.find(context, settings.path, settings.format, settings.damaged, settings.columns)
        self._instruments = self._contracts(source)
        self._feed = formats.feed(
            source,
            context,
            self._instruments,
            translator=settings.translator,
            damaged=settings.damaged,
            options=formats.TableOptions(
                columns=settings.columns,
                bar_seconds=settings.bar_seconds,
                spread_bps=settings.spread_bps,
                funding_hours=settings.funding_hours,
            ),
        )
        self._funding = self._rates()
        tables = [source.table, *(rates.table for rates in self._funding)]
        self._threaded = any(table is not None and table.threaded for table in tables)
        self._starts_at_ns: int | None = None
        self._company: tuple[RecordedConnector, ...] = ()
        self._ended: asyncio.Event | None = None
        self._played_by: RecordedConnector | None = None
        self._playing: Iterator[_Addressed] = iter(())
        self._coming: _Addressed | None = None
        """The next event of all that is played, while `run` plays."""

    def _contracts(self, source: formats.Source) -> tuple[Instrument, ...]:
        """Those of the configuration, else those that the recording knows. Raises ConfigError."""
        venue, written = self._context.venue, self._settings.instruments
        missing = [symbol for symbol in self._context.symbols if symbol not in written]
        known = formats.contracts(source, venue) if missing else {}
        missing = [symbol for symbol in missing if symbol not in known]
        if missing:
            there = f" (the recording knows {', '.join(known)})" if known else ""
            raise ConfigError(
                f"{venue}: no definition of {', '.join(missing)}{there}; give tick, lot and fees under "
                f"venues.{venue}.instruments.{missing[0]}"
            )
        return tuple(
            written[symbol].instrument(venue, symbol) if symbol in written else known[symbol]
            for symbol in self._context.symbols
        )

    def _rates(self) -> Sequence[FundingRates]:
        """Raises ConfigError for a symbol that is not quoted, or a series that cannot be read."""
        settings, known = self._settings, {each.symbol: each for each in self._instruments}
        for symbol in settings.funding:
            if symbol not in known:
                raise ConfigError(
                    f"venues.{self._context.venue}.funding.{symbol}: no market of that name is quoted here; there are "
                    f"{', '.join(known)}"
                )
        period_ns = round(settings.funding_hours * _NS_PER_HOUR)
        return [
            FundingRates(path, known[symbol], period_ns=period_ns, damaged=settings.damaged)
            for symbol, path in settings.funding.items()
        ]

    @property
    def frames(self) -> int:
        """Frames, rows or records read so far, used or not."""
        return self._feed.frames

    @property
    def speed(self) -> float:
        """How many seconds of the recording pass in one of the wall's."""
        return self._settings.speed

    @property
    def starts_at_ns(self) -> int:
        """Local time of the first frame: where a clock that plays this recording begins. Raises ConfigError."""
        if self._starts_at_ns is None:
            self._starts_at_ns = self._feed.first_ns()
        return self._starts_at_ns

    @property
    def damage(self) -> Sequence[Damage]:
        """Places of the recording that could not be used, the first hundred of them."""
        return self._feed.damage

    @property
    def bytes_read(self) -> int:
        """Of the recording as it is stored, as far as `events` has come; 0 where that is not known."""
        return self._feed.length[0]

    @property
    def bytes_total(self) -> int:
        """0 where it is not known."""
        return self._feed.length[1]

    @property
    def notes(self) -> Sequence[str]:
        """`damage` for people, and what such a recording cannot show."""
        notes = self._feed.notes
        return [*notes, *(note for rates in self._funding for note in rates.notes)] if self._funding else notes

    @property
    def problems(self) -> Mapping[str, int]:
        """Frames that could not be used, by kind, and the damaged places of the recording."""
        problems, damaged = self._feed.problems, sum(rates.damaged for rates in self._funding)
        return {**problems, "funding_damage": damaged} if damaged else problems

    @property
    def forkable(self) -> bool:
        """Whether a process forked from this one may read it: not by polars, which has threads."""
        return not self._threaded

    def instruments(self) -> Sequence[Instrument]:
        return self._instruments

    def events(self) -> Iterator[MarketEvent]:
        """The whole recording, from its beginning at each call, in order of local time. Raises ConfigError at damage
        that is to stop it."""
        events = only(self._feed.events(), self._settings.streams)
        if not self._funding:
            return events
        rates = merge(*(each.events() for each in self._funding), key=attrgetter("ts_local_ns"))
        return _joined(events, rates)

    def raw_frames(self) -> Iterator[tuple[int, bytes]] | None:
        """(local time, frame) as recorded; None: this recording holds no frames."""
        return self._feed.raw() if isinstance(self._feed, WireFeed) else None

    async def load_instruments(self) -> Sequence[Instrument]:
        return self._instruments

    def play_with(self, others: "Sequence[RecordedConnector]") -> None:
        """Let `run` play `others` too, all in order of local time; those at the same instant in the order given.

        `run` of each of the others then only waits until it has. Called before any of them runs.
        """
        import asyncio

        self._company = tuple(others)
        for other in others:
            other._ended = asyncio.Event()
            other._played_by = self

    async def run(self) -> None:
        """Emit each event when the context's clock reaches its time; returns at the end of the file, or files."""
        import asyncio

        if self._ended is not None:
            await self._ended.wait()
            return
        delay_s = self._context.delay_s
        played = (self, *self._company)
        for feed in played:
            started_ns = self._context.now_ns()
            feed._context.emit(VenueConnected(feed._context.venue, started_ns, started_ns))
        at_once = 0
        self._playing = merge(*(feed._addressed() for feed in played), key=_local_ns)
        self._coming = next(self._playing, None)
        while (coming := self._coming) is not None:
            if (early_s := delay_s(coming[0].ts_local_ns)) > 0:
                at_once = 0
                await asyncio.sleep(max(early_s, _SLEEP_MIN_S))
                continue
            self._emit_coming(coming)
            at_once += 1
            if at_once == _BATCH:
                at_once = 0
                await asyncio.sleep(0)
        for feed in self._company:
            if feed._ended is not None:
                feed._ended.set()

    def catch_up(self, until_ns: int) -> None:
        """Emit what is due by `until_ns`, an instant that has come, before anybody is told of something later."""
        playing = self._played_by or self
        while (coming := playing._coming) is not None and coming[0].ts_local_ns <= until_ns:
            playing._emit_coming(coming)

    def _emit_coming(self, coming: _Addressed) -> None:
        self._coming = next(self._playing, None)
        event, emit = coming
        emit(event)

    def _addressed(self) -> Iterator[_Addressed]:
        """The events, each with where it goes."""
        emit = self._context.emit
        return ((event, emit) for event in self.events())

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        """Nobody here can execute: every order is refused."""
        now_ns = self._context.now_ns()
        for approved in commands:
            command = approved.command
            if isinstance(command, PlaceOrder):
                target = command.instrument, now_ns, now_ns, command.client_id
                self._context.emit(OrderRejected(*target, RejectKind.OTHER, _NO_ORDERS))
            elif isinstance(command, AmendOrder):
                target = command.instrument, now_ns, now_ns, command.client_id
                self._context.emit(OrderAmendRejected(*target, RejectKind.GONE, _NO_ORDERS))
            elif isinstance(command, CancelOrder):
                target = command.instrument, now_ns, now_ns, command.client_id
                self._context.emit(OrderCancelRejected(*target, RejectKind.GONE, _NO_ORDERS))

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        """Nothing is ever open here."""
        now_ns = self._context.now_ns()
        return VenueSnapshot(self._context.venue, now_ns, now_ns, (), ())

    async def query_order(self, client_id: ClientOrderId) -> None:
        """Nothing to ask: each order was refused when it was sent."""

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        """Nothing to arm: no order can be alive here."""

    async def cancel_all(self) -> None:
        """Nothing to cancel: no order can be alive here."""

    async def close(self) -> None:
        """The file is closed when `run` or `events` ends."""


def _local_ns(addressed: _Addressed) -> int:
    return addressed[0].ts_local_ns


def _joined(events: Iterator[MarketEvent], rates: Iterator[FundingUpdate]) -> Iterator[MarketEvent]:
    """Both in order of time, from the first of the events to the last; what was known before stands at the first."""
    first = next(events, None)
    if first is None:
        return
    start_ns = first.ts_local_ns
    known: dict[str, FundingUpdate] = {}
    coming = next(rates, None)
    while coming is not None and coming.ts_local_ns <= start_ns:
        known[coming.instrument] = coming
        coming = next(rates, None)
    for update in known.values():
        if update.next_ns > start_ns:
            yield msgspec.structs.replace(update, ts_local_ns=start_ns)
    yield first
    for event in events:
        while coming is not None and coming.ts_local_ns <= event.ts_local_ns:
            yield coming
            coming = next(rates, None)
        yield event
