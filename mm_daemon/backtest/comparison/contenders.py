"""The models that are compared, made to quote alike where all of them start.

A half-spread when flat and a skew are what can be compared: at the configured volatility and intensity every contender
has the same of both (`engine/intent.py`). What is left between them is their shape over inventory and what they make of
another volatility.
"""

import msgspec

from mm_daemon.engine.parameters import QuoteParameters, TauMode


class Contender(msgspec.Struct, frozen=True):
    """A model under the name that tables show."""

    title: str
    model: str
    tau: float | TauMode = "auto"
    """For models with a horizon, seconds."""
    session_s: float = 86_400.0


CONTENDERS = (
    Contender("GLFT", "glft"),
    Contender("A-S, tau 60 s", "avellaneda_stoikov", 60.0),
    Contender("Cartea-Jaimungal", "cartea_jaimungal"),
    Contender("Ho-Stoll", "ho_stoll"),
    Contender("fixed spread", "fixed_spread"),
)
OTHERS = (
    Contender("GLFT exact", "glft_exact"),
    Contender("A-S, infinite horizon", "avellaneda_stoikov_infinite"),
    Contender("A-S, symmetric", "avellaneda_stoikov_symmetric"),
    Contender("Cartea-Jaimungal, tau 10 s", "cartea_jaimungal", 10.0),
    Contender("Cartea-Jaimungal, last 10 s of a session", "cartea_jaimungal", "session", 10.0),
)
"""What else there is: only timed."""


def matched(contender: Contender, base: QuoteParameters, *, half_bps: float, lean_bps: float) -> QuoteParameters:
    """`base` with this model, `half_bps` beyond its costs when flat, leaning `lean_bps` at the limit, if it leans."""
    return msgspec.structs.replace(
        base,
        model=contender.model,
        tau=contender.tau,
        session_s=contender.session_s,
        half_spread_bps=half_bps,
        skew_bps_at_max=None if contender.model == "avellaneda_stoikov_symmetric" else lean_bps,
    )
