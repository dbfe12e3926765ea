"""One word instead of numbers: what it comes to, what outranks it, and that every model can do it."""

import math

import pytest

from mm_daemon.engine.intent import solved_intent
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.parameters import ProfileName, QuoteParameters
from mm_daemon.engine.pricing_model import ModelInputs, ModelSettings
from mm_daemon.engine.profiles import meant_bps
from mm_daemon.engine.units import annual_vol_to_bps

PROFILES: tuple[ProfileName, ...] = ("aggressive", "balanced", "conservative")


def test_each_profile_is_wider_and_leans_more_than_the_one_before():
    """And all of them in proportion to volatility."""
    figures = [meant_bps(QuoteParameters(profile=profile), 2.0) for profile in PROFILES]
    assert figures == sorted(figures)
    assert len(set(figures)) == 3
    half, lean = meant_bps(QuoteParameters(profile="balanced"), 2.0)
    assert half == lean == pytest.approx(2.0 * math.sqrt(10.0))
    assert meant_bps(QuoteParameters(profile="balanced"), 4.0) == pytest.approx((4.0 * math.sqrt(10.0),) * 2)


def test_what_is_said_in_bps_outranks_the_profile():
    """A half-spread of one's own, from which the profile then takes its lean."""
    assert meant_bps(QuoteParameters(profile="aggressive", half_spread_bps=8.0), 1.0) == (8.0, 4.0)
    assert meant_bps(QuoteParameters(half_spread_bps=8.0), 1.0) == (8.0, None)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("volatility", [0.1, 0.5, 2.0])
def test_every_model_quotes_what_a_profile_means(model: str, profile: ProfileName, volatility: float):
    """The solved numbers give the half-spread and the lean of the profile at the configured volatility; a model that
    never leans gives the half-spread.
    """
    quoting = QuoteParameters(model=model, profile=profile, volatility=volatility)
    sigma = annual_vol_to_bps(volatility)
    gamma, k = solved_intent(quoting, max_orders=5.0, sigma_bps=sigma)
    curve = MODELS[model](ModelSettings(quoting, 5)).curve(ModelInputs(sigma, 1.0, 1.0, k, gamma, 0.0, None))
    half, lean = meant_bps(quoting, sigma)
    assert curve.half_bps == pytest.approx(half, rel=1e-6)
    assert 5.0 * curve.skew_bps == pytest.approx(0.0 if model == "avellaneda_stoikov_symmetric" else lean, rel=1e-6)
