"""The model vectors' way into the product: names and shapes are translated, nothing is calculated here.

`evaluate(kind, case)` takes a vector's function name and inputs and returns outputs under the vectors' names. A number
outside a model's domain surfaces as ValueError; a function the product does not have yet as KeyError.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.engine import costs, pnl_identity, rounding, units
from mm_daemon.engine.models import (
    avellaneda_stoikov,
    cartea_jaimungal,
    fixed_spread,
    glft,
    glft_exact,
    ho_stoll,
    short_term_alpha,
)
from mm_daemon.engine.signals import microprice as micro
from mm_daemon.engine.signals.robust_volatility import BipowerVolatility, TwoScaleVolatility
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
}
