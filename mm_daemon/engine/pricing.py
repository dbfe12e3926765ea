"""What pricing one instrument comes to: the quotes of both sides, and the numbers behind them."""

import msgspec

from mm_daemon.domain.decisions import Doubt
from mm_daemon.engine.pricing_model import ModelInputs
from mm_daemon.engine.units import BPS


class SideQuote(msgspec.Struct, frozen=True, gc=False):
    """One quote of a pricing. `trimmed`: a limit leaves less room than its full size; `tolerance_ticks`: how far a
    working quote may be too passive before it has to move; `obstacles`: withdraw reasons as a mask, 0 when it may be
    quoted; `depth_bps`: distance from the fair price before rounding and post-only, in bps of the mid, negative beyond
    it.
    """

    ticks: int
    lots: int
    trimmed: bool
    raw_ticks: float
    clamped: bool
    tolerance_ticks: int
    obstacles: int
    depth_bps: float


class WantedDepths(msgspec.Struct, frozen=True, gc=False):
    """How far from the fair price both sides want to be, whatever the book: fields as in `Pricing`, depths in bps of
    the mid, sizes as a share of the full one, obstacles as masks.
    """

    q: float
    half_bps: float
    skew_bps: float
    centre_bps: float
    tau_s: float | None
    shift_bps: float
    widening: float
    inputs: ModelInputs
    bid_bps: float
    ask_bps: float
    bid_size: float
    ask_size: float
    bid_obstacles: int
    ask_obstacles: int
    toxic_widening: float
    confidence_widening: float
    doubts: tuple[Doubt, ...]


class Pricing(msgspec.Struct, frozen=True, gc=False):
    """Both sides and the numbers behind them. Prices in ticks, depths in bps; q in order sizes off the target.

    half_bps: half-spread at this inventory, with `widening` in it, and in that `toxic_widening` for VPIN and
    `confidence_widening` for `doubts`; skew_bps: shift against one order held; centre_bps:
    shift of both quotes by inventory, downwards positive; shift_bps: of both, for other reasons, upwards positive;
    tau_s: the model's horizon.
    """

    mid_ticks: float
    fair_ticks: float
    sigma_bps: float
    q: float
    half_bps: float
    skew_bps: float
    centre_bps: float
    tau_s: float | None
    shift_bps: float
    widening: float
    inputs: ModelInputs
    bids: tuple[SideQuote, ...]
    """By level, innermost first; asks alike."""
    asks: tuple[SideQuote, ...]
    toxic_widening: float = 1.0
    confidence_widening: float = 1.0
    doubts: tuple[Doubt, ...] = ()

    @property
    def bid(self) -> SideQuote:
        """The innermost one."""
        return self.bids[0]

    @property
    def ask(self) -> SideQuote:
        return self.asks[0]

    @property
    def reservation_ticks(self) -> float:
        """The price around which the quotes are centred: fair shifted, and against the inventory."""
        return self.fair_ticks + (self.shift_bps - self.q * self.skew_bps) * BPS * self.mid_ticks
