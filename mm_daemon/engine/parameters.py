"""What a person may tune about quoting one market. These bounds and units are the ones the configuration enforces."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

LockoutAction = Literal["hold", "withdraw"]
TauMode = Literal["auto", "session"]


class QuoteParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pricing and pacing of one market, in bps of the mid and order sizes (MODELS 0.2)."""

    enabled: Annotated[bool, Meta(description="quote this market")] = True
    model: Annotated[
        Literal["glft", "avellaneda_stoikov"],
        Meta(description="pricing model: GLFT closed form, or Avellaneda-Stoikov"),
    ] = "glft"
    gamma: Annotated[float, Meta(gt=0, le=1000, description="risk aversion, 1/(bps * order)")] = 0.05
    k: Annotated[float, Meta(gt=0, le=1000, description="decay of the fill intensity with distance, 1/bps")] = 0.5
    intensity: Annotated[float, Meta(gt=0, le=1e6, description="fills per second and side at distance zero")] = 1.0
    volatility: Annotated[
        float, Meta(gt=0, le=100, description="annual volatility used until the estimator is ready, 0.5 = 50 %")
    ] = 0.5
    volatility_half_life_s: Annotated[
        float, Meta(gt=0, le=86400, description="half-life of the EWMA volatility, seconds")
    ] = 60.0
    volatility_step_ms: Annotated[
        int, Meta(ge=0, le=60000, description="clock on which the mid is sampled for volatility, ms; 0 = every change")
    ] = 1000
    tau: Annotated[
        TauMode | Annotated[float, Meta(gt=0, le=1e7)],
        Meta(description="horizon of Avellaneda-Stoikov: auto, session, or seconds"),
    ] = "auto"
    session_s: Annotated[float, Meta(gt=0, le=1e7, description="length of a session for tau: session, seconds")] = (
        86400.0
    )
    fair_price: Annotated[
        Literal["mid", "microprice"], Meta(description="reference price the quotes are built around")
    ] = "microprice"
    target_position: Annotated[float, Meta(description="inventory the quotes pull towards, base units")] = 0.0
    fees_in_model: Annotated[
        bool, Meta(description="pass the maker fee into the optimiser (MODELS 2.3), so that quotes earn after fees")
    ] = True
    min_edge_bps: Annotated[
        float, Meta(ge=-100, le=1000, description="least distance to fair of a quote that grows the position, bps")
    ] = 0.0
    max_give_bps: Annotated[
        float, Meta(ge=0, le=1000, description="how far beyond fair a reducing quote may go, bps")
    ] = 0.0
    min_spread_bps: Annotated[float, Meta(ge=0, le=10000, description="narrowest bid-ask spread of ours, bps")] = 0.0
    max_spread_bps: Annotated[float, Meta(gt=0, le=10000, description="widest bid-ask spread of ours, bps")] = 200.0
    max_skew_bps: Annotated[
        float, Meta(gt=0, le=10000, description="largest shift of both quotes by inventory, bps")
    ] = 50.0
    tolerance_frac: Annotated[
        float | None,
        Meta(description="how far a quote may drift from its target before it moves, fraction of price; null = auto"),
    ] = None
    size_tolerance: Annotated[
        float, Meta(ge=0, lt=1, description="how far a quote's size may differ from its target, fraction")
    ] = 0.25
    decide_interval_ms: Annotated[
        int, Meta(ge=0, le=60000, description="longest time between full decisions while data flows, ms")
    ] = 100
    fill_lockout_ms: Annotated[int, Meta(ge=0, le=600000, description="pause of a side after its fill, ms")] = 1000
    order_lockout_ms: Annotated[
        int, Meta(ge=0, le=600000, description="pause of a side after placing or moving an order, ms")
    ] = 500
    reject_lockout_ms: Annotated[
        int, Meta(ge=0, le=600000, description="pause of a side after a venue reject, doubling to 60 s, ms")
    ] = 2000
    lockout_action: Annotated[
        LockoutAction, Meta(description="what a fill or reject lockout does to the working quote")
    ] = "hold"
    max_book_age_ms: Annotated[int, Meta(ge=10, le=3600000, description="oldest book that may be quoted on, ms")] = 5000
