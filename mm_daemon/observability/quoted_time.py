"""For how long a market was quoted: the one notion of uptime that lines, metrics, screen and backtests share.

A side counts while the venue is known to hold a quote of ours on it.
"""

from mm_daemon.core.market import MarketState
from mm_daemon.domain.orders import Side


class QuotedTime:
    """Nanoseconds with a bid, with an ask, and with both."""

    __slots__ = ("_ask", "_bid", "_since_ns", "ask_ns", "bid_ns", "both_ns")

    def __init__(self) -> None:
        self._since_ns = 0
        self._bid = self._ask = False
        self.bid_ns = self.ask_ns = self.both_ns = 0

    def see(self, market: MarketState, now_ns: int) -> None:
        """Our quotes may have changed at `now_ns`: the time until then is booked to what was quoted so far."""
        self.advance(now_ns)
        self._bid, self._ask = _rests(market, Side.BUY), _rests(market, Side.SELL)

    def advance(self, now_ns: int) -> None:
        passed = max(0, now_ns - self._since_ns)
        self._since_ns += passed
        if self._bid:
            self.bid_ns += passed
            if self._ask:
                self.both_ns += passed
        if self._ask:
            self.ask_ns += passed

    def stop(self, now_ns: int) -> None:
        """What follows counts towards nothing."""
        self.advance(now_ns)
        self._bid = self._ask = False

    def side_ns(self, side: Side, now_ns: int) -> int:
        """Of one side, up to `now_ns`."""
        booked, quoted = (self.bid_ns, self._bid) if side is Side.BUY else (self.ask_ns, self._ask)
        return booked + (max(0, now_ns - self._since_ns) if quoted else 0)


def _rests(market: MarketState, side: Side) -> bool:
    return any(order.resting for order in market.quotes[side])


def quote_works(market: MarketState, side: Side) -> bool:
    """Whether a quote of ours may rest on this side."""
    order = market.working(side)
    return order is not None and not order.final
