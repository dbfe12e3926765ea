"""What a fill and a round trip cost, and the half-spread that pays for it (MODELS 5.3)."""

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.instrument import Instrument
from mm_daemon.engine.domain_checks import require_finite, require_positive
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.units import BPS

_PPM_PER_BPS = 100.0


def fill_cost_bps(instrument: Instrument, quoting: QuoteParameters) -> float:
    """What a maker's fill costs and each quote has to earn: the fee, where it is priced in, and the adverse move."""
    fee_bps = instrument.maker_fee_ppm / _PPM_PER_BPS if quoting.fees_in_model else 0.0
    return fee_bps + quoting.adverse_bps


def quotes_begin_bps(instrument: Instrument, quoting: QuoteParameters) -> float:
    """Nearer to the fair price than this nothing is quoted, whatever the book: a fill would not pay the fee."""
    fee_bps = instrument.maker_fee_ppm / _PPM_PER_BPS if quoting.fees_in_model else 0.0
    return max(fee_bps, quoting.min_edge_bps, 0.0)


class BreakEven(msgspec.Struct, frozen=True, gc=False):
    """The least half-spread in price, and the spread it makes in bps; negative where rebates exceed all costs."""

    half_spread: float
    spread_bps: float


def break_even(
    mid: float,
    maker_fee: float,
    slippage: float,
    profit: float,
    taker_fee: float = 0.0,
    hedge_prob: float = 0.0,
    adverse: float = 0.0,
) -> BreakEven:
    """Fees, slippage, `profit` a round trip and `adverse` markout a fill as fractions of the price; a rebate is
    negative.

    `hedge_prob` is the chance that a fill is hedged by a taker order: slippage is paid there alone, never on a maker
    fill. The caller keeps the result at one tick or more.
    """
    require_positive(mid=mid)
    require_finite(maker_fee=maker_fee, slippage=slippage, profit=profit, taker_fee=taker_fee, adverse=adverse)
    if not 0.0 <= hedge_prob <= 1.0:
        raise DomainError(f"hedge_prob = {hedge_prob} is no probability")
    fraction = maker_fee + hedge_prob * (taker_fee + slippage) + adverse + 0.5 * profit
    return BreakEven(mid * fraction, 2.0 * fraction / BPS)
