"""A centralised venue's frames to events by both of our ways: ccxt.pro behind its guards, and our own translator.

The ccxt way is the connector's own: an instance as `Factory` builds it, our watch task that awaits its book, and the
guard that makes an event of it. Only the connection is left out: frames go in where ccxt's receive loop hands them
over. A frame's time is that of the two turns of the loop it takes, ccxt's handling and the watch task's, and nothing
else happens on that loop; the longer of the two is how long the frame keeps the loop from everybody.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter_ns
from typing import Any, NamedTuple

import pytest
from ccxt.async_support.base.ws.future import Future

from connectors.ccxt.books import BookGuard, watch_book, watch_trades
from connectors.ccxt.client import Factory
from connectors.ccxt.contracts import Contract
from connectors.ccxt.dialects import dialect
from connectors.ccxt.settings import CcxtSettings
from mm_daemon.domain.events import BookSnapshot, Event, PublicTrade
from tests.bench.bench_frames import measured
from tests.bench.figures import Figures
from tests.bench.frame_peers import SYMBOL, perpetual
from tests.bench.frames import Frames, kind_of
from tests.bench.recordings import usdm
from tests.bench.timing import best, settled, spread
from tests.unit.connectors.binance.frames import BTC

pytestmark = pytest.mark.bench

PASSES = 3
_NS_PER_MS = 1_000_000
_BOOK_LEVELS = 1000
_SETTINGS = CcxtSettings(exchange="binanceusdm")


class Taken(NamedTuple):
    """Nanoseconds of one frame: in ccxt's hands, and in those of the watch task that it wakes."""

    handled: int
    told: int


class Passed(NamedTuple):
    depth: list[Taken]
    trade: list[Taken]
    snapshot_ns: int
    """The REST snapshot of a thousand levels: parsing it, and the frames that ccxt has kept for it."""
    events: dict[type[Event], int]


async def one_pass(frames: Frames) -> Passed:
    """Every depth and trade frame of the USD-M recording through ccxt.pro and our guard."""
    clock = 0
    factory = Factory(
        _SETTINGS, dialect("binanceusdm"), {}, venue="binance", now_ms=lambda: clock, on_response=lambda *_: None
    )
    exchange = factory.build()
    exchange.set_markets([exchange.safe_market_structure(perpetual("BTCUSDT", "BTC", "USDT"))])
    client = exchange.client(exchange.get_ws_url("linear", "public"))
    exchange.watch_multiple = lambda _url, hashes, *_: Future.race([client.future(each) for each in hashes])
    exchange.orderbooks[SYMBOL] = exchange.order_book({}, _BOOK_LEVELS)
    guard = BookGuard(Contract(BTC, SYMBOL, BTC.lot), _SETTINGS, lambda: clock)
    heard = 0
    events: dict[type[Event], int] = {}

    def tell(told: Sequence[Event]) -> None:
        nonlocal heard
        heard += 1
        for event in told:
            events[type(event)] = events.get(type(event), 0) + 1

    async def until_told(before: int) -> int:
        """Nanoseconds until the watch task has spoken; it stays silent on what ccxt has not handed on."""
        began = perf_counter_ns()
        for _ in range(4):
            await asyncio.sleep(0)
            if heard > before:
                break
        return perf_counter_ns() - began

    watching = [asyncio.ensure_future(watch(exchange, guard, tell)) for watch in (watch_book, watch_trades)]
    await asyncio.sleep(0)
    taken: dict[str, list[Taken]] = {"depth": [], "trade": []}
    snapshot_ns = 0
    asked = {"symbol": SYMBOL, "type": "linear", "limit": _BOOK_LEVELS, "params": {}}
    try:
        for clock, frame in frames:  # noqa: B007 (what the guard reads as the time)
            text, kind = frame.decode(), kind_of(frame)
            if kind == "snapshot":
                began = perf_counter_ns()
                exchange.fetch = partial(answer, exchange.parse_json, text)
                await exchange.fetch_order_book_snapshot(client, None, asked)
                snapshot_ns = perf_counter_ns() - began
                continue
            if kind not in taken:
                continue
            before, began = heard, perf_counter_ns()
            client.handle_text_or_binary_message(text)
            handled = perf_counter_ns() - began
            taken[kind].append(Taken(handled, await until_told(before)))
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await exchange.close()
    return Passed(taken["depth"], taken["trade"], snapshot_ns, events)


async def answer(parse: Callable[[str], object], text: str, *_request: object) -> object:
    """The recording's REST reply, parsed where ccxt parses one."""
    return parse(text)


def test_ccxt_and_native(figures: Figures) -> None:
    with settled():
        passes = [asyncio.run(one_pass(usdm())) for _ in range(PASSES)]
    for kind in ("depth", "trade"):
        whole = best([[sum(each) for each in getattr(passed, kind)] for passed in passes])
        figures.add_spread(f"ccxt.{kind}.event", spread(whole))
        steps: list[Any] = [list(zip(*getattr(passed, kind), strict=True)) for passed in passes]
        longest = max(max(best([step[number] for step in steps])) for number in (0, 1))
        figures.add(f"ccxt.{kind}.longest_turn", longest / _NS_PER_MS, "ms")
        figures.add_spread(f"native.{kind}.event", spread(measured().decode[kind]))
    figures.add("ccxt.snapshot.turn", min(passed.snapshot_ns for passed in passes) / _NS_PER_MS, "ms")
    assert all(passed.events[BookSnapshot] > 1000 and passed.events[PublicTrade] > 1000 for passed in passes)


def test_another_instance(figures: Figures) -> None:
    """What a reconnect costs the loop beside the watching: a new instance, and its session."""

    async def built() -> list[int]:
        factory = Factory(
            _SETTINGS, dialect("binanceusdm"), {}, venue="binance", now_ms=lambda: 0, on_response=lambda *_: None
        )
        taken = []
        for _ in range(10):
            began = perf_counter_ns()
            exchange = factory.build()
            factory.open(exchange)
            taken.append(perf_counter_ns() - began)
            await exchange.close()
        return taken[1:]

    figures.add("ccxt.instance.turn", min(asyncio.run(built())) / _NS_PER_MS, "ms")
