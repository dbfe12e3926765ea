"""The last minutes of a market as the page draws them: best prices, our quotes, sampled once a second.

Sampled all the time, so that whoever comes at three in the morning sees what led to it. Prices in ticks.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import NamedTuple

from mm_daemon.core.market import MarketState
from mm_daemon.domain.orders import Side
from mm_daemon.observability.page.figures import value
from mm_daemon.observability.quoted_time import quote_works
from mm_daemon.observability.records import Fill

SAMPLE_S = 1.0
_KEPT = 240
_NS_PER_S = 1_000_000_000
_SPAN_NS = _KEPT * _NS_PER_S
_GAP_NS = 3 * _NS_PER_S
_WIDTH, _HEIGHT = 720, 200
_TOP, _BOTTOM = 10, 190


class Sample(NamedTuple):
    """None: no trusted book, or no quote that works."""

    at_ns: int
    bid: int | None
    ask: int | None
    our_bid: int | None
    our_ask: int | None


class Trail:
    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=_KEPT)

    def look(self, market: MarketState, now_ns: int) -> None:
        book = market.book
        fresh = book.trusted and now_ns - book.ts_local_ns <= market.max_book_age_ns
        self.samples.append(
            Sample(
                now_ns,
                book.bid_ticks if fresh else None,
                book.ask_ticks if fresh else None,
                _ours(market, Side.BUY),
                _ours(market, Side.SELL),
            )
        )


def drawn(trail: Trail, market: MarketState, fills: Iterable[Fill], now_ns: int) -> Iterator[str]:
    """An SVG of it, with our fills; what it shows is said for those who cannot see it. It comes last: before it, empty
    texts give way to the core.
    """
    since_ns = now_ns - _SPAN_NS
    samples = [sample for sample in trail.samples if sample.at_ns >= since_ns]
    marks = [fill for fill in fills if fill.event.ts_local_ns >= since_ns]
    prices = [price for sample in samples for price in sample[1:] if price is not None]
    prices += [fill.event.ticks for fill in marks]
    if not prices:
        yield '<p class="none">No prices in the last four minutes.</p>'
        return
    low, high = min(prices), max(prices)
    margin = max((high - low) * 0.06, 0.5)
    low_edge, span = low - margin, high - low + 2 * margin
    tick = float(market.instrument.tick)

    def x_of(at_ns: int) -> str:
        return f"{_WIDTH * (at_ns - since_ns) / _SPAN_NS:.1f}"

    def y_of(ticks: int) -> str:
        return f"{_BOTTOM - (ticks - low_edge) / span * (_BOTTOM - _TOP):.1f}"

    lines = []
    for field, name in ((1, "best"), (2, "best"), (3, "our-bid"), (4, "our-ask")):
        parts: list[str] = []
        shown: int | None = None
        at_ns = 0
        for sample in samples:
            price = sample[field]
            # A price stands until the next: across first, then up or down.
            if price is not None and shown is not None and sample.at_ns - at_ns < _GAP_NS:
                if price != shown:
                    parts.append(f"H{x_of(sample.at_ns)}V{y_of(price)}")
            else:
                if shown is not None:
                    parts.append(f"H{x_of(at_ns)}")
                if price is not None:
                    parts.append(f"M{x_of(sample.at_ns)} {y_of(price)}h2")
            shown, at_ns = price, sample.at_ns
        if shown is not None:
            parts.append(f"H{x_of(at_ns)}")
        if parts:
            lines.append(f'<path class="{name}" d="{"".join(parts)}"/>')
        yield ""
    shapes = []
    for fill in marks:
        event = fill.event
        x = 100 * (event.ts_local_ns - since_ns) / _SPAN_NS
        y = 100 * float(y_of(event.ticks)) / _HEIGHT
        bought = event.side is Side.BUY
        shape = "M0 2l4.5 8h-9z" if bought else "M0 -2l4.5 -8h-9z"
        contract = market.instrument
        said = f"{'bought' if bought else 'sold'} {contract.size(event.lots):f} at {contract.price(event.ticks):f}"
        shapes.append(
            f'<svg x="{x:.1f}%" y="{y:.1f}%" overflow="visible"><path class="fill-{event.side.word}" d="{shape}">'
            f"<title>{said}, record {fill.record}</title></path></svg>"
        )
    yield ""
    label = _in_words(samples, marks, low * tick, high * tick)
    yield (
        f'<svg class="trail" role="img" aria-label="{escape(label)}">'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" width="100%" height="100%">'
        f"{''.join(lines)}</svg>"
        f"{''.join(shapes)}</svg>"
        f'<p class="scale"><span>4 min ago</span><span>{value(low * tick)} to {value(high * tick)}</span>'
        "<span>now</span></p>"
    )


def _ours(market: MarketState, side: Side) -> int | None:
    order = market.working(side) if quote_works(market, side) else None
    return None if order is None else order.ticks


def _in_words(samples: Sequence[Sample], fills: Sequence[Fill], low: float, high: float) -> str:
    quoted = sum(sample.our_bid is not None and sample.our_ask is not None for sample in samples)
    share = quoted / len(samples) if samples else 0.0
    return (
        f"The last four minutes: prices between {value(low)} and {value(high)}, quoted on both sides {share:.0%} of "
        f"the time, {len(fills)} fill{'' if len(fills) == 1 else 's'}."
    )
