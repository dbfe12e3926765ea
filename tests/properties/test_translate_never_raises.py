"""Law of the wire: whatever bytes arrive, a translator answers with events or counts a problem, and never raises."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.binance.translate import BinanceSpotTranslator, BinanceUsdmTranslator
from connectors.hyperliquid.translate import HyperliquidTranslator
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import BookDelta, BookInvalidated, BookSnapshot, Event
from tests.unit.connectors.binance.frames import depth, futures, running, snapshot, spot, top, trade
from tests.unit.connectors.hyperliquid import frames as hyperliquid

Translator = BinanceUsdmTranslator | BinanceSpotTranslator | HyperliquidTranslator

GOOD = [
    depth(30, 40, 20),
    depth(31, 40, 30, bids=[], asks=[["100.3", "0.000"]] * 5),
    depth(21, 29, symbol="ETHUSDT"),
    snapshot(25),
    trade(7),
    top(44),
    b'{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"100.00","B":"1","a":"100.1","A":"2"}}',
    b'{"result":null,"id":1}',
]
GOOD_HYPERLIQUID = [
    hyperliquid.book(1100),
    hyperliquid.book(1200, bids=[("100000.0", "0.3")] * 3, asks=[]),
    hyperliquid.book(1000, coin="ETH"),
    hyperliquid.bbo(1150),
    hyperliquid.bbo(1300, None),
    hyperliquid.trades(hyperliquid.print_of(1100, 1), hyperliquid.print_of(1101, 2, "A")),
    b'{"channel":"pong"}',
    b'{"channel":"error","data":"Already subscribed"}',
]


@st.composite
def damaged(draw: st.DrawFn, good: list[bytes]) -> bytes:
    """A good frame with a few bytes changed, cut out, doubled or put in, perhaps cut short."""
    frame = bytearray(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(frame)))
        width = draw(st.integers(0, 8))
        put = draw(st.sampled_from([b"", b'"', b"0", b"9" * 25, b"-", b"NaN", b"e9", b"[", b"}", b"null", b"\xff"]))
        frame[at : at + width] = put
    return bytes(frame[: draw(st.integers(0, len(frame)))] if draw(st.booleans()) else frame)


VENUES: list[tuple[Callable[[], Translator], list[bytes]]] = [
    (running, GOOD),
    (futures, GOOD),
    (spot, GOOD),
    (hyperliquid.running, GOOD_HYPERLIQUID),
    (hyperliquid.translator, GOOD_HYPERLIQUID),
]


@pytest.mark.parametrize(("make", "good"), VENUES)
@settings(max_examples=150)
@given(data=st.data())
def test_no_bytes_raise(make: Callable[[], Translator], good: list[bytes], data: st.DataObject) -> None:
    """And what comes out fits the journal and a book: encodable, in local time, whole or said to be void."""
    feed = data.draw(st.lists(st.one_of(st.binary(max_size=200), damaged(good), st.sampled_from(good)), max_size=8))
    translator, book = make(), OrderBook()
    for ts_local_ns, frame in enumerate(feed, start=1):
        events = translator.translate(frame, ts_local_ns)
        for event in events:
            assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Event) == event
            assert event.ts_local_ns == ts_local_ns
            book.apply(event)
            if isinstance(event, BookDelta | BookSnapshot):
                assert all(ticks > 0 and lots >= 0 for ticks, lots in event.bids + event.asks)
            elif isinstance(event, BookInvalidated):
                assert not book.trusted


@pytest.mark.parametrize(("make", "good"), [VENUES[0], VENUES[3]])
@settings(max_examples=100)
@given(data=st.data())
def test_no_frame_vanishes_without_a_trace(
    make: Callable[[], Translator], good: list[bytes], data: st.DataObject
) -> None:
    """Each one gives an event or is counted, as a problem or as ignored."""
    translator = make()
    assert translator.translate(data.draw(damaged(good)), 1) or translator.problems or translator.ignored
