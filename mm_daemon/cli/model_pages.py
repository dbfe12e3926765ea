"""What follows from code on the pages of the pricing models (deploy/docs/models): keys, quotes, costs, and the picture.

The words between are people's. Every model quotes the same market here, that of the comparison (deploy/docs/models.md),
told the same half-spread and lean at the limit, so that pages can be laid side by side. `make reference` fills the
pages and draws the pictures; a test compares the text.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mm_daemon.backtest.comparison.contenders import CONTENDERS, OTHERS
from mm_daemon.backtest.comparison.page import filled, head_line
from mm_daemon.backtest.comparison.scenes import SECONDS, SEEDS
from mm_daemon.config.annotations import describe, keys_of
from mm_daemon.config.schema import MarketKeys
from mm_daemon.config.template import default_text
from mm_daemon.engine.intent import solved_intent
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.pricing_model import Curve, ModelInputs, ModelSettings
from mm_daemon.engine.units import annual_vol_to_bps

MAX_ORDERS = 5
HALF_BPS, LEAN_BPS, FEE_BPS = 1.0, 1.0, 0.2
VOLATILITIES = (0.25, 0.5, 1.0)
"""Calm, as configured, wild; a year."""
HORIZON_S: Mapping[str, float] = {"avellaneda_stoikov": 60.0, "avellaneda_stoikov_symmetric": 60.0}
"""Where `tau` has to be set to see what the model is: with `auto` it has GLFT's horizon, and the first one is GLFT."""
_HELD = (-5, -3, -1, 0, 1, 3, 5)
_MEANT = ("profile", "half_spread_bps", "skew_bps_at_max", "max_position")
_SOLVED = (*_MEANT, "gamma", "k", "intensity", "volatility")
_HORIZON = ("tau", "session_s")
KEYS: Mapping[str, Sequence[str]] = {
    "glft": _SOLVED,
    "glft_exact": _SOLVED,
    "avellaneda_stoikov": (*_SOLVED, *_HORIZON),
    "avellaneda_stoikov_infinite": (*_MEANT, "gamma", "k", "volatility"),
    "avellaneda_stoikov_symmetric": ("profile", "half_spread_bps", *_SOLVED[4:], *_HORIZON),
    "cartea_jaimungal": (*_SOLVED, *_HORIZON, "terminal_penalty"),
    "ho_stoll": (*_SOLVED, *_HORIZON),
    "fixed_spread": (*_MEANT, "k", "volatility"),
}
"""What each model's quotes depend on, beside what all of them do: fees, `adverse_bps` and the like."""


class Quoted(NamedTuple):
    """A model in the market of the pages."""

    gamma: float
    k: float
    curves: Mapping[float, Curve]
    """By volatility a year."""


def quoted(name: str, volatilities: Sequence[float] = VOLATILITIES) -> Quoted:
    leans = name != "avellaneda_stoikov_symmetric"
    quoting = QuoteParameters(
        model=name,
        tau=HORIZON_S.get(name, "auto"),
        half_spread_bps=HALF_BPS,
        skew_bps_at_max=LEAN_BPS if leans else None,
    )
    sigma_bps = annual_vol_to_bps(quoting.volatility)
    gamma, k = solved_intent(quoting, max_orders=MAX_ORDERS, sigma_bps=sigma_bps, cost_bps=FEE_BPS)
    rate, factory = quoting.intensity, MODELS[name]
    curves = {
        volatility: factory(ModelSettings(quoting, MAX_ORDERS)).curve(
            ModelInputs(annual_vol_to_bps(volatility), rate, rate, k, gamma, FEE_BPS)
        )
        for volatility in volatilities
    }
    return Quoted(gamma, k, curves)


def blocks(name: str, comparison: str) -> dict[str, str]:
    """By the name of their place; `comparison` is the text of deploy/docs/models.md."""
    return {
        "keys": "\n".join(_keys(name)),
        "quotes": "\n".join(_quotes(quoted(name))),
        "measured": "\n".join(_measured(name, comparison)),
    }


def page(name: str, docs: Path) -> str:
    """The page of a model as it should be. Raises KeyError where it lacks a place."""
    text = (docs / "models" / f"{name}.md").read_text("utf-8")
    return filled(text, blocks(name, (docs / "models.md").read_text("utf-8")))


def _keys(name: str) -> Iterator[str]:
    known = {**keys_of(MarketKeys), **keys_of(QuoteParameters)}
    yield head_line("key", "meaning and what is allowed", "default")
    for key in KEYS[name]:
        yield f"| `{key}` | {describe(known[key].annotation)} | {default_text(known[key])} |"


def _quotes(found: Quoted) -> Iterator[str]:
    yield head_line("orders held", *(f"bid, ask at {volatility:.0%} a year" for volatility in found.curves))
    for held in _HELD:
        cells = [_depths(curve, held) for curve in found.curves.values()]
        yield f"| {held} | {' | '.join(cells)} |"
    yield f"| half-spread flat | {' | '.join(f'{curve.half_bps:.2f}' for curve in found.curves.values())} |"
    yield f"| lean of one order | {' | '.join(f'{curve.skew_bps:.2f}' for curve in found.curves.values())} |"
    yield f"| an order is held for | {' | '.join(_seconds(curve.tau_s) for curve in found.curves.values())} |"
    yield ""
    yield f"Depths in bps from the fair price. gamma = {found.gamma:.4g} per bps and order, k = {found.k:.4g} per bps."


def _depths(curve: Curve, held: float) -> str:
    depths = curve.at(held)
    return ", ".join("none" if depth is None else f"{depth:.2f}" for depth in (depths.delta_bid, depths.delta_ask))


def _seconds(tau_s: float | None) -> str:
    return "no such time" if tau_s is None else f"{tau_s:.0f} s" if tau_s < 1e4 else f"{tau_s / 3600:.0f} h"


def _measured(name: str, comparison: str) -> Iterator[str]:
    """What the comparison has about it."""
    titles = [one.title for one in (*CONTENDERS, *OTHERS) if one.model == name]
    rows = {part: _rows(comparison, part, titles) for part in ("embedded", "cost")}
    for part, about in (
        ("embedded", f"{SEEDS} runs of {SECONDS / 60:.0f} minutes on the embedded market, USDT a run:"),
        ("cost", "Microseconds:"),
    ):
        if rows[part][1:]:
            yield from ("", about, "") if part == "cost" and rows["embedded"][1:] else (about, "")
            yield from rows[part]


def _rows(comparison: str, part: str, titles: Sequence[str]) -> list[str]:
    """The head of one of its tables and the rows with these titles."""
    found = re.search(f"<!-- {part} -->\n(.*?)<!-- end {part} -->", comparison, re.DOTALL)
    if found is None:
        raise KeyError(part)
    head, rule, *rows = found[1].strip().splitlines()
    return [f"{head}\n{rule}", *(row for row in rows if row.split("|")[1].strip() in titles)]


def draw(name: str, path: Path) -> None:
    """Quotes over inventory at three volatilities, and half-spread and lean over volatility, GLFT's beside them."""
    from mm_daemon.cli.plots.models import drawn

    title = f"{name}, tau {HORIZON_S[name]:.0f} s" if name in HORIZON_S else name
    grid = tuple(0.02 * number for number in range(1, 76))
    drawn(title, quoted(name).curves, quoted(name, grid).curves, quoted("glft", grid).curves, path)


def write(docs: Path, pictures: Path) -> None:
    """All pages and their pictures."""
    for name in MODELS:
        (docs / "models" / f"{name}.md").write_text(page(name, docs), "utf-8")
        draw(name, pictures / f"{name}.svg")
