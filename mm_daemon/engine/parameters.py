"""What a person may tune about quoting one market. These bounds and units are the ones the configuration enforces."""

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

LockoutAction = Literal["hold", "withdraw"]
ProfileName = Literal["aggressive", "balanced", "conservative"]
FairPrice = Literal["mid", "microprice", "adjusted_microprice"]
VolatilityEstimator = Literal["ewma", "two_scale", "bipower"]
TauMode = Literal["auto", "session"]
_DAY_NS = 86_400_000_000_000
_Share = Annotated[float, Meta(ge=0, le=1)]
_HourText = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]


class QuoteParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pricing and pacing of one market, in bps of the mid and order sizes (MODELS 0.2)."""

    enabled: Annotated[bool, Meta(description="quote this market")] = True
    model: Annotated[
        str,
        Meta(
            min_length=1,
            description="pricing model: glft, glft_exact, avellaneda_stoikov (with tau its horizon), "
            "avellaneda_stoikov_infinite, avellaneda_stoikov_symmetric, cartea_jaimungal (stationary, or with tau "
            "finite), ho_stoll, fixed_spread, or one of a package of yours",
        ),
    ] = "glft"
    profile: Annotated[
        ProfileName | None,
        Meta(
            description="aggressive, balanced or conservative: half_spread_bps and skew_bps_at_max from volatility, "
            "unless they are given; null: as they or gamma and k say"
        ),
    ] = None
    gamma: Annotated[float, Meta(gt=0, le=1000, description="risk aversion, 1/(bps * order)")] = 0.05
    skew_bps_at_max: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=10000,
                description="shift of both quotes at the position limit, bps; gamma is solved from it; null = "
                "as gamma says",
            ),
        ]
        | None
    ) = None
    k: Annotated[float, Meta(gt=0, le=1000, description="decay of the fill intensity with distance, 1/bps")] = 0.5
    half_spread_bps: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=10000,
                description="half-spread when flat, before fees and adverse_bps, bps; k is solved from it; null "
                "= as k says",
            ),
        ]
        | None
    ) = None
    intensity: Annotated[float, Meta(gt=0, le=1e6, description="fills per second and side at distance zero")] = 1.0
    calibration: Annotated[
        Literal["fixed", "market"],
        Meta(description="market: intensity and k are measured on the market's taker orders once the fit is good"),
    ] = "fixed"
    calibration_half_life_s: Annotated[
        float, Meta(gt=0, le=86400, description="half-life of what calibration: market measures, seconds")
    ] = 600.0
    calibration_from_bps: (
        Annotated[
            float,
            Meta(
                ge=0,
                le=1000,
                description="calibration: market counts taker orders from the touch on, or from this distance if it is "
                "further, bps; null = from where the fee is earned",
            ),
        ]
        | None
    ) = None
    adverse_bps: Annotated[
        float,
        Meta(ge=0, le=1000, description="expected move of the mid against us after a fill, bps; priced in like a fee"),
    ] = 0.0
    impact_times: Annotated[
        float,
        Meta(
            ge=0,
            le=10,
            description="adds to adverse_bps so many times what an order of ours would move the mid by Kyle's lambda; "
            "0 = off",
        ),
    ] = 0.0
    max_impact_bps: Annotated[
        float, Meta(ge=0, le=1000, description="largest addition to adverse_bps by impact_times, bps")
    ] = 2.0
    volatility: Annotated[
        float, Meta(gt=0, le=100, description="annual volatility used until the estimator is ready, 0.5 = 50 %")
    ] = 0.5
    volatility_half_life_s: Annotated[
        float, Meta(gt=0, le=86400, description="half-life of the EWMA volatility, seconds")
    ] = 60.0
    volatility_step_ms: Annotated[
        int, Meta(ge=0, le=60000, description="clock on which the mid is sampled for volatility, ms; 0 = every change")
    ] = 1000
    volatility_estimator: Annotated[
        VolatilityEstimator,
        Meta(
            description="ewma: all moves of that clock count; two_scale: without the flicker of the mid; bipower: "
            "without single jumps"
        ),
    ] = "ewma"
    tau: Annotated[
        TauMode | Annotated[float, Meta(gt=0, le=1e7)],
        Meta(
            description="horizon of avellaneda_stoikov, its symmetric one, ho_stoll and cartea_jaimungal: auto (as in "
            "glft; cartea_jaimungal: none), session (what is left of it), or seconds"
        ),
    ] = "auto"
    session_s: Annotated[float, Meta(gt=0, le=1e7, description="length of a session for tau: session, seconds")] = (
        86400.0
    )
    terminal_penalty: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="cartea_jaimungal with a tau: at its end each order costs this much more for every order held, "
            "bps / order",
        ),
    ] = 1.0
    fair_price: Annotated[
        FairPrice,
        Meta(
            description="reference price the quotes are built around; adjusted_microprice learns where the mid goes "
            "next, and is the microprice until it has"
        ),
    ] = "microprice"
    low_confidence_widening: Annotated[
        float,
        Meta(
            ge=1,
            le=100,
            description="what the half-spread is multiplied by while volatility, or A and k, are not known at all; "
            "shrinks to 1 as they are; 1 = off",
        ),
    ] = 1.0
    regime_power: Annotated[
        float,
        Meta(
            ge=0,
            le=2,
            description="gamma is multiplied by (volatility now / usual volatility) to this power; 0.5 suits "
            "glft; 0 = off",
        ),
    ] = 0.0
    regime_min: Annotated[
        float, Meta(gt=0, le=1, description="smallest multiple of gamma that regime_power may come to")
    ] = 0.5
    regime_max: Annotated[
        float, Meta(ge=1, le=100, description="largest multiple of gamma that regime_power may come to")
    ] = 4.0
    momentum_beta: Annotated[
        float,
        Meta(
            ge=-10,
            le=10,
            description="shift of both quotes with momentum, times the move it expects; fitted by regressing "
            "that move; 0 = off",
        ),
    ] = 0.0
    flow_beta_bps: Annotated[
        float,
        Meta(
            ge=-100,
            le=100,
            description="drift of the price expected per unit of order-flow imbalance, bps a second; shifts "
            "both quotes; 0 = off",
        ),
    ] = 0.0
    funding_shift: Annotated[
        bool,
        Meta(
            description="shift both quotes by the funding that a position is expected to pay or receive while "
            "it is held"
        ),
    ] = True
    shift_horizon_s: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=1e7,
                description="time over which momentum, flow and funding are counted, seconds; null = as long as the "
                "model expects to hold a fill",
            ),
        ]
        | None
    ) = None
    max_shift_bps: Annotated[
        float, Meta(ge=0, le=1000, description="largest shift by momentum, flow and funding together, bps")
    ] = 2.0
    target_position: Annotated[float, Meta(description="inventory the quotes pull towards, base units")] = 0.0
    fees_in_model: Annotated[
        bool, Meta(description="the model prices the maker fee in, so that quotes earn after fees")
    ] = True
    min_edge_bps: Annotated[
        float,
        Meta(
            ge=-100,
            le=1000,
            description="least distance to fair of a quote that grows the position, bps; never less than the "
            "fee priced in plus adverse_bps",
        ),
    ] = 0.0
    max_give_bps: Annotated[
        float, Meta(ge=0, le=1000, description="how far beyond fair a reducing quote may go, bps")
    ] = 0.0
    min_spread_bps: Annotated[float, Meta(ge=0, le=10000, description="narrowest bid-ask spread of ours, bps")] = 0.0
    max_spread_bps: Annotated[float, Meta(gt=0, le=10000, description="widest bid-ask spread of ours, bps")] = 200.0
    max_skew_bps: Annotated[
        float,
        Meta(gt=0, le=10000, description="largest shift of both quotes by inventory, at the position limit, bps"),
    ] = 50.0
    improve_touch: Annotated[
        bool, Meta(description="may quote better than the market's best price; false = join it at most")
    ] = True
    levels: Annotated[
        int, Meta(ge=1, le=20, description="quotes on each side; the order size is that of the inner one")
    ] = 1
    level_step_bps: Annotated[
        float, Meta(gt=0, le=1000, description="distance from the inner quote to the second, bps of the mid")
    ] = 2.0
    level_growth: Annotated[
        float, Meta(ge=0.1, le=10, description="each further distance is so many times the one before")
    ] = 1.0
    level_size_ratio: Annotated[
        float, Meta(ge=0.1, le=10, description="each level's size is so many times that of the one inside it")
    ] = 1.0
    size_skew: Annotated[
        _Share,
        Meta(
            description="how much smaller the side that grows the position gets with it: 0 = not, 1 = to the least "
            "order at the position limit"
        ),
    ] = 0.0
    size_depth_share: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=1,
                description="largest order, share of what its side of the book has displayed within size_depth_bps for "
                "ten seconds; null = whatever is displayed",
            ),
        ]
        | None
    ) = None
    size_depth_bps: Annotated[
        float, Meta(gt=0, le=1000, description="how far from the mid size_depth_share looks, bps")
    ] = 10.0
    size_impact_bps: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=1000,
                description="largest order: what moves the mid by so much by Kyle's lambda, once that is known, bps; "
                "null = whatever it moves",
            ),
        ]
        | None
    ) = None
    inventory_widen_at: Annotated[
        _Share, Meta(description="share of the position limit above which the side that grows it is wider")
    ] = 0.7
    inventory_widening: Annotated[
        float, Meta(ge=1, le=100, description="what the half-spread of that side is multiplied by")
    ] = 1.25
    inventory_skip_at: Annotated[
        _Share,
        Meta(description="share of the position limit above which the side that grows the position is not quoted"),
    ] = 0.8
    inventory_exit_at: (
        Annotated[
            float,
            Meta(
                gt=0, le=1, description="share of the position limit above which a position is worked off; null = never"
            ),
        ]
        | None
    ) = 0.95
    stop_loss_bps: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=10000,
                description="loss against its average price above which a position is worked off, bps; null = never",
            ),
        ]
        | None
    ) = None
    max_position_age_s: (
        Annotated[
            float, Meta(gt=0, le=1e7, description="age from which a position is worked off, seconds; null = never")
        ]
        | None
    ) = None
    day_loss_widen: (
        Annotated[
            float,
            Meta(
                gt=0,
                description="loss of a day (UTC) of this market above which quotes widen, settlement currency; "
                "null = never",
            ),
        ]
        | None
    ) = None
    day_loss_stop: (
        Annotated[
            float,
            Meta(
                gt=0,
                description="loss of a day (UTC) above which this market only works off its position, "
                "settlement currency; null = never",
            ),
        ]
        | None
    ) = None
    day_loss_widening: Annotated[
        float,
        Meta(
            ge=1,
            le=100,
            description="what the spread is multiplied by just below day_loss_stop, rising from day_loss_widen",
        ),
    ] = 2.0
    volatility_widen: (
        Annotated[
            float,
            Meta(gt=0, le=100, description="annual volatility above which quotes widen, 1 = 100 %; null = never"),
        ]
        | None
    ) = None
    volatility_stop: (
        Annotated[
            float,
            Meta(gt=0, le=100, description="annual volatility above which nothing is quoted, 1 = 100 %; null = never"),
        ]
        | None
    ) = None
    volatility_widening: Annotated[
        float,
        Meta(
            ge=1,
            le=100,
            description="what the spread is multiplied by just below volatility_stop, rising from volatility_widen",
        ),
    ] = 3.0
    toxic_cool_down_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=3600000,
            description="after an outsized taker order, or flow, pull the side that takers would hit next for "
            "so long, ms; 0 = never",
        ),
    ] = 0
    toxic_trade_z: Annotated[
        float,
        Meta(
            gt=0,
            le=100,
            description="size of a taker order that pulls, standard deviations above the usual log of sizes",
        ),
    ] = 4.0
    toxic_flow_times: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=1e6,
                description="net taker volume of the last seconds that pulls, times the size at the best price; "
                "null = none",
            ),
        ]
        | None
    ) = None
    toxic_vpin: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=1,
                description="VPIN, the one-sided share of the volume of late, above which each further bucket pulls; "
                "null = none",
            ),
        ]
        | None
    ) = None
    toxic_vpin_widen: (
        Annotated[float, Meta(ge=0, lt=1, description="VPIN above which quotes widen; null = never")] | None
    ) = None
    toxic_vpin_widening: Annotated[
        float,
        Meta(
            ge=1,
            le=100,
            description="what the spread is multiplied by at toxic_vpin, or at 1 without it, rising from "
            "toxic_vpin_widen",
        ),
    ] = 2.0
    vpin_bucket: Annotated[
        float, Meta(gt=0, le=1e6, description="volume of one of the 50 buckets of VPIN, in order sizes")
    ] = 100.0
    sessions: Annotated[
        tuple[_HourText, ...], Meta(description="hours of the day (UTC) to quote in, such as 08:00-16:30; empty = all")
    ] = ()
    blackouts: Annotated[tuple[_HourText, ...], Meta(description="hours of the day (UTC) not to quote in")] = ()
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
    decide_interval_min_ms: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=60000,
                description="decide_interval_ms shrinks down to this when volatility is above usual and beyond "
                "inventory_widen_at, ms; null = it does not",
            ),
        ]
        | None
    ) = None
    quote_min_life_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=3600000,
            description="age before which a quote is not moved for being too passive or of another size, ms",
        ),
    ] = 0
    quote_max_age_s: (
        Annotated[
            float,
            Meta(gt=0, le=1e7, description="age at which a quote is placed anew, seconds; null = never"),
        ]
        | None
    ) = None
    fill_lockout_ms: Annotated[int, Meta(ge=0, le=600000, description="pause of a side after its fill, ms")] = 1000
    order_lockout_ms: Annotated[
        int, Meta(ge=0, le=600000, description="pause of a side after placing or moving an order, ms")
    ] = 500
    reject_lockout_ms: Annotated[
        int, Meta(ge=0, le=600000, description="pause of a side after a venue reject, doubling to 60 s, ms")
    ] = 2000
    fill_burst: (
        Annotated[
            int,
            Meta(gt=0, le=10000, description="fills of a side within fill_burst_window_ms that pull it; null = never"),
        ]
        | None
    ) = None
    fill_burst_window_ms: Annotated[
        int, Meta(ge=1, le=3600000, description="time in which the fills of fill_burst are counted, ms")
    ] = 1000
    fill_burst_pause_ms: Annotated[
        int, Meta(ge=1, le=3600000, description="how long fill_burst keeps a side pulled, ms")
    ] = 10000
    lockout_action: Annotated[
        LockoutAction, Meta(description="what a fill or reject lockout does to the working quote")
    ] = "hold"
    max_book_age_ms: Annotated[int, Meta(ge=10, le=3600000, description="oldest book that may be quoted on, ms")] = 5000


class WarmStart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a calibration of this market found (`mm-daemon calibrate --save`), to begin with until the market has been
    measured again.

    `volatility` a year, 0.5 = 50 %; `intensity` per second and side; `k` in 1/bps; `at_ns`: when the data ended;
    `confidence` in A and k, 0 to 1. `file` is where it stands.
    """

    file: str
    at_ns: int
    volatility: float
    intensity: float
    k: float
    confidence: float

    def freshness(self, now_ns: int) -> float:
        """1 when it has just been measured, half of that for each day since."""
        return math.exp2(-max(0, now_ns - self.at_ns) / _DAY_NS)
