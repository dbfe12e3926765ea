"""Quantums and subticks: sizes and prices as the chain counts them, from a market's exponents. Integers and decimals
only; floats lose a step or a tick (FACTS section 2).

    quantums = size  * 10^-atomic_resolution                                          a multiple of step_base_quantums
    subticks = price * 10^(atomic_resolution - quantum_conversion_exponent + 6)       a multiple of subticks_per_tick

The 6 is USDC's. One lot of ours is one step, one tick of ours is `subticks_per_tick`, so that an order needs no
rounding at all: `lots * step_base_quantums`, `ticks * subticks_per_tick`.
"""

from decimal import ROUND_FLOOR, Decimal, InvalidOperation, localcontext

import msgspec

from mm_daemon.domain.errors import GridError

_USDC_DECIMALS = 6
_UINT64_MAX = (1 << 64) - 1
_PRECISION = 120


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """One market's exponents, as the indexer names them in `/v4/perpetualMarkets`."""

    clob_pair_id: int
    atomic_resolution: int
    quantum_conversion_exponent: int
    step_base_quantums: int
    subticks_per_tick: int

    def __post_init__(self) -> None:
        """Raises GridError for a step or a tick that is none."""
        if self.step_base_quantums < 1 or self.subticks_per_tick < 1:
            raise GridError(f"step {self.step_base_quantums} and tick {self.subticks_per_tick} must be 1 or more")

    @property
    def step(self) -> Decimal:
        """Smallest change of a size, in units of the base."""
        return Decimal(self.step_base_quantums).scaleb(self.atomic_resolution)

    @property
    def tick(self) -> Decimal:
        """Smallest change of a price, in USDC."""
        return Decimal(self.subticks_per_tick).scaleb(-self._price_exponent)

    @property
    def _price_exponent(self) -> int:
        return self.atomic_resolution - self.quantum_conversion_exponent + _USDC_DECIMALS

    def quantums(self, size: str) -> int:
        """Whole steps of a size, rounded down, in quantums; 0 is less than one step and no order."""
        return _floor(size, -self.atomic_resolution, self.step_base_quantums)

    def subticks(self, price: str) -> int:
        """Whole ticks of a price, rounded down, in subticks; 0 is less than one tick and no price."""
        return _floor(price, self._price_exponent, self.subticks_per_tick)

    def takes_quantums(self, quantums: int) -> bool:
        """Whether the chain takes an order of that size."""
        return 0 < quantums <= _UINT64_MAX and quantums % self.step_base_quantums == 0

    def takes_subticks(self, subticks: int) -> bool:
        """Whether the chain takes an order of that price."""
        return 0 < subticks <= _UINT64_MAX and subticks % self.subticks_per_tick == 0


def _floor(text: str, exponent: int, multiple: int) -> int:
    """The number times ten to the exponent, rounded down to a multiple. Raises GridError for what is no number."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise GridError(f"{text!r} is not a number") from None
    if not number.is_finite() or number < 0 or len(number.as_tuple().digits) > _PRECISION // 2:
        raise GridError(f"{text!r} is not a number from 0 on")
    with localcontext(prec=_PRECISION):
        raw = int(number.scaleb(exponent).to_integral_value(ROUND_FLOOR))
    return raw - raw % multiple
