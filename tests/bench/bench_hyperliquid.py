"""Hyperliquid l2Book frames to a decision, ccxt.pro's handling of them and msgspec's bare typed decoding.

The recording has 46 of them: they are looped with block times that go on, through one core, a full decision on each.
Per frame the best of all loops but the first of each turn; ours and the peers take turns. With so few frames there is
a median, and no p99.
"""

import asyncio
import re
from itertools import groupby
from time import perf_counter_ns
from typing import TypeVar

import pytest

from connectors.hyperliquid.orders import OwnOrders
from connectors.hyperliquid.requests import Asset, Requests, post_frame
from connectors.hyperliquid.settings import HyperliquidSettings, Network, capabilities
from connectors.hyperliquid.signing import Signer
from connectors.hyperliquid.translate import HyperliquidTranslator
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import CancelOrder, OrderCommand, PlaceOrder
from mm_daemon.domain.events import OrderAccepted, OrderAmended, OrderCanceled, OrderEvent
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.testkit import builders
from tests.bench import frame_peers
from tests.bench.figures import Figures
from tests.bench.frames import Frames, block_times_later
from tests.bench.recordings import hyperliquid_books
from tests.bench.timing import best, settled, spread, timed
from tests.bench.ways import EVERY_FRAME_MS, Taken, best_taken, hyperliquid
from tests.unit.connectors.hyperliquid.frames import BTC

pytestmark = pytest.mark.bench

TURNS, LOOPS = 5, 20

T = TypeVar("T")


def by_loop(taken: list[T], count: int) -> list[list[T]]:
    """The loops of a turn but its first, in which caches are cold."""
    return [taken[begin : begin + count] for begin in range(count, len(taken), count)]


def test_book_to_decision(figures: Figures) -> None:
    books = hyperliquid_books()
    count = len(books)
    way = hyperliquid(EVERY_FRAME_MS)
    ours: list[list[Taken]] = []
    theirs: list[list[int]] = []
    bare: list[list[int]] = []
    prices: frame_peers.Best | None = None
    with settled():
        for turn in range(TURNS):
            frames: Frames = []
            for loop in range(turn * LOOPS, (turn + 1) * LOOPS):
                frames += block_times_later(books, loop)
            ours += by_loop(way.take(frames), count)
            taken, prices = asyncio.run(frame_peers.hyperliquid_pass(frames))
            theirs += by_loop(taken, count)
            bare += by_loop(timed(frame_peers.bare_hyperliquid(), frames), count)
    chosen = best_taken(ours)
    figures.add("hyperliquid.book.decision.p50", spread(map(sum, chosen)).p50, "us")
    for step, times in zip(Taken._fields, zip(*chosen, strict=True), strict=True):
        figures.add(f"hyperliquid.book.{step}.p50", spread(times).p50, "us")
    figures.add("ccxt.hyperliquid.book.p50", spread(best(theirs)).p50, "us")
    figures.add("msgspec.hyperliquid.book.p50", spread(best(bare)).p50, "us")
    assert way.core.full_decisions >= TURNS * LOOPS * count
    book, tick = way.core.markets[BTC.id].book, float(BTC.tick)
    assert prices == pytest.approx((book.bid_ticks * tick, book.ask_ticks * tick), rel=1e-12)


def shifted(frames: Frames) -> Frames:
    """Every other frame a hundred dollars higher, so that both quotes move with each."""
    moved = re.compile(rb'(?<="px":")\d+')
    higher = [(at_ns, moved.sub(lambda found: b"%d" % (int(found[0]) + 100), frame)) for at_ns, frame in frames]
    return [higher[place] if place % 2 else frames[place] for place in range(len(frames))]


class Renaming:
    """A venue that takes everything at once, and gives an order another number with each amend, as this one does."""

    def __init__(self) -> None:
        self._oids: dict[ClientOrderId, int] = {}
        self._oid = 0

    def replies(self, command: OrderCommand, at_ns: int) -> list[OrderEvent]:
        old = str(self._oids.get(command.client_id))
        gone = OrderCanceled(command.instrument, at_ns, at_ns, command.client_id, old, True, 0)
        if isinstance(command, CancelOrder):
            return [gone]
        self._oid += 1
        self._oids[command.client_id] = self._oid
        new = str(self._oid)
        if isinstance(command, PlaceOrder):
            return [OrderAccepted(command.instrument, at_ns, at_ns, command.client_id, new)]
        amended = OrderAmended(command.instrument, at_ns, at_ns, command.client_id, new, command.ticks, command.lots)
        return [gone, amended]


def test_frame_to_signed_bytes(figures: Figures) -> None:
    """From an l2Book frame's bytes to the signed post that the socket is handed: translate, apply, decide, group,
    encode, sign. Only frames that moved quotes count; the venue's replies do not."""
    settings = HyperliquidSettings(network=Network.TESTNET)
    quoting = QuoteParameters(decide_interval_ms=EVERY_FRAME_MS, volatility=0.5, gamma=0.05, order_lockout_ms=0)
    market = builders.market(BTC, order_lots=1000, max_position_lots=10_000, quoting=quoting)
    core = TradingCore(builders.core_parameters(market, capabilities=capabilities(settings, None)))
    core.apply(builders.connected(0, venue=BTC.venue))
    core.apply(builders.account(0, symbol=BTC.id))
    translate = HyperliquidTranslator([BTC]).translate
    orders = OwnOrders([Asset.of(BTC, 0, 5)])
    requests = Requests(Signer("0x" + "11" * 32, mainnet=False), lambda: 1_790_000_000_000_000_000)
    taken: list[int] = []
    venue = Renaming()
    frames: Frames = []
    for loop in range(TURNS * LOOPS // 2):
        frames += shifted(block_times_later(hyperliquid_books(), loop))
    with settled():
        for ts_local_ns, frame in frames:
            began = perf_counter_ns()
            for event in translate(frame, ts_local_ns):
                core.apply(event)
            turn = core.decide(ts_local_ns)
            parts = []
            for _, batch in groupby(turn.released, lambda each: type(each.command)):
                asked, _ = orders.requested([each.command for each in batch], ts_local_ns)  # type: ignore[misc]
                for number, (action, part) in enumerate(asked):
                    post_frame(number, "action", requests.signed(action, expires_ms=ts_local_ns // 1_000_000 + 5000))
                    parts.append(part)
            if parts:
                taken.append(perf_counter_ns() - began)
            for command in (command for part in parts for command in part):
                for reply in venue.replies(command, ts_local_ns):
                    core.apply(reply)
    assert len(taken) > len(frames) // 4
    figures.add_spread("hyperliquid.frame.signed", spread(taken))
