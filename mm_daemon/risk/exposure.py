"""What all markets together could come to: the value of one underlying, and the margin a venue would ask (G10).

Exact rationals: base units of different contracts are netted without rounding. Looked at where a limit is configured,
for each intent by the gate and for each full decision by the core, so that a side that would be refused is not asked
for again and again. An estimate on the careful side: all orders of a side filled, and none of the other.
"""

from collections.abc import Collection
from fractions import Fraction

from mm_daemon.domain.decisions import Reason, RefusalCode
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import Side
from mm_daemon.risk.checks import Failure
from mm_daemon.risk.facts import MarketFacts, OrdersView
from mm_daemon.risk.limits import AccountLimits

_BITS = {
    RefusalCode.WORST_NOTIONAL: Reason.MAX_NOTIONAL.bit,
    RefusalCode.MARGIN_LOW: Reason.MARGIN_LOW.bit,
}
_SIDES = (Side.BUY, Side.SELL)


def bar_bits(bar: Failure | None) -> int:
    """The withdraw reason of a bar as a mask."""
    return 0 if bar is None else _BITS[bar[0]]


class AccountExposure:
    """`balances` are what venues last reported, atto by (venue, asset); a venue that reports none is not limited."""

    __slots__ = ("_headroom", "_markets", "_max_notional", "balances", "limited")

    def __init__(self, limits: AccountLimits, markets: Collection[MarketFacts]) -> None:
        self._markets = tuple(markets)
        self.balances: dict[tuple[Venue, str], int] = {}
        self.limit(limits)

    def limit(self, limits: AccountLimits) -> None:
        """Go by these limits from here on."""
        most = limits.max_notional_atto
        self._max_notional = None if most is None else Fraction(most, ATTO)
        headroom = limits.min_margin_headroom
        self._headroom = None if headroom is None else Fraction(str(headroom))
        self.limited = most is not None or headroom is not None
        """Whether any of this is limited."""

    # Checks

    def failure(self, facts: MarketFacts, side: Side, added_lots: int, orders: OrdersView) -> Failure | None:
        """G10: why an intent that adds so many lots to a side does not pass."""
        if not self.limited:
            return None
        if self._max_notional is not None:
            worst = self._signed_notional(facts, side, added_lots, orders)
            if worst is not None and worst > self._max_notional:
                return RefusalCode.WORST_NOTIONAL, float(worst), float(self._max_notional)
        low = self._margin_short(facts, side, added_lots, orders)
        return None if low is None else (RefusalCode.MARGIN_LOW, *low)

    def bar(self, facts: MarketFacts, side: Side, wanted_lots: int, orders: OrdersView) -> Failure | None:
        """Why a side that wants to quote so many lots may not."""
        return self.failure(facts, side, max(wanted_lots - orders.exposure(facts.instrument.id, side), 0), orders)

    # Figures

    def notionals(self, orders: OrdersView) -> dict[str, float]:
        """Worst-case value by underlying, the larger of long and short."""
        worst: dict[str, float] = {}
        for facts in self._markets:
            for side in _SIDES:
                value = self._signed_notional(facts, side, 0, orders)
                if value is not None:
                    base = facts.instrument.base
                    worst[base] = max(worst.get(base, 0.0), float(value))
        return worst

    def headrooms(self, orders: OrdersView) -> dict[tuple[Venue, str], float]:
        """Share of each reported balance that would stay free of margin, by (venue, asset)."""
        shares: dict[tuple[Venue, str], float] = {}
        for key, balance_atto in self.balances.items():
            needed = self._needed(key, None, Side.BUY, 0, orders)
            if needed is not None and balance_atto > 0:
                shares[key] = float(1 - needed * ATTO / balance_atto)
        return shares

    # Leaves

    def _signed_notional(self, facts: MarketFacts, side: Side, added_lots: int, orders: OrdersView) -> Fraction | None:
        """Value of the underlying's net position if every order of `side` were filled, positive towards that side; None
        where no price is known."""
        price = _price(facts)
        if price is None:
            return None
        base = facts.instrument.base
        net = Fraction(0)
        for other in self._markets:
            if other.instrument.base != base:
                continue
            exposure = orders.exposure(other.instrument.id, side) + (added_lots if other is facts else 0)
            net += _base_units(other, other.position_lots + side * exposure, _price(other) or price)
        return side * net * price

    def _margin_short(
        self, facts: MarketFacts, side: Side, added_lots: int, orders: OrdersView
    ) -> tuple[float, float] | None:
        """(free, least) of the balance, where an intent that needs more margin would leave too little."""
        key = _margin_key(facts)
        balance_atto = self.balances.get(key)
        if self._headroom is None or balance_atto is None:
            return None
        before = self._margin_of(facts, Side.BUY, 0, orders)
        after = self._margin_of(facts, side, added_lots, orders)
        needed = self._needed(key, facts, side, added_lots, orders)
        if before is None or after is None or needed is None or (added_lots and after <= before):
            return None
        if not added_lots and side * facts.position_lots < 0:
            return None  # this side gives margin back
        balance = Fraction(balance_atto, ATTO)
        free, least = balance - needed, self._headroom * balance
        return (float(free), float(least)) if free < least else None

    def _needed(
        self, key: tuple[Venue, str], facts: MarketFacts | None, side: Side, added_lots: int, orders: OrdersView
    ) -> Fraction | None:
        total = Fraction(0)
        for other in self._markets:
            if _margin_key(other) != key:
                continue
            margin = self._margin_of(other, side, added_lots if other is facts else 0, orders)
            if margin is None:
                return None
            total += margin
        return total

    def _margin_of(self, facts: MarketFacts, side: Side, added_lots: int, orders: OrdersView) -> Fraction | None:
        """Margin of one market's worse side, in what it settles in."""
        price = _price(facts)
        if price is None:
            return None if facts.position_lots else Fraction(0)
        worst = 0
        for each in _SIDES:
            lots = each * facts.position_lots + orders.exposure(facts.instrument.id, each)
            worst = max(worst, lots + (added_lots if each is side else 0))
        base = _base_units(facts, worst, price)
        return base * facts.margin_share * (1 if facts.instrument.inverse else price)


def _margin_key(facts: MarketFacts) -> tuple[Venue, str]:
    instrument = facts.instrument
    return instrument.venue, instrument.base if instrument.inverse else instrument.quote


def _price(facts: MarketFacts) -> Fraction | None:
    """The mark, or else the mid of a trusted book."""
    half_ticks = facts.mark_half_ticks
    if half_ticks is None:
        if not facts.book.trusted:
            return None
        half_ticks = facts.book.half_ticks
    return facts.half_tick * half_ticks


def _base_units(facts: MarketFacts, lots: int, price: Fraction) -> Fraction:
    """Signed size in the underlying; a lot of an inverse contract is worth quote currency."""
    units = lots * facts.lot_units
    return units / price if facts.instrument.inverse else units
