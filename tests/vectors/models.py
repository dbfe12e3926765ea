"""The model vectors' way into the product: names and shapes are translated, nothing is calculated here.

`evaluate(kind, case)` takes a vector's function name and inputs and returns outputs under the vectors' names. A number
outside a model's domain surfaces as ValueError; a function the product does not have yet as KeyError.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.orders import Side
from mm_daemon.engine import costs, funding_arbitrage, pnl_identity, rounding, statistics, units
from mm_daemon.engine.hedging import hedge_rule
from mm_daemon.engine.ladder import Ladder
from mm_daemon.engine.models import (
    avellaneda_stoikov,
    cartea_jaimungal,
    fixed_spread,
    glft,
    glft_exact,
    ho_stoll,
    short_term_alpha,
)
from mm_daemon.engine.overlays.shifts import funding_shift
from mm_daemon.engine.signals import flow, intensity
from mm_daemon.engine.signals import microprice as micro
from mm_daemon.engine.signals.kyle import DecayedRegression
from mm_daemon.engine.signals.microprice_table import microprice_stoikov
from mm_daemon.engine.signals.momentum import Momentum
from mm_daemon.engine.signals.regime import regime_gamma
from mm_daemon.engine.signals.robust_volatility import BipowerVolatility, TwoScaleVolatility
from mm_daemon.engine.signals.toxicity import Vpin
from mm_daemon.engine.signals.trade_size import SizeOutlier
from mm_daemon.engine.signals.volatility import EwmaVolatility

Case = Mapping[str, Any]
Outputs = dict[str, Any]


def evaluate(kind: str, case: Case) -> Outputs:
    """The product's outputs for one vector. Raises KeyError for a function it does not have."""
    adapter = ADAPTERS.get(kind)
    if adapter is None:
        raise KeyError(f"model function {kind!r} is not part of the product yet; it has {', '.join(sorted(ADAPTERS))}")
    return adapter({name: value for name, value in case.items() if name != "header"})


def _fields(result: object, *names: str) -> Outputs:
    return {name: getattr(result, name) for name in names}


def _as_finite(case: Case) -> Outputs:
    return _fields(avellaneda_stoikov.finite(**case), "reservation", "spread", "bid", "ask")


def _as_infinite(case: Case) -> Outputs:
    return _fields(avellaneda_stoikov.infinite(**case), "reservation_ask", "reservation_bid", "ask", "bid")


def _as_symmetric(case: Case) -> Outputs:
    renamed = {"horizon" if name == "T" else name: value for name, value in case.items()}
    return _fields(avellaneda_stoikov.symmetric(**renamed), "spread", "bid", "ask")


def _bps_units(case: Case) -> Outputs:
    return _fields(units.bps_units(**case), "sigma_bps", "k_bps", "gamma")


def _annual_vol(case: Case) -> Outputs:
    return {"sigma_bps": units.annual_vol_to_bps(**case)}


def _as_bps(case: Case) -> Outputs:
    return _fields(units.as_bps(**case), "q", "reservation_shift_bps", "spread_bps", "bid", "ask")


def _gamma_from_skew(case: Case) -> Outputs:
    return {"gamma": units.gamma_from_skew(**case)}


def _round_quotes(case: Case) -> Outputs:
    tick = case["tick"]
    post_only = case.get("post_only", True)
    best_bid, best_ask = case.get("best_bid"), case.get("best_ask")
    bid_touch = NO_BID if best_bid is None else round(rounding.price_in_ticks(best_bid, tick))
    ask_touch = NO_ASK if best_ask is None else round(rounding.price_in_ticks(best_ask, tick))
    # A side that is not asked for stands where it cannot meet the other.
    bid = 0.0 if case["bid"] is None else rounding.price_in_ticks(case["bid"], tick)
    ask = float(NO_ASK) if case["ask"] is None else rounding.price_in_ticks(case["ask"], tick)
    bid_ticks, ask_ticks = rounding.round_quotes(bid, ask, bid_touch, ask_touch, post_only=post_only)
    return {
        "bid_ticks": None if case["bid"] is None else bid_ticks,
        "ask_ticks": None if case["ask"] is None else ask_ticks,
    }


def _glft_case(case: Case) -> Outputs:
    return {"delta" if name == "Delta" else name: value for name, value in case.items()}


def _glft_coeffs(case: Case) -> Outputs:
    return _fields(glft.coefficients(**_glft_case(case)), "c1", "c2", "half_spread", "skew", "tau_star")


def _glft_quotes(case: Case) -> Outputs:
    return _fields(glft.quotes(**_glft_case(case)), "delta_bid", "delta_ask", "bid", "ask")


def _fee_adjusted(case: Case) -> Outputs:
    return {"A": glft.fee_adjusted_A(**case)}


def _glft_exact(case: Case) -> Outputs:
    return _fields(glft_exact.quotes(**case), "delta_bid", "delta_ask", "certainty_equivalent", "ce_rate")


def _cj(case: Case) -> Outputs:
    return _fields(cartea_jaimungal.quotes(**case), "delta_bid", "delta_ask", "h", "h_rate")


def _alpha_shift(case: Case) -> Outputs:
    return {"shift": short_term_alpha.alpha_shift(**case)}


def _alpha_shift_glft(case: Case) -> Outputs:
    return {"shift": short_term_alpha.alpha_shift_glft(**case)}


def _ho_stoll(case: Case) -> Outputs:
    return _fields(ho_stoll.quotes(**case), "delta_bid", "delta_ask", "spread", "bid", "ask")


def _fixed_spread(case: Case) -> Outputs:
    return _fields(fixed_spread.quotes(**case), "center", "bid", "ask", "spread_bps")


def _ewma_vol(case: Case) -> Outputs:
    estimator = EwmaVolatility(case["half_life"], step_ms=0, floor_bps=case.get("sigma_min", 0.0))
    path: list[float | None] = []
    last = 0.0
    for index, (time, price) in enumerate(zip(case["times"], case["prices"], strict=True)):
        if not estimator.observe(time - last if index else 0.0, price):
            continue
        last = time
        if index:
            path.append(estimator.estimate)
    return {"sigma": estimator.estimate, "sigma_path": path}


def _tsrv(case: Case) -> Outputs:
    estimator = TwoScaleVolatility(case["step"], case["K"], case["half_life"])
    for price in case["prices"]:
        estimator.sample(price)
    return _fields(estimator, "v_fast", "v_slow", "sigma2", "noise_var")


def _bipower(case: Case) -> Outputs:
    estimator = BipowerVolatility(case["step"], case["half_life"])
    for price in case["prices"]:
        estimator.sample(price)
    return {"sigma": estimator.estimate}


def _microprice(case: Case) -> Outputs:
    return {
        "microprice": micro.microprice(**case),
        "imbalance": micro.imbalance(case["bid_qty"], case["ask_qty"]),
    }


def _break_even(case: Case) -> Outputs:
    return _fields(costs.break_even(**case), "half_spread", "spread_bps")


def _pnl(case: Case) -> Outputs:
    parts = pnl_identity.pnl(**case)
    return _fields(parts, "total", "spread", "inventory", "fees", "funding", "position", "cash")


# Signals, overlays and statistics.

_SIDES = {"bid": Side.BUY, "buy": Side.BUY, "ask": Side.SELL, "sell": Side.SELL}


def _side(word: str) -> Side:
    try:
        return _SIDES[word]
    except KeyError:
        raise DomainError(f"{word!r} is no side") from None


def _taken(observe: Callable[[float, float], bool], times: list[float], values: list[float]) -> Iterator[None]:
    """Let an estimator observe values at times; yields after each one that it does not drop."""
    last: float | None = None
    for time, value in zip(times, values, strict=True):
        if observe(0.0 if last is None else time - last, value):
            last = time
            yield


def _ladder(case: Case) -> Outputs:
    tick, lot = case["tick"], case["lot"]
    shape = Ladder(case["n"], case["step_bps"], case["growth"], case["size_ratio"])
    inner_ticks = rounding.price_in_ticks(case["inner_price"], tick)
    total_lots, room_lots = (rounding.price_in_ticks(case[name], lot) for name in ("total_size", "room"))
    return {"levels_ticks_lots": shape.levels(_side(case["side"]), inner_ticks, total_lots, room_lots)}


def _hedge_rule(case: Case) -> Outputs:
    hedge = hedge_rule(**case)
    side = "none" if hedge.side is None else "buy" if hedge.side is Side.BUY else "sell"
    return {"side": side, **_fields(hedge, "band", "forced", "size")}


def _intensity_mle(case: Case) -> Outputs:
    return _fields(intensity.intensity_mle(**case), "k", "A", "rate")


def _intensity_regression(case: Case) -> Outputs:
    return _fields(intensity.intensity_regression(**case), "A", "k")


def _microprice_stoikov(case: Case) -> Outputs:
    first, total = microprice_stoikov(case["Qm"], case["R"], case["Kv"], case["Tm"])
    return {"G1": first, "g": total}


def _ofi(case: Case) -> Outputs:
    events, total = flow.ofi([tuple(update) for update in case["updates"]])
    return {"events": events, "ofi": total}


def _kyle(case: Case) -> Outputs:
    regression = DecayedRegression(case["d"])
    for dmid, volume in zip(case["dmid"], case["vol"], strict=True):
        regression.add(volume, dmid)
    return {"lam": regression.slope, "intercept": regression.intercept}


def _momentum(case: Case) -> Outputs:
    estimator = Momentum(case["h_fast"], case["h_slow"])
    for _ in _taken(estimator.observe, case["times"], case["x"]):
        pass
    return {"score": estimator.score(case["sigma_bps"]), **_fields(estimator, "ema_fast", "ema_slow")}


def _vpin(case: Case) -> Outputs:
    estimator = Vpin(case["bucket"], case["n"])
    for trade in case["trades"]:
        estimator.on_order(trade)
    return {"vpin": estimator.mean, "buckets": estimator.full}


def _size_outlier(case: Case) -> Outputs:
    estimator = SizeOutlier(case["half_life"], case["z0"], case["min_n"])
    z: list[float] = []
    flags: list[bool] = []
    for _ in _taken(estimator.observe, case["times"], case["sizes"]):
        z.append(estimator.z)
        flags.append(estimator.flagged)
    return {"z": z, "flags": flags}


def _funding_arb(case: Case) -> Outputs:
    names = ("gross_apr", "apy", "basis", "net_return", "net_apr", "breakeven_periods", "short_perp")
    return _fields(funding_arbitrage.funding_arb(**case), *names)


def _markout(case: Case) -> Outputs:
    fill = statistics.markout(_side(case["side"]), case["price"], case["mid_at_fill"], case["mids"])
    return _fields(fill, "half_spread", "markouts", "adverse")


SIGNAL_ADAPTERS: dict[str, Callable[[Case], Outputs]] = {
    "ladder": _ladder,
    "hedge_rule": _hedge_rule,
    "funding_shift": lambda case: {"shift": funding_shift(**case)},
    "regime_gamma": lambda case: _fields(regime_gamma(**case), "ratio", "gamma"),
    "window_rate": lambda case: {"rate": intensity.window_rate(**case)},
    "intensity_mle": _intensity_mle,
    "intensity_regression": _intensity_regression,
    "microprice_stoikov": _microprice_stoikov,
    "ofi": _ofi,
    "depth_imbalance": lambda case: {"imbalance": flow.depth_imbalance(**case)},
    "kyle_ewma": _kyle,
    "momentum": _momentum,
    "vpin": _vpin,
    "size_outlier": _size_outlier,
    "funding_arb": _funding_arb,
    "cross_venue_apr": lambda case: {"spread_apr": funding_arbitrage.cross_venue_apr(**case)},
    "markout": _markout,
    "equity_stats": lambda case: _fields(statistics.equity_stats(**case), "sharpe", "max_drawdown"),
    "inventory_stats": lambda case: _fields(
        statistics.inventory_stats(**case), "mean_abs", "rms", "time_at_limit", "mean_holding"
    ),
}


ADAPTERS: dict[str, Callable[[Case], Outputs]] = {
    "as_finite": _as_finite,
    "as_infinite": _as_infinite,
    "as_symmetric": _as_symmetric,
    "bps_units": _bps_units,
    "annual_vol_to_bps": _annual_vol,
    "as_bps": _as_bps,
    "gamma_from_skew": _gamma_from_skew,
    "round_quotes": _round_quotes,
    "glft_coeffs": _glft_coeffs,
    "glft_quotes": _glft_quotes,
    "fee_adjusted_A": _fee_adjusted,
    "glft_exact": _glft_exact,
    "cj": _cj,
    "alpha_shift": _alpha_shift,
    "alpha_shift_glft": _alpha_shift_glft,
    "ho_stoll": _ho_stoll,
    "fixed_spread": _fixed_spread,
    "ewma_vol": _ewma_vol,
    "tsrv_ewma": _tsrv,
    "bipower_ewma": _bipower,
    "microprice": _microprice,
    "break_even": _break_even,
    "pnl": _pnl,
    **SIGNAL_ADAPTERS,
}
