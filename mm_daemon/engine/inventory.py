"""Position and exact profit and loss of one instrument (EXECUTION 7b).

Money is in integer atto of the settlement currency, so that the parts add up to the total to the last unit:

    total = spread + inventory + fees + funding = cash + lots * value(mid), with cash starting at -lots * value(mid)

The core owns one per market: it marks it when the mid changes and books every fill, fee and funding payment. What is
only an estimate keeps its remainder, so that estimates never drift by more than one atto.
"""

import math
from decimal import Decimal
from fractions import Fraction

import msgspec

from mm_daemon.domain.checkpoint import PositionState
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.money import ATTO, from_pair, to_pair

FEE_PARTS = 10**6
"""Fee residues are in millionths of an atto: fees are parts per million of the notional."""
FUNDING_PARTS = 10**12
"""Funding residues are in units of 1e-12 atto: rates are in units of 1e-12."""

_MAX_EXPONENT = 60


class FillBooked(msgspec.Struct, frozen=True, gc=False):
    """What a fill was charged, whether we had to estimate that, and whether its mid had to be the last one seen."""

    fee_atto: int
    estimated: bool
    stale_mid: bool


class Traded:
    """What one side has traded since the start: fills by role, lots, and money at the price traded, in atto.

    `captured_atto` adds up only fills that were better than the mid, so that it never falls; the balance is the
    position's spread part.
    """

    __slots__ = ("captured_atto", "lots", "maker_fills", "taker_fills", "value_atto")

    def __init__(self) -> None:
        self.maker_fills = self.taker_fills = self.lots = self.value_atto = self.captured_atto = 0

    def add(self, lots: int, value_atto: int, captured_atto: int, *, maker: bool) -> None:
        self.maker_fills += maker
        self.taker_fills += not maker
        self.lots += lots
        self.value_atto += value_atto
        if captured_atto > 0:
            self.captured_atto += captured_atto


class Position:
    """Signed lots, their mark and the parts of their P&L.

    `lots` > 0 is long. Prices are ticks, mids half-ticks (bid + ask). A fee is what we pay (negative: a rebate),
    funding what we receive. Linear contracts settle in the quote currency, inverse ones in the base currency.
    """

    __slots__ = (
        "_average",
        "_contract_atto",
        "_folded_inventory",
        "_folded_value",
        "_inverse",
        "_lot_atto",
        "_maker_ppm",
        "_taker_ppm",
        "base_surplus",
        "bought",
        "cash_atto",
        "estimated_fees",
        "fee_lots",
        "fee_residue",
        "fees_atto",
        "funding_atto",
        "funding_residue",
        "half_ticks",
        "lots",
        "sold",
        "spread_atto",
        "stale_mids",
        "unit_atto",
    )

    def __init__(self, instrument: Instrument, lots: int = 0, half_ticks: int | None = None) -> None:
        """`half_ticks`: the mid the account starts from; without one, the first mid seen. Raises GridError (see
        `unit_of`).
        """
        self._inverse = instrument.inverse
        self.unit_atto = 0 if self._inverse else unit_of(instrument)
        # The table of an inverse contract is -floor(c / half_ticks), with c kept as an exact ratio.
        self._contract_atto = _inverse_contract(instrument) if self._inverse else (0, 1)
        self._lot_atto = int(_exact(instrument.lot) * ATTO)
        self._maker_ppm = instrument.maker_fee_ppm
        self._taker_ppm = instrument.taker_fee_ppm
        self.lots = lots
        self.half_ticks: int | None = None
        """The mark: the last valid mid. None before the first."""
        self.cash_atto = 0
        self.spread_atto = 0
        self.fees_atto = 0
        self.funding_atto = 0
        self.fee_residue = 0
        self.funding_residue = 0
        self.base_surplus = 0
        """Atto of the base held beyond `lots`, where fees are taken out of the base: less than a lot."""
        self.fee_lots = 0
        """Lots that fees were taken out of, counted from the start of this process."""
        self.estimated_fees = 0
        """Fees that are still our own estimate."""
        self.stale_mids = 0
        """Fills that had no valid mid of their own."""
        self.bought, self.sold = Traded(), Traded()
        """Counted from the start of this process; no part of the P&L."""
        self._folded_inventory = 0
        self._folded_value = 0
        self._average: float | None = None
        if half_ticks is not None:
            self.mark(half_ticks)

    # Parts

    @property
    def inventory_atto(self) -> int:
        """What the mid's moves brought on the lots held meanwhile."""
        return self._folded_inventory + self._unfolded_inventory()

    @property
    def total_atto(self) -> int:
        total = self.spread_atto + self.fees_atto + self.funding_atto + self._folded_inventory
        return total + self._unfolded_inventory() if self.lots else total

    @property
    def average_ticks(self) -> float | None:
        """Average price of the open position, ticks (harmonic for inverse contracts): for people. None when flat."""
        if self._average is None:
            return None
        return 1.0 / self._average if self._inverse else self._average

    def value(self, half_ticks: int) -> int:
        """Atto that one lot is worth at a price: rising with the price, negative throughout for inverse contracts."""
        if not self._inverse:
            return half_ticks * self.unit_atto
        numerator, denominator = self._contract_atto
        return -(numerator // (half_ticks * denominator))

    # Facts

    def mark(self, half_ticks: int) -> None:
        """A new valid mid. Cheap: the lots held stay the same here, so the parts are settled later."""
        if self.half_ticks is None:
            self._start(half_ticks)
        self.half_ticks = half_ticks

    def fill(
        self,
        lots: int,
        ticks: int,
        mid_half_ticks: int | None,
        *,
        fee_atto: int | None,
        maker: bool = True,
        fee_rest: int = 0,
        base_fee_atto: int = 0,
    ) -> FillBooked:
        """Book a fill of signed `lots` at `ticks`; `mid_half_ticks` None: the mid is not valid, the last one is used.

        `fee_atto` None estimates the fee at the instrument's rate for the role; `fee_rest` is what rounding left of a
        venue's fee text (see `fee_from_text`), in millionths of an atto. `base_fee_atto`: what the venue took out of
        the base for it (atto of base units): booked as paid in money, with as much of the base sold for that at
        `ticks`, in whole lots, so that the lots here never exceed what is held.
        """
        stale = mid_half_ticks is None
        if mid_half_ticks is not None:
            self.mark(mid_half_ticks)
        elif self.half_ticks is None:
            self.mark(2 * ticks)  # nothing else was ever seen: the fill's own price is the first mid
        price = self.value(2 * ticks)
        mid = self._fold()
        estimated = fee_atto is None
        if fee_atto is None:
            ppm = self._maker_ppm if maker else self._taker_ppm
            fee_atto, self.fee_residue = divmod(abs(price * lots) * ppm + self.fee_residue, FEE_PARTS)
            self.estimated_fees += 1
        else:
            self.fee_residue += fee_rest
        captured = lots * (mid - price)
        self.spread_atto += captured
        (self.bought if lots > 0 else self.sold).add(abs(lots), abs(lots * price), captured, maker=maker)
        self.fees_atto -= fee_atto
        self.cash_atto -= lots * price + fee_atto
        self._average = self._average_after(lots, ticks)
        self.lots += lots
        if base_fee_atto:
            self._take_out(base_fee_atto, price, mid)
        self.stale_mids += stale
        return FillBooked(fee_atto, estimated, stale)

    def lots_taken_by(self, base_fee_atto: int) -> int:
        """Lots that fees in the base (atto, of any number of fills) cost; negative: that rebates bring."""
        return -(-(base_fee_atto - self.base_surplus) // self._lot_atto)

    def _take_out(self, base_fee_atto: int, price: int, mid: int) -> None:
        """Lots that a fee in the base costs, sold at `price` while a lot is worth `mid`."""
        taken = self.lots_taken_by(base_fee_atto)
        self.base_surplus += taken * self._lot_atto - base_fee_atto
        self.spread_atto -= taken * (mid - price)
        self.cash_atto += taken * price
        self.lots -= taken
        self.fee_lots += taken
        if not self.lots:
            self._average = None

    def adopt(self, lots: int) -> None:
        """Take over signed `lots` at the mid last seen: nothing is earned or lost by it, and it is no trade. The part
        `inventory` follows them from here on. What is held beyond whole lots is not known then, and counts as nothing.
        """
        if self.half_ticks is not None:
            self.cash_atto -= lots * self._fold()
            self._average = self._average_after(lots, 0.5 * self.half_ticks)
        self.lots += lots
        self.base_surplus = 0

    def correct_fee(self, booked_atto: int, charged_atto: int) -> int:
        """The venue's own fee for a fill whose fee was estimated: books the difference and returns it."""
        difference = charged_atto - booked_atto
        self.fees_atto -= difference
        self.cash_atto -= difference
        self.estimated_fees -= 1
        return difference

    def funding_paid(self, received_atto: int, *, estimated_atto: int = 0, rest: int = 0) -> int:
        """The venue's own amount, less an estimate booked for the same payment; returns what was booked now.

        `rest` is what rounding left of the venue's text (see `received_from_text`), in units of 1e-12 atto.
        """
        difference = received_atto - estimated_atto
        self.funding_residue += rest
        self.funding_atto += difference
        self.cash_atto += difference
        return difference

    def estimate_funding(self, mark_half_ticks: int, rate_e12: int) -> int:
        """Book a payment at the mark where the venue names no amount; longs pay a positive rate. Returns it."""
        due = -self.lots * abs(self.value(mark_half_ticks)) * rate_e12 + self.funding_residue
        received, self.funding_residue = divmod(due, FUNDING_PARTS)
        self.funding_atto += received
        self.cash_atto += received
        return received

    # Another life

    def state(self) -> PositionState:
        """All of it, with the inventory part settled at the mark."""
        return PositionState(
            self.lots,
            self.half_ticks,
            to_pair(self.cash_atto),
            to_pair(self.spread_atto),
            to_pair(self.inventory_atto),
            to_pair(self.fees_atto),
            to_pair(self.funding_atto),
            self.fee_residue,
            self.funding_residue,
            self.estimated_fees,
            self.stale_mids,
            self._average,
            to_pair(self.base_surplus),
        )

    def restore(self, state: PositionState) -> None:
        """Become what `state` was taken of, on the same contract."""
        self.lots = state.lots
        self.half_ticks = state.half_ticks
        self.cash_atto = from_pair(state.cash)
        self.spread_atto = from_pair(state.spread)
        self.fees_atto = from_pair(state.fees)
        self.funding_atto = from_pair(state.funding)
        self.fee_residue = state.fee_residue
        self.funding_residue = state.funding_residue
        self.estimated_fees = state.estimated_fees
        self.stale_mids = state.stale_mids
        self._folded_inventory = from_pair(state.inventory)
        self._folded_value = 0 if state.half_ticks is None else self.value(state.half_ticks)
        self._average = state.average
        self.base_surplus = from_pair(state.base_surplus)

    # Leaves

    def _start(self, half_ticks: int) -> None:
        self._folded_value = self.value(half_ticks)
        self.cash_atto -= self.lots * self._folded_value
        if self.lots:
            self._average = self._coordinate(0.5 * half_ticks)

    def _unfolded_inventory(self) -> int:
        """What the lots held have gained since the inventory part was last settled."""
        return 0 if self.half_ticks is None else self.lots * (self.value(self.half_ticks) - self._folded_value)

    def _fold(self) -> int:
        """Settle the inventory part up to the mark, before the lots change; returns the value of a lot there."""
        assert self.half_ticks is not None  # every caller has marked
        value = self.value(self.half_ticks)
        self._folded_inventory += self.lots * (value - self._folded_value)
        self._folded_value = value
        return value

    def _coordinate(self, ticks: float) -> float:
        """The price in which averages are arithmetic."""
        return 1.0 / ticks if self._inverse else ticks

    def _average_after(self, lots: int, ticks: float) -> float | None:
        held, after = self.lots, self.lots + lots
        if after == 0:
            return None
        at = self._coordinate(float(ticks))
        if held * after <= 0 or self._average is None:  # opened, or turned around
            return at
        if abs(after) <= abs(held):
            return self._average
        return (self._average * held + at * lots) / after


def unit_of(instrument: Instrument) -> int:
    """Atto per half-tick and lot of a linear contract: `K = tick * lot * multiplier * 10**18 / 2`.

    Raises GridError when K is not a positive multiple of 10**6: fees in ppm would not be exact, so the instrument is
    refused.
    """
    unit = _exact(instrument.tick) * _exact(instrument.lot) * _exact(instrument.multiplier) * ATTO / 2
    if unit.denominator != 1 or unit.numerator <= 0 or unit.numerator % FEE_PARTS:
        raise GridError(
            f"{instrument.id}: tick {instrument.tick} x lot {instrument.lot} x multiplier {instrument.multiplier} does "
            f"not suit exact money: half of it must be a positive multiple of 1e-12; this instrument cannot be traded"
        )
    return unit.numerator


def _inverse_contract(instrument: Instrument) -> tuple[int, int]:
    """`2 * lot * multiplier * 10**18 / tick` as a ratio of integers: atto of one lot times half-ticks."""
    tick = _exact(instrument.tick)
    if tick <= 0 or instrument.lot <= 0 or instrument.multiplier <= 0:
        raise GridError(f"{instrument.id}: tick, lot and multiplier must be positive; this instrument cannot be traded")
    contract = 2 * _exact(instrument.lot) * _exact(instrument.multiplier) * ATTO / tick
    return contract.numerator, contract.denominator


def _exact(number: Decimal) -> Fraction:
    if not number.is_finite():
        raise GridError(f"{number} is no tick, lot or multiplier")
    return Fraction(number)


def fee_from_text(text: str) -> tuple[int, int]:
    """(atto, rest) of a fee in a venue's words: rounded up, which is against us; `rest` <= 0 is in millionths of an
    atto.
    """
    parts = -_floored(text, -ATTO * FEE_PARTS)
    charged = -(-parts // FEE_PARTS)
    return charged, parts - charged * FEE_PARTS


def received_from_text(text: str) -> tuple[int, int]:
    """(atto, rest) of a payment to us in a venue's words: rounded down, against us; `rest` >= 0 is in 1e-12 atto."""
    return divmod(_floored(text, ATTO * FUNDING_PARTS), FUNDING_PARTS)


def _floored(text: str, scale: int) -> int:
    """`text * scale`, exact but for the final floor."""
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise GridError(f"money: {text!r} is not a number") from None
    if not number.is_finite() or abs(number.adjusted()) > _MAX_EXPONENT:
        raise GridError(f"money: {text!r} is not a finite number of a sensible size")
    return math.floor(Fraction(number) * scale)
