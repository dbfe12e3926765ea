"""Fees that fall with what was traded, as venues set them by the volume of the last month.

A backtest or a paper run counts its own volume on top of what the configuration says was traded before; nothing of it
grows old within a run, so that a run of up to a month is charged as the venue would.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.money import ATTO

_PPM_PER_BP = 100


class FeeTier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fees from a volume on, bps of notional; negative is a rebate."""

    from_volume: Annotated[float, Meta(ge=0, description="volume from which on it holds, quote currency")]
    maker_bps: Annotated[float, Meta(ge=-100, le=1000, description="fee of a resting fill, bps")]
    taker_bps: Annotated[float, Meta(ge=-100, le=1000, description="fee of a taking fill, bps")]

    @property
    def ppm(self) -> tuple[int, int]:
        """Maker and taker, parts per million."""
        return round(self.maker_bps * _PPM_PER_BP), round(self.taker_bps * _PPM_PER_BP)


class FeeTiers:
    """The tiers of one account, and where it stands in them."""

    def __init__(self, tiers: Sequence[FeeTier], volume: float) -> None:
        """`volume`: traded before, quote currency."""
        ordered = sorted(tiers, key=lambda tier: tier.from_volume)
        self._tiers = [(round(tier.from_volume * ATTO), tier.ppm) for tier in ordered]
        self._volume_atto = round(volume * ATTO)

    def ppm(self) -> tuple[int, int] | None:
        """Maker and taker fees now, parts per million; None: below the first tier, where the contract's own hold."""
        held = None
        for from_atto, ppm in self._tiers:
            if self._volume_atto < from_atto:
                break
            held = ppm
        return held

    def traded(self, notional_atto: int) -> None:
        self._volume_atto += notional_atto


def on_tier(instrument: Instrument, tiers: Sequence[FeeTier], volume: float) -> Instrument:
    """The contract with the fees of the tier that an account begins at: what its venue would tell us."""
    ppm = FeeTiers(tiers, volume).ppm()
    if ppm is None:
        return instrument
    return msgspec.structs.replace(instrument, maker_fee_ppm=ppm[0], taker_fee_ppm=ppm[1])
