"""What a market did since the start: counts, time with two quotes out, and a line of it for people and for JSON.

A `Tally` is kept by the narrator, market by market; the money comes from the core's exact position.
"""

from typing import Any

from mm_daemon.core.market import MarketState
from mm_daemon.domain.events import OrderFilled
from mm_daemon.domain.money import to_decimal
from mm_daemon.domain.orders import Side
from mm_daemon.observability.quoted_time import QuotedTime


class Tally:
    """Counts of one market. Uptime is the share of time with quotes on both sides."""

    __slots__ = ("_first_ns", "_quoted", "_seen_ns", "decisions", "fills", "maker_fills")

    def __init__(self) -> None:
        self.fills = 0
        self.maker_fills = 0
        self.decisions = 0
        self._first_ns: int | None = None
        self._seen_ns = 0
        self._quoted = QuotedTime()

    def fill(self, event: OrderFilled) -> None:
        self.fills += 1
        self.maker_fills += event.maker

    def see(self, market: MarketState, now_ns: int) -> None:
        """Note whether both sides are quoted from `now_ns` on."""
        if self._first_ns is None:
            self._first_ns = self._seen_ns = now_ns
        self._seen_ns = max(self._seen_ns, now_ns)
        self._quoted.see(market, now_ns)

    @property
    def uptime(self) -> float:
        """0..1 of the time since the first look."""
        if self._first_ns is None or self._seen_ns == self._first_ns:
            return 0.0
        return self._quoted.both_ns / (self._seen_ns - self._first_ns)


def quoted_ticks(market: MarketState, side: Side) -> int | None:
    """The price of the quote that works on a side, or None."""
    order = market.working(side)
    return None if order is None or order.final else order.ticks


def market_summary(market: MarketState, tally: Tally) -> tuple[str, dict[str, Any]]:
    """The line's text and its fields. Money in the quote currency, rounded for reading: the journal has it exactly."""
    contract, position = market.instrument, market.position
    bid, ask = (
        None if ticks is None else f"{contract.price(ticks)}"
        for ticks in (quoted_ticks(market, Side.BUY), quoted_ticks(market, Side.SELL))
    )
    held = f"{contract.size(position.lots)}"
    parts = {
        "pnl": money(position.total_atto),
        "pnl_spread": money(position.spread_atto),
        "pnl_inventory": money(position.inventory_atto),
        "pnl_fees": money(position.fees_atto),
        "pnl_funding": money(position.funding_atto),
    }
    text = (
        f"bid {bid or '-'} ask {ask or '-'} | position {held} {contract.base} | "
        f"P&L {parts['pnl']} {contract.quote} (spread {parts['pnl_spread']}, inventory {parts['pnl_inventory']}, "
        f"fees {parts['pnl_fees']}, funding {parts['pnl_funding']}) | "
        f"{tally.fills} {'fill' if tally.fills == 1 else 'fills'} | quoting both sides {tally.uptime:.1%}"
    )
    fields = {
        "bid": bid,
        "ask": ask,
        "position": held,
        **parts,
        "fills": tally.fills,
        "uptime": round(tally.uptime, 4),
        "decisions": tally.decisions,
    }
    return text, fields


def money(atto: int) -> str:
    """Signed, four decimals."""
    return f"{to_decimal(atto):+.4f}"
