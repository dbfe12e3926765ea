"""`RecordedConnector`: market data from a wire recording, read by the venue's own translator.

For `run` it plays in real time, or `speed` times as fast, on the recording's own clock: the application starts its
clock at `starts_at_ns` and runs it `speed` times as fast as the wall. Recordings that run together are played by the
first of them, merged, so that their events come in the order of a backtest however late the loop is. For backtests
`events` hands out the whole recording without a loop. Times are the recording's in both. It takes no orders: `paper`
executes those.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from connectors.recorded.reader import Damage, WireLog
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, PlaceOrder
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    Event,
    MarketEvent,
    OrderAmendRejected,
    OrderCancelRejected,
    OrderRejected,
    PublicTrade,
    TopOfBook,
    VenueConnected,
    VenueSnapshot,
)
from mm_daemon.domain.instrument import FixedTick, Instrument, PriceGrid, SignificantFigures, Venue
from mm_daemon.domain.orders import ClientOrderId, RejectKind
from mm_daemon.ports.connector import ConnectorContext, WireTranslator

if TYPE_CHECKING:
    import asyncio  # a backtest reads recordings without a loop, and starts sooner without this

Stream = Literal["depth", "trade", "bookTicker"]
STREAMS: tuple[Stream, ...] = ("depth", "trade", "bookTicker")

_EVENTS: dict[Stream, frozenset[type[MarketEvent]]] = {
    "depth": frozenset({BookSnapshot, BookDelta, BookInvalidated}),
    "trade": frozenset({PublicTrade}),
    "bookTicker": frozenset({TopOfBook}),
}
_SLEEP_MIN_S = 0.001
_BATCH = 256
_PPM_PER_BPS = 100
_NO_ORDERS = "a recording takes no orders; run it in paper mode"
_UNREADABLE = ("malformed", "oversized")


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
    """Which recording, whose wire it is, and what the contracts are."""

    path: Annotated[Path, Meta(description="the recording: `<ns> <frame>` lines, gzip or plain")]
    translator: Annotated[str, Meta(min_length=1, description="whose wire it is, for example binance-usdm")]
    instruments: Annotated[dict[str, InstrumentSettings], Meta(min_length=1, description="contract of each symbol")]
    speed: Annotated[float, Meta(gt=0, le=1000, description="how fast `run` plays it, times real time")] = 1.0
    streams: Annotated[
        tuple[Stream, ...], Meta(min_length=1, description="streams that are used; the others are not")
    ] = STREAMS


class RecordedConnector:
    """A `Connector` for `run` and a `RecordedFeed` for backtests, over one file."""

    Settings: ClassVar[type[msgspec.Struct]] = RecordedSettings
    capabilities = Capabilities(recorded=True)

    def __init__(self, context: ConnectorContext, settings: RecordedSettings) -> None:
        """Raises ConfigError when the file cannot be opened, or a symbol has no definition."""
        self._context = context
        self._settings = settings
        if context.translator is None:
            raise ConfigError(f"{context.venue}: a recording needs a translator, and none can be found here")
        self._translator: Callable[[Sequence[Instrument]], WireTranslator] = context.translator(settings.translator)
        missing = [symbol for symbol in context.symbols if symbol not in settings.instruments]
        if missing:
            raise ConfigError(
                f"{context.venue}: no definition of {', '.join(missing)}; give tick, lot and fees under "
                f"venues.{context.venue}.instruments.{missing[0]}"
            )
        self._instruments = tuple(
            settings.instruments[symbol].instrument(context.venue, symbol) for symbol in context.symbols
        )
        self._log = WireLog(settings.path)
        self._reading: WireTranslator = self._translator(self._instruments)
        self._starts_at_ns: int | None = None
        self._company: tuple[RecordedConnector, ...] = ()
        self._ended: asyncio.Event | None = None
        self._played_by: RecordedConnector | None = None
        self._playing: Iterator[_Addressed] = iter(())
        self._coming: _Addressed | None = None
        """The next event of all that is played, while `run` plays."""
        self.frames = 0
        """Frames read so far, used or not."""

    @property
    def speed(self) -> float:
        """How many seconds of the recording pass in one of the wall's."""
        return self._settings.speed

    @property
    def starts_at_ns(self) -> int:
        """Local time of the first frame: where a clock that plays this recording begins. Raises ConfigError."""
        if self._starts_at_ns is None:
            self._starts_at_ns = self._log.first_ns()
        return self._starts_at_ns

    @property
    def damage(self) -> Sequence[Damage]:
        """Places of the file that could not be used, the first hundred of them."""
        return self._log.damage

    @property
    def bytes_read(self) -> int:
        """Of the file as it is stored, as far as `events` has come."""
        return self._log.bytes_read

    @property
    def bytes_total(self) -> int:
        return self._log.size

    @property
    def notes(self) -> Sequence[str]:
        """`damage` for people."""
        log = self._log
        notes = [f"{log.path}: {damage}" for damage in log.damage]
        unnamed = log.damaged - len(log.damage)
        return [*notes, f"{log.path}: {unnamed} more damaged places"] if unnamed else notes

    @property
    def problems(self) -> Mapping[str, int]:
        """Frames that could not be used, by kind, and the damaged places of the file."""
        damaged = self._log.damaged
        return {**self._reading.problems, "recording_damage": damaged} if damaged else self._reading.problems

    def instruments(self) -> Sequence[Instrument]:
        return self._instruments

    def events(self) -> Iterator[MarketEvent]:
        """The whole recording, from its beginning at each call, in order of local time."""
        self.frames = 0
        self._reading = self._translator(self._instruments)
        unwanted = frozenset[type[MarketEvent]]().union(
            *(_EVENTS[stream] for stream in STREAMS if stream not in self._settings.streams)
        )
        return self._chosen(unwanted) if unwanted else self._all()

    def _all(self) -> Iterator[MarketEvent]:
        translate = self._reading.translate
        unreadable = 0
        for ts_local_ns, frame in self._log.frames():
            self.frames += 1
            events = translate(frame, ts_local_ns)
            if not events or type(events[0]) is BookInvalidated:
                unreadable = self._name_unreadable(unreadable)
            yield from events

    def _chosen(self, unwanted: frozenset[type[MarketEvent]]) -> Iterator[MarketEvent]:
        return (event for event in self._all() if type(event) not in unwanted)

    def _name_unreadable(self, before: int) -> int:
        """Name the frame just read as damage when the translator could not read it; how many there are by now."""
        problems = self._reading.problems
        unreadable = sum(problems.get(kind, 0) for kind in _UNREADABLE)
        if unreadable > before:
            self._log.name_frame("frame cannot be read")
        return unreadable

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
