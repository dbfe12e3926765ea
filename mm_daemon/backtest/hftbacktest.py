"""The array of hftbacktest 2: depth and trades of one market, in the order of both clocks. Made by `convert.py`."""

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mm_daemon.domain.events import BookDelta, BookSnapshot, MarketEvent, PublicTrade
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVENT_DTYPE = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ],
    align=True,
)
"""A row of hftbacktest 2: what happened, when there and when here, price and quantity."""
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
_BLOCK_ROWS = 1 << 14
_Row = tuple[int, int, int, float, float]


def hftbacktest_array(events: Iterator[MarketEvent], instrument: Instrument) -> "NDArray[np.void]":
    """Depth and trades of one instrument as hftbacktest's rows.

    Its two clocks must each go on, and nothing may come here before it happened there: venue times are moved back by
    the smallest latency where the recording machine's clock was behind, and a row whose order differs between the two
    clocks stands twice, once for each, as hftbacktest's own preparation does it. Best prices of another stream than the
    depth are left out, as its converters do.
    """
    blocks: list[NDArray[np.void]] = []
    block: list[_Row] = []
    tick, lot = float(instrument.tick), float(instrument.lot)
    for event in events:
        if event.instrument == instrument.id:
            block.extend(_rows_of(event, tick, lot))
            if len(block) >= _BLOCK_ROWS:
                blocks.append(_packed(block))
                block = []
    blocks.append(_packed(block))
    data = np.concatenate(blocks)
    del blocks
    return _in_both_orders(_after_the_event(data)) if len(data) else data


def _rows_of(event: MarketEvent, tick: float, lot: float) -> Iterator[_Row]:
    there, here = event.ts_venue_ns, event.ts_local_ns
    if isinstance(event, BookDelta | BookSnapshot):
        kind = DEPTH
        if isinstance(event, BookSnapshot):
            kind = SNAPSHOT
            for side, levels, last in ((BUY, event.bids, min), (SELL, event.asks, max)):
                if levels:
                    yield CLEAR | side, there, here, last(levels)[0] * tick, 0.0
        for side, levels in ((BUY, event.bids), (SELL, event.asks)):
            for ticks, lots in levels:
                yield kind | side, there, here, ticks * tick, lots * lot
    elif isinstance(event, PublicTrade):
        side = BUY if event.aggressor is Side.BUY else SELL
        yield TRADE | side, there, here, event.ticks * tick, event.lots * lot


def _packed(rows: list[_Row]) -> "NDArray[np.void]":
    data = np.zeros(len(rows), EVENT_DTYPE)
    if rows:
        kinds, there, here, prices, sizes = zip(*rows, strict=True)
        data["ev"], data["exch_ts"], data["local_ts"], data["px"], data["qty"] = kinds, there, here, prices, sizes
    return data


def _after_the_event(data: "NDArray[np.void]") -> "NDArray[np.void]":
    """Local times moved so that the fastest row has no latency, where some came before they happened."""
    least = int((data["local_ts"] - data["exch_ts"]).min())
    if least < 0:
        data["local_ts"] -= least
    return data


def _in_both_orders(data: "NDArray[np.void]") -> "NDArray[np.void]":
    """Rows in the order of both clocks: one that is early on one and late on the other is split into two."""
    there, here = (np.argsort(data[clock], kind="stable") for clock in ("exch_ts", "local_ts"))
    if np.array_equal(there, here):
        out = data[there]
        out["ev"] |= EXCH | LOCAL
        return out
    by_exch, by_local = array("q", there.tobytes()), array("q", here.tobytes())
    exch, local = (array("q", np.ascontiguousarray(data[clock]).tobytes()) for clock in ("exch_ts", "local_ts"))
    rows, kinds = array("q"), array("Q")
    size, e, i = len(data), 0, 0
    while e < size or i < size:
        if e < size and i < size:
            first, second = by_exch[e], by_local[i]
            if first == second:
                rows.append(first)
                kinds.append(EXCH | LOCAL)
                e, i = e + 1, i + 1
                continue
            earlier = (exch[first], local[first]) <= (exch[second], local[second])
        else:
            earlier = e < size
        rows.append(by_exch[e] if earlier else by_local[i])
        kinds.append(EXCH if earlier else LOCAL)
        e, i = e + earlier, i + (not earlier)
    out = data[np.frombuffer(rows, np.int64)]
    out["ev"] |= np.frombuffer(kinds, np.uint64)
    return out
