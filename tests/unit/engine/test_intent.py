"""A half-spread and a lean at the limit, as a person means them, are what the quotes have."""

from typing import Any

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.intent import solved_intent
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.units import annual_vol_to_bps
from mm_daemon.testkit.builders import instrument
from tests.unit.engine.quoting import engine, priced

_HALVES = (0.6, 1.0, 2.5, 20.0)
_LEANS = (0.1, 1.0, 5.0)


@pytest.mark.parametrize("half_bps", _HALVES)
@pytest.mark.parametrize("lean_bps", _LEANS)
def test_both_are_met_at_the_configured_volatility(half_bps: float, lean_bps: float) -> None:
    """To a millionth, in the quotes themselves."""
    quotes = engine(half_spread_bps=half_bps, skew_bps_at_max=lean_bps, max_skew_bps=1000.0)
    pricing = priced(quotes)
    assert pricing.half_bps == pytest.approx(half_bps, rel=1e-6)
    assert pricing.skew_bps * 5 == pytest.approx(lean_bps, rel=1e-6)


@pytest.mark.parametrize("fee_ppm", [-50, 20, 200])
def test_fees_are_added_to_the_half_spread_and_leave_the_lean(fee_ppm: int) -> None:
    """`half_spread_bps` is before fees; a fee that thins the fills must not make the quotes lean more than asked."""
    quotes = engine(
        instrument(maker_fee_ppm=fee_ppm),
        half_spread_bps=2.0,
        skew_bps_at_max=2.0,
        adverse_bps=0.5,
        max_skew_bps=1000.0,
    )
    pricing = priced(quotes)
    assert pricing.half_bps == pytest.approx(2.0 + fee_ppm / 100 + 0.5, rel=1e-6)
    assert pricing.skew_bps * 5 == pytest.approx(2.0, rel=1e-6)


_KINDS: dict[str, dict[str, Any]] = {
    "glft": {},
    "glft_exact": {"model": "glft_exact"},
    "avellaneda_stoikov": {"model": "avellaneda_stoikov"},
    "a minute": {"model": "avellaneda_stoikov", "tau": 60.0},
    "avellaneda_stoikov_infinite": {"model": "avellaneda_stoikov_infinite", "gamma": 0.05},
    "cartea_jaimungal": {"model": "cartea_jaimungal"},
    "cartea_jaimungal over a minute": {"model": "cartea_jaimungal", "tau": 60.0},
    "cartea_jaimungal in sessions": {"model": "cartea_jaimungal", "tau": "session"},
    "ho_stoll": {"model": "ho_stoll"},
    "ho_stoll over ten seconds": {"model": "ho_stoll", "tau": 10.0},
    "fixed_spread": {"model": "fixed_spread"},
}


@pytest.mark.parametrize("kind", sorted(_KINDS))
@pytest.mark.parametrize("fee_ppm", [-50, 0, 200])
@pytest.mark.parametrize("wanted", [(2.5, 1.0), (1.0, 2.0), (None, 4.0), (6.0, None)])
def test_every_model_meets_them(kind: str, fee_ppm: int, wanted: tuple[float | None, float | None]) -> None:
    """Half-spread and lean are a promise to a person, who need not know which model it is."""
    half_bps, lean_bps = wanted
    keys = {"gamma": 0.001, "half_spread_bps": half_bps, "skew_bps_at_max": lean_bps, **_KINDS[kind]}
    pricing = priced(engine(instrument(maker_fee_ppm=fee_ppm), max_skew_bps=10_000.0, max_spread_bps=1000.0, **keys))
    if half_bps is not None:
        assert pricing.half_bps - fee_ppm / 100 == pytest.approx(half_bps, rel=1e-6)
    if lean_bps is not None:
        assert pricing.skew_bps * 5 == pytest.approx(lean_bps, rel=1e-6)


def test_what_a_model_cannot_do_names_the_nearest_that_it_can() -> None:
    """Cartea-Jaimungal leans towards the middle of its bounds, however small gamma is."""
    wanted: dict[str, Any] = {"half_spread_bps": 20.0, "skew_bps_at_max": 0.1, "model": "cartea_jaimungal"}
    with pytest.raises(DomainError, match=r"cannot be had of cartea_jaimungal; the nearest found is a half-spread of"):
        engine(**wanted)
    assert priced(engine(**{**wanted, "skew_bps_at_max": 8.0})).skew_bps * 5 == pytest.approx(8.0)


def test_a_model_that_never_leans_takes_no_lean() -> None:
    """The symmetric benchmark has a half-spread; what it cannot have is said, not solved for."""
    quotes = engine(model="avellaneda_stoikov_symmetric", half_spread_bps=2.0)
    assert priced(quotes).half_bps == pytest.approx(2.0)
    with pytest.raises(DomainError, match="does not lean whatever it holds: skew_bps_at_max must be null"):
        engine(model="avellaneda_stoikov_symmetric", skew_bps_at_max=2.0)


def test_a_session_starts_as_it_was_meant() -> None:
    """With `tau: session` the figures are those with all of it left."""
    quotes = engine(
        model="avellaneda_stoikov", tau="session", session_s=600.0, half_spread_bps=2.0, skew_bps_at_max=1.0
    )
    halves = [priced(quotes, now_ns=second * 10**9).half_bps for second in range(600)]
    assert max(halves) == pytest.approx(2.0, rel=1e-3)
    assert max(halves) <= 2.0 + 1e-9


def test_one_of_them_leaves_the_other_number_as_configured() -> None:
    """A half-spread alone keeps gamma, a lean alone keeps k."""
    half_only = engine(half_spread_bps=1.5, gamma=0.07)
    assert half_only.gamma == 0.07
    assert priced(half_only).half_bps == pytest.approx(1.5, rel=1e-6)
    lean_only = engine(skew_bps_at_max=3.0, k=0.4)
    assert lean_only.k == 0.4
    assert priced(lean_only).skew_bps * 5 == pytest.approx(3.0, rel=1e-6)


def test_neither_leaves_both() -> None:
    """What is configured is what is used."""
    quoting = QuoteParameters(gamma=0.3, k=0.9)
    assert solved_intent(quoting, max_orders=5, sigma_bps=1.0) == (0.3, 0.9)


def test_quotes_still_widen_when_volatility_rises() -> None:
    """The numbers are solved once; from then on volatility acts on them."""
    calm = QuoteParameters(half_spread_bps=2.0, skew_bps_at_max=2.0, volatility=0.5)
    gamma, k = solved_intent(calm, max_orders=5, sigma_bps=annual_vol_to_bps(0.5))
    wild = priced(engine(gamma=gamma, k=k, volatility=1.0))
    assert wild.half_bps > 2.0
    assert wild.skew_bps * 5 == pytest.approx(4.0, rel=1e-6)


@pytest.mark.parametrize(
    "wanted",
    [
        {"half_spread_bps": 0.001, "skew_bps_at_max": 50.0},
        {"half_spread_bps": 9999.0},
        {"half_spread_bps": 1e-5},
    ],
)
def test_what_is_impossible_says_what_is_possible(wanted: dict[str, Any]) -> None:
    """With the reachable range in bps; and a half-spread from within that range can be had."""
    with pytest.raises(DomainError, match=r"within reach is .* to .* bps") as caught:
        engine(**wanted)
    low, high = (float(part) for part in str(caught.value).partition("within reach is ")[2].split()[::2][:2])
    assert not low <= wanted["half_spread_bps"] <= high
    inside = {**wanted, "half_spread_bps": low * 1.5}
    pricing = priced(engine(**inside, max_spread_bps=10_000.0, max_skew_bps=10_000.0))
    assert pricing.half_bps == pytest.approx(inside["half_spread_bps"], rel=1e-6)


def test_a_lean_out_of_reach_names_its_range() -> None:
    """Alone, and with the bounds of what some gamma gives."""
    with pytest.raises(DomainError, match=r"reachable are .* to .* bps"):
        engine(skew_bps_at_max=10_000.0, k=1000.0, intensity=1e6)
