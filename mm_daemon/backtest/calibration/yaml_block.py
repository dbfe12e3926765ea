"""The suggested block: sections `defaults` and `markets` that can stand in a configuration file as they are."""

import json
import re
from collections.abc import Sequence
from decimal import Decimal

import yaml

from mm_daemon.backtest.calibration.advice import Suggestion
from mm_daemon.backtest.calibration.report import MarketCalibration

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


def suggested_block(markets: Sequence[MarketCalibration]) -> str:
    """With the market's own sizes, and beside each figure how sure it is. Ends with a line break."""
    lines = ["defaults:", "  model: glft", "", "markets:"]
    for market in markets:
        entries = [
            ("venue", _text(market.venue), ""),
            ("symbol", _text(market.symbol), ""),
            ("order_size", _decimal(market.order_size), ""),
            ("max_position", _decimal(market.max_position), ""),
            ("min_position", _decimal(market.min_position), ""),
            *_figures(market, market.suggestion),
        ]
        for number, (key, value, remark) in enumerate(entries):
            line = f"{'  - ' if not number else '    '}{key}: {value}"
            lines.append(f"{line:<34}# {remark}" if remark else line)
    return "\n".join(lines) + "\n"


def _figures(market: MarketCalibration, suggestion: Suggestion) -> list[tuple[str, str, str]]:
    fit, sigma = market.fit, market.volatility
    wide = "wide and safe, not measured" if suggestion.wide else ""
    k_remark = wide or f"1/bps, {_error(fit.k_error)}"
    A_remark = "per second and side" if suggestion.wide else f"per second and side, {_error(fit.A_error)}"
    glft = market.glft
    shift = f"1/(bps * order), {glft.shift_at_limit_bps:.3g} bps of skew at the limit" if glft is not None else wide
    return [
        ("gamma", _number(suggestion.gamma), shift),
        ("k", _number(suggestion.k), k_remark),
        ("intensity", _number(suggestion.intensity), A_remark),
        ("volatility", _number(suggestion.volatility), "annual" if sigma is not None else "as configured"),
        *(
            (key, _number(value), "bps")
            for key, value in (
                ("min_spread_bps", suggestion.min_spread_bps),
                ("max_spread_bps", suggestion.max_spread_bps),
            )
            if value is not None
        ),
    ]


def _error(error: float | None) -> str:
    return "standard error unknown" if error is None else f"standard error {error:.2g}"


def _number(value: float) -> str:
    """Without an exponent, which YAML 1.1 would read as text."""
    return f"{Decimal(repr(value)):f}"


def _decimal(value: Decimal) -> str:
    return f"{value:f}"


def _text(text: str) -> str:
    """Plain where YAML reads the same text, else quoted."""
    return text if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text else json.dumps(text)
