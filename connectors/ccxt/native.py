"""Binance USD-M market data on its own wire: our translator on the venue's streams, one for each symbol.

Two connections, as the venue splits its streams since 2026: `/public` has depth and best prices, `/market` trades and
the mark. Both come back by themselves, also after the day that the venue gives a connection. A book starts by a
snapshot that is fetched once its updates are being heard, and again after every break; nothing is told while the link
is down, and `begin` starts everything anew.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from connectors.shared.ws_session import Send, SessionLimits, WsSession
from mm_daemon.domain.errors import VenueUnreachable
from mm_daemon.domain.events import (
    BookInvalidated,
    BookSnapshot,
    Event,
    FundingUpdate,
    MarkPriceUpdate,
)
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.connector import WireTranslator

_PUBLIC = ("depth@100ms", "bookTicker")
_MARKET = ("aggTrade", "markPrice@1s")
_RETRY_S = 0.25
_NS_PER_MS = 1_000_000
_NS_PER_HOUR = 3_600_000_000_000
_RATE_ONE = 1e12
_WRAPPED = b'{"stream":"'
_DEPTH = b"@depth"
_MARK = b"@markPrice"


class _Mark(msgspec.Struct, gc=False):
    """`markPriceUpdate`."""

    mark: float = msgspec.field(name="p")
    pushed_ms: int = msgspec.field(name="E")
    rate: float = msgspec.field(name="r", default=0.0)
    next_ms: int = msgspec.field(name="T", default=0)


class _MarkEnvelope(msgspec.Struct, gc=False):
    data: _Mark


_mark = msgspec.json.Decoder(_MarkEnvelope, strict=False).decode


class _Stream:
    """One symbol: its translator, and whether its book stands."""

    __slots__ = ("funding_ns", "heard_depth", "instrument", "started", "translator")

    def __init__(self, instrument: Instrument, funding_ns: int) -> None:
        self.instrument = instrument
        self.funding_ns = funding_ns
        self.translator: WireTranslator | None = None
        self.heard_depth = asyncio.Event()
        self.started = False


class NativeMarketData:
    """Market data of one venue. `up` is whether both connections stand."""

    def __init__(
        self,
        url: str,
        instruments: Sequence[tuple[Instrument, int]],
        translator: type[WireTranslator],
        *,
        rng: Rng,
        now_ns: Callable[[], int],
        emit: Callable[[Event], None],
        fetch_depth: Callable[[str], Awaitable[bytes]],
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        limits: SessionLimits | None = None,
        tap: Callable[[bytes, int], None] | None = None,
    ) -> None:
        """`instruments` with the hours between their fundings. `fetch_depth(symbol)` is the REST depth reply, raising
        VenueUnreachable. `tap` is shown each frame and each depth reply."""
        self._translator = translator
        self._now_ns = now_ns
        self._emit = emit
        self._fetch_depth = fetch_depth
        self._tap = tap
        self._on_up = on_up
        self._on_down = on_down
        self._streams = {
            each.symbol.lower().encode(): _Stream(each, hours * _NS_PER_HOUR) for each, hours in instruments
        }
        self._telling = False
        self._problems: Counter[str] = Counter()
        self._wanting = asyncio.Event()
        self._open: set[str] = set()
        self._sessions = []
        for route, kinds in (("public", _PUBLIC), ("market", _MARKET)):
            names = "/".join(f"{name.decode()}@{kind}" for name in self._streams for kind in kinds)
            session = WsSession(
                f"{url}/{route}/stream?streams={names}",
                rng=rng.split(route),
                now_ns=now_ns,
                on_open=lambda send, route=route: self._opened(route, send),  # type: ignore[misc]
                on_frame=self._on_frame,
                on_closed=lambda cause, route=route: self._closed(route, cause),  # type: ignore[misc]
                limits=limits,
                tap=tap,
            )
            self._sessions.append(session)

    @property
    def up(self) -> bool:
        return len(self._open) == len(self._sessions)

    @property
    def problems(self) -> Mapping[str, int]:
        """Frames that could not be used, by kind."""
        total = Counter(self._problems)
        for stream in self._streams.values():
            total.update(stream.translator.problems if stream.translator is not None else {})
        total["oversized"] += sum(session.ends["oversized"] for session in self._sessions)
        return +total

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for session in self._sessions:
                group.create_task(session.run())
            for name in self._streams:
                group.create_task(self._start_books(name))

    def begin(self) -> None:
        """The link is up: from here on everything is told, and each book starts by a snapshot."""
        for stream in self._streams.values():
            self._problems.update(stream.translator.problems if stream.translator is not None else {})
            stream.translator = self._translator([stream.instrument])
            stream.heard_depth.clear()
            stream.started = False
        self._telling = True
        self._wanting.set()

    def stop_telling(self) -> None:
        """The link is down: nothing is told until `begin`."""
        self._telling = False

    async def _opened(self, route: str, _send: Send) -> None:
        self._open.add(route)
        if self.up:
            self._on_up()

    def _closed(self, route: str, cause: str) -> None:
        self._open.discard(route)
        self._on_down(f"{route} stream: {cause}")

    def _on_frame(self, frame: bytes, ts_local_ns: int) -> None:
        if not self._telling:
            return
        end = frame.find(b"@", len(_WRAPPED), 64)
        stream = self._streams.get(frame[len(_WRAPPED) : end]) if frame.startswith(_WRAPPED) else None
        if stream is None or stream.translator is None:
            if not frame.startswith(b'{"result"'):
                self._problems["malformed"] += 1
            return
        if frame.startswith(_MARK, end):
            self._on_mark(stream.instrument, stream.funding_ns, frame, ts_local_ns)
            return
        self._tell(stream, stream.translator.translate(frame, ts_local_ns))
        if frame.startswith(_DEPTH, end):
            stream.heard_depth.set()

    def _tell(self, stream: _Stream, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, BookSnapshot):
                stream.started = True
            elif isinstance(event, BookInvalidated):
                stream.started = False
                self._wanting.set()
            self._emit(event)

    def _on_mark(self, instrument: Instrument, funding_ns: int, frame: bytes, ts_local_ns: int) -> None:
        try:
            data = _mark(frame).data
            half_ticks, rate_e12 = round(2.0 * data.mark / float(instrument.tick)), round(data.rate * _RATE_ONE)
        except (msgspec.DecodeError, ValueError, OverflowError):
            self._problems["malformed"] += 1
            return
        at_ns = data.pushed_ms * _NS_PER_MS
        if half_ticks > 0:
            self._emit(MarkPriceUpdate(instrument.id, at_ns, ts_local_ns, half_ticks))
        if data.next_ms:
            due_ns = data.next_ms * _NS_PER_MS
            self._emit(FundingUpdate(instrument.id, at_ns, ts_local_ns, rate_e12, due_ns, funding_ns))

    async def _start_books(self, name: bytes) -> None:
        """Fetch snapshots of one symbol as long as its book does not stand."""
        stream = self._streams[name]
        while True:
            await self._wanting.wait()
            await stream.heard_depth.wait()
            if not self._telling or stream.started or stream.translator is None:
                await asyncio.sleep(_RETRY_S)
                if all(each.started for each in self._streams.values()):
                    self._wanting.clear()
                continue
            translator = stream.translator
            try:
                reply = await self._fetch_depth(stream.instrument.symbol)
            except VenueUnreachable:
                self._problems["no_snapshot"] += 1
            else:
                if translator is stream.translator and self._telling:
                    now_ns = self._now_ns()
                    if self._tap is not None:
                        self._tap(reply, now_ns)
                    self._tell(stream, translator.translate(reply, now_ns))
            await asyncio.sleep(_RETRY_S)
