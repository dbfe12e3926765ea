"""What calls for a side to be pulled: an outsized taker order, takers outweighing the touch, one-sided volume (VPIN).

Each is looked for where it is configured; what is pulled, and for how long, is `overlays/adverse_selection.py`'s.
"""

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.orders import Side
from mm_daemon.engine.overlays.adverse_selection import AdverseSelectionPull
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.signals.market_signals import MarketSignals
from mm_daemon.engine.signals.taker_orders import TakerOrder

_BUY, _SELL = Side.BUY, Side.SELL


class ToxicFlow:
    """Looks at one market's signals, and trips `pull`."""

    __slots__ = ("_last_outlier", "_most_vpin", "_pull", "_times", "buckets")

    def __init__(self, pull: AdverseSelectionPull, quoting: QuoteParameters) -> None:
        self._pull = pull
        self._most_vpin = quoting.toxic_vpin
        self._times = quoting.toxic_flow_times
        self._last_outlier: TakerOrder | None = None
        self.buckets = 0
        """Full buckets of VPIN that have been looked at."""

    def look(self, signals: MarketSignals, book: OrderBook, now_ns: int) -> bool:
        """Whether a side is pulled that was not."""
        fresh = False
        if signals.outlier is not self._last_outlier:
            self._last_outlier = signals.outlier
            if signals.outlier is not None:
                fresh = self._trip(_BUY if signals.outlier.buy else _SELL, now_ns)
        if self._most_vpin is not None and signals.vpin.full != self.buckets:
            self.buckets = signals.vpin.full
            fresh |= self._look_at_vpin(signals, self._most_vpin, now_ns)
        if self._times is not None:
            side = signals.signed_volume.outweighs(now_ns, self._times, book.bid_lots, book.ask_lots)
            if side:
                fresh |= self._trip(_BUY if side > 0 else _SELL, now_ns)
        return fresh

    def _look_at_vpin(self, signals: MarketSignals, most: float, now_ns: int) -> bool:
        """A bucket has been filled. VPIN has no side: takers go on as they did in the last seconds."""
        vpin, net = signals.vpin.value, signals.signed_volume.value
        if vpin is None or vpin <= most or not net:
            return False
        return self._trip(_BUY if net > 0.0 else _SELL, now_ns)

    def _trip(self, aggressor: Side, now_ns: int) -> bool:
        """Pull what `aggressor` would take; whether that was not pulled before."""
        fresh = not self._pull.pulled(_SELL if aggressor is _BUY else _BUY, now_ns)
        self._pull.trip(aggressor, now_ns)
        return fresh
