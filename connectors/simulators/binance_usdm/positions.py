"""What the simulated account holds, side by side: one net position a symbol (BOTH), or LONG and SHORT apart.

The market underneath knows net lots only; the position side of each order says which of the two a fill is about.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal

from mm_daemon.domain.account_history import AccountHistory
from mm_daemon.domain.events import OrderFilled
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.domain.orders import Side

BOTH, LONG, SHORT = "BOTH", "LONG", "SHORT"
HEDGED = (LONG, SHORT)


def closes(side: Side, position_side: str) -> bool:
    """Whether an order of this side takes lots away from that position. One-way positions are judged by their net."""
    return (side, position_side) in ((Side.SELL, LONG), (Side.BUY, SHORT))


class Positions:
    """Signed lots (a short is negative) and the average price they were entered at."""

    def __init__(self) -> None:
        self._held: dict[tuple[InstrumentId, str], tuple[int, Decimal]] = {}

    def restore(
        self,
        history: AccountHistory,
        instruments: dict[InstrumentId, Instrument],
        side_of: Callable[[OrderFilled], str],
    ) -> None:
        """As the fills that are remembered say. What older ones add up to is taken for one position, entered at the
        price of the first that is remembered."""
        remembered = [trade.fill for trade in history.trades if trade.fill.instrument in instruments]
        older = {name: history.lots(name) for name in instruments}
        for fill in remembered:
            older[fill.instrument] -= fill.side * fill.lots
        for fill in remembered:
            instrument, lots = instruments[fill.instrument], older.pop(fill.instrument, 0)
            if lots:
                side = BOTH if side_of(fill) == BOTH else LONG if lots > 0 else SHORT
                self._held[fill.instrument, side] = lots, instrument.price(fill.ticks)
            self.add(fill, instrument, side_of(fill))

    def add(self, fill: OrderFilled, instrument: Instrument, side: str) -> None:
        """The entry price is averaged while the position grows, and the fill's where it opens or turns."""
        price, signed = instrument.price(fill.ticks), fill.side * fill.lots
        held, entry = self._held.get((fill.instrument, side), (0, price))
        after = held + signed
        if held == 0 or held * after < 0:
            entry = price
        elif held * signed > 0:
            entry = (entry * abs(held) + price * fill.lots) / abs(after)
        self._held[fill.instrument, side] = after, entry

    def lots(self, instrument: InstrumentId, side: str) -> int:
        return self._held.get((instrument, side), (0, Decimal(0)))[0]

    def entry(self, instrument: InstrumentId, side: str) -> Decimal:
        """Zero where nothing is held."""
        lots, entry = self._held.get((instrument, side), (0, Decimal(0)))
        return entry if lots else Decimal(0)

    def of(self, instrument: InstrumentId) -> Iterator[tuple[int, Decimal]]:
        """Lots and entry price of each position of a symbol."""
        for (name, _), held in self._held.items():
            if name == instrument:
                yield held
