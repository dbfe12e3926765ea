"""The models as the quote engine uses them: half-spread, skew and horizon as their sources say, costs passed on."""

import math
from typing import Any

import msgspec
import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models import avellaneda_stoikov, cartea_jaimungal
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.pricing_model import Curve, ModelInputs, ModelSettings

every_model = pytest.mark.parametrize("model", sorted(MODELS))
_PLAIN = ModelInputs(0.9, 1.2, 1.2, 0.5, 0.05, 0.0)


def curve(model: str, inputs: ModelInputs = _PLAIN, *, max_orders: int = 10, **keys: Any) -> Curve:
    return MODELS[model](ModelSettings(QuoteParameters(model=model, **keys), max_orders)).curve(inputs)


def off(curve: Curve, q: float) -> tuple[float, float]:
    """Depths where both sides have one."""
    depths = curve.at(q)
    assert depths.delta_bid is not None
    assert depths.delta_ask is not None
    return depths.delta_bid, depths.delta_ask


@every_model
def test_figures_are_what_the_depths_show(model: str) -> None:
    """`half_bps` is half of the spread when flat, `skew_bps` what one order held does, and long mirrors short."""
    made = curve(model)
    below, above = off(made, 0.0)
    assert below == pytest.approx(above)
    assert made.half_bps == pytest.approx(0.5 * (below + above))
    assert above - off(made, 1.0)[1] == pytest.approx(made.skew_bps)
    for q in (0.5, 2.0, 7.0):
        assert off(made, q) == pytest.approx(off(made, -q)[::-1])
        if model != "avellaneda_stoikov_symmetric":
            assert off(made, q)[0] > below
            assert off(made, q)[1] < above
    assert 0.0 <= made.risk_bps <= made.half_bps


_WITHOUT_A = {"avellaneda_stoikov_infinite", "avellaneda_stoikov_symmetric"}


@pytest.mark.parametrize("model", sorted(_WITHOUT_A))
def test_a_cost_is_passed_on_where_intensity_does_not_appear(model: str) -> None:
    """Two bps of fee are two bps of depth at every inventory."""
    dear = curve(model, ModelInputs(0.9, 1.2, 1.2, 0.5, 0.05, 2.0), tau=60.0)
    for q in (-3.0, 0.0, 3.0):
        assert off(dear, q) == pytest.approx([depth + 2.0 for depth in off(curve(model, tau=60.0), q)])


@pytest.mark.parametrize("model", sorted(set(MODELS) - {"ho_stoll", "fixed_spread"} - _WITHOUT_A))
def test_a_cost_is_passed_on_in_full_and_thins_the_flow(model: str) -> None:
    """Two bps of fee are two bps of depth, and the rest is the model at `A e^(-k fee)` (MODELS 2.3)."""
    dear = curve(model, ModelInputs(0.9, 1.2, 1.2, 0.5, 0.05, 2.0))
    thin = curve(model, ModelInputs(0.9, 1.2 * math.exp(-1.0), 1.2 * math.exp(-1.0), 0.5, 0.05, 0.0))
    for q in (-3.0, 0.0, 3.0):
        assert off(dear, q) == pytest.approx([depth + 2.0 for depth in off(thin, q)])
    assert dear.skew_bps == pytest.approx(thin.skew_bps)
    assert dear.skew_bps > curve(model).skew_bps


def test_a_monopolist_passes_on_half_of_a_cost() -> None:
    """Linear demand lets half of a cost through, as of a shift; a fixed spread passes on all."""
    dear = ModelInputs(0.9, 1.2, 1.2, 0.5, 0.0, 2.0)
    free = ModelInputs(0.9, 1.2, 1.2, 0.5, 0.0, 0.0)
    assert curve("ho_stoll", dear, tau=10.0).half_bps - curve("ho_stoll", free, tau=10.0).half_bps == pytest.approx(1.0)
    assert curve("fixed_spread", dear).half_bps - curve("fixed_spread", free).half_bps == pytest.approx(2.0)


def test_with_its_own_horizon_avellaneda_stoikov_is_glft() -> None:
    """And with a minute's, its skew is `gamma sigma^2 tau`."""
    glft, auto = curve("glft"), curve("avellaneda_stoikov", tau="auto")
    assert (auto.half_bps, auto.skew_bps, auto.tau_s) == (glft.half_bps, glft.skew_bps, glft.tau_s)
    minute = curve("avellaneda_stoikov", tau=60.0)
    assert minute.skew_bps == pytest.approx(0.05 * 0.81 * 60.0)
    assert minute.tau_s == 60.0


def test_avellaneda_stoikov_infinite_is_its_formula() -> None:
    """MODELS 1.2 with the position limit as q_max: no bid at it, and volatility cancels out."""
    made = curve("avellaneda_stoikov_infinite", ModelInputs(0.9, 1.2, 1.2, 0.5, 0.05, 0.2), max_orders=8)
    for q in (-8.0, -2.5, 0.0, 1.0, 8.0):
        wanted = avellaneda_stoikov.infinite(0.0, q, 0.05, 0.9, 0.5, 8.0)
        depths = made.at(q)
        assert depths.delta_bid == (None if wanted.bid is None else pytest.approx(0.2 - wanted.bid))
        assert depths.delta_ask == (None if wanted.ask is None else pytest.approx(0.2 + wanted.ask))
    assert made.at(8.0).delta_bid is None
    assert made.at(11.0) == made.at(8.0)
    wild = curve("avellaneda_stoikov_infinite", ModelInputs(9.0, 1.2, 1.2, 0.5, 0.05, 0.2), max_orders=8)
    assert off(wild, 3.0) == pytest.approx(off(made, 3.0))


def test_avellaneda_stoikov_symmetric_is_the_average_of_the_finite_horizon() -> None:
    """The mean spread of A-S over the time left, around the fair price whatever is held; of a session, over it all."""
    taus = [60.0 * (step + 0.5) / 1000 for step in range(1000)]
    mean = sum(curve("avellaneda_stoikov", tau=tau).half_bps for tau in taus) / len(taus)
    made = curve("avellaneda_stoikov_symmetric", tau=60.0)
    assert off(made, 7.0) == off(made, -3.0) == pytest.approx((mean, mean))
    session = curve("avellaneda_stoikov_symmetric", msgspec.structs.replace(_PLAIN, session_left_s=1.0), **_MINUTE)
    assert session == made


_MINUTE: dict[str, Any] = {"tau": "session", "session_s": 60.0}


@pytest.mark.parametrize("left_s", [60.0, 25.0, 6.0, 0.7, 0.0])
def test_cartea_jaimungal_with_an_end_is_its_formula(left_s: float) -> None:
    """Rolling or of a session, what is left is what counts: the depths of MODELS 3.1 with T, to 0.001 bps."""
    wanted = cartea_jaimungal.solve(0.5, 1.8, 0.9, 0.5 * 0.05 * 0.81, 0.7, 6, left_s).table
    inputs = ModelInputs(0.9, 1.8, 0.9, 0.5, 0.05, 0.0, left_s)
    curves = [curve("cartea_jaimungal", inputs, max_orders=6, terminal_penalty=0.7, **_MINUTE)]
    if left_s:
        curves.append(curve("cartea_jaimungal", inputs, max_orders=6, terminal_penalty=0.7, tau=left_s))
    for made in curves:
        for q in range(-6, 7):
            for depth, exact in zip(
                msgspec.structs.astuple(made.at(q)), msgspec.structs.astuple(wanted.at(q)), strict=True
            ):
                assert depth == (None if exact is None else pytest.approx(exact, abs=1e-3))
        assert made.tau_s is not None and made.tau_s <= left_s


def test_the_end_of_a_session_is_not_seen_from_far() -> None:
    """Hours before it the quotes are the stationary ones, and one curve serves; near it they lean more and more."""
    model = MODELS["cartea_jaimungal"](ModelSettings(QuoteParameters(model="cartea_jaimungal", tau="session"), 10))
    left_s = (80_000.0, 79_990.0, *(3.0 * step for step in range(20, -1, -1)))
    far, later, *near = [model.curve(msgspec.structs.replace(_PLAIN, session_left_s=left)) for left in left_s]
    assert far is later
    assert far.at(3.0) == curve("cartea_jaimungal").at(3.0)
    skews = [far.skew_bps, *(one.skew_bps for one in near)]
    assert skews == sorted(skews)
    assert skews[-1] == pytest.approx(2.0 * QuoteParameters().terminal_penalty)


def test_far_from_its_bound_the_exact_model_is_near_the_closed_form() -> None:
    """Within a hundredth of the half-spread around zero."""
    exact, closed = curve("glft_exact", max_orders=40), curve("glft")
    assert off(exact, 0.0) == pytest.approx(off(closed, 0.0), rel=0.01)
    assert off(exact, 2.0) == pytest.approx(off(closed, 2.0), rel=0.02)


def test_solved_models_have_no_quote_beyond_their_bound() -> None:
    """Within one order of the limit the growing side is gone, the other stays, beyond the limit too."""
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("glft_exact", {}),
        ("cartea_jaimungal", {}),
        ("cartea_jaimungal", {"tau": 5.0}),
        ("avellaneda_stoikov_infinite", {}),
    )
    for model, keys in kinds:
        made = curve(model, max_orders=4, **keys)
        for q in (3.5, 4.0, 9.0) if model != "avellaneda_stoikov_infinite" else (4.0, 9.0):
            assert made.at(q).delta_bid is None
            assert made.at(q).delta_ask is not None
            assert made.at(-q).delta_ask is None


def test_a_solved_curve_is_kept_for_two_percent() -> None:
    """The same object while no input has moved by more, another afterwards; a change of cost is always another."""
    for model in ("glft_exact", "cartea_jaimungal"):
        made = MODELS[model](ModelSettings(QuoteParameters(model=model), 10))
        first = made.curve(_PLAIN)
        assert made.curve(ModelInputs(0.917, 1.21, 1.19, 0.507, 0.0505, 0.0)) is first
        assert made.curve(ModelInputs(0.93, 1.2, 1.2, 0.5, 0.05, 0.0)) is not first
        assert made.curve(ModelInputs(0.93, 1.2, 1.2, 0.5, 0.05, 0.001)) is not made.curve(_PLAIN)
    finite = MODELS["cartea_jaimungal"](ModelSettings(QuoteParameters(model="cartea_jaimungal", tau=9.0), 10))
    first = finite.curve(_PLAIN)
    assert finite.curve(ModelInputs(0.917, 1.21, 1.19, 0.507, 0.0505, 0.0)) is first
    moved = ModelInputs(0.93, 1.2, 1.2, 0.5, 0.05, 0.0)
    assert finite.curve(moved) is first
    curves = [finite.curve(moved) for _ in range(3)]
    assert curves[-1] is not first
    assert curves[-1].at(3.0) == curve("cartea_jaimungal", moved, max_orders=10, tau=9.0).at(3.0)


def test_unequal_flow_leans_only_cartea_jaimungal() -> None:
    """More buyers than sellers: its ask stands further off than its bid. The others see the mean."""
    unequal = ModelInputs(0.9, 1.8, 0.6, 0.5, 0.05, 0.0)
    below, above = off(curve("cartea_jaimungal", unequal), 0.0)
    assert above > below
    for model in sorted(set(MODELS) - {"cartea_jaimungal"}):
        assert off(curve(model, unequal), 1.0) == pytest.approx(off(curve(model), 1.0))


def test_a_fixed_spread_is_its_two_numbers() -> None:
    """Half-spread and lean as configured, no further lean beyond the limit, and how long these quotes hold a fill."""
    made = curve("fixed_spread", half_spread_bps=3.0, skew_bps_at_max=2.0)
    assert off(made, 0.0) == (3.0, 3.0)
    assert off(made, 10.0) == pytest.approx((5.0, 1.0))
    assert off(made, 25.0) == off(made, 10.0)
    assert made.tau_s == pytest.approx(1.0 / (2.0 * 1.2 * 0.5 * 0.2 * math.exp(-0.5 * 3.0)))
    assert curve("fixed_spread").half_bps == pytest.approx(1.0 / _PLAIN.k)


@every_model
@pytest.mark.parametrize("k", [0.0, -1.0, math.nan, math.inf])
def test_a_decay_that_is_none_is_a_domain_error(model: str, k: float) -> None:
    """Never a division by zero."""
    with pytest.raises(DomainError):
        curve(model, ModelInputs(0.9, 1.2, 1.2, k, 0.05, 0.0))
