"""The models that are compared, made to quote alike where all of them start.

A half-spread when flat and a skew are what can be compared: at the configured volatility and intensity every contender
has the same of both (`engine/intent.py`). What is left between them is their shape over inventory and what they make of
another volatility.
"""

import msgspec

from mm_daemon.engine.parameters import QuoteParameters


class Contender(msgspec.Struct, frozen=True):
    """A model under the name that tables show."""

    title: str
    model: str
    tau_s: float | None = None
    """For models with a horizon; None: their own."""


CONTENDERS = (
    Contender("GLFT", "glft"),
    Contender("A-S, tau 60 s", "avellaneda_stoikov", 60.0),
    Contender("Cartea-Jaimungal", "cartea_jaimungal"),
    Contender("Ho-Stoll", "ho_stoll"),
    Contender("fixed spread", "fixed_spread"),
)


def matched(contender: Contender, base: QuoteParameters, *, half_bps: float, lean_bps: float) -> QuoteParameters:
    """`base` with this model, `half_bps` beyond its costs when flat, leaning by `lean_bps` at the limit."""
    return msgspec.structs.replace(
        base,
        model=contender.model,
        tau=contender.tau_s or "auto",
        half_spread_bps=half_bps,
        skew_bps_at_max=lean_bps,
    )
