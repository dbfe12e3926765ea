"""The volatility regime: its ratio and what it does to gamma."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.signals.regime import VolatilityRegime, regime_gamma

_S = 1_000_000_000


def test_burst_raises_the_ratio() -> None:
    """A market that is usually calm and now is not: fast above slow, gamma up within its bounds."""
    regime = VolatilityRegime(30.0, 3600.0)
    assert regime.gamma(0.1, 0.5, 0.5, 4.0) == 0.1
    for second in range(4000):
        swing = 1.0 if second > 3940 else 0.01
        regime.update(second * _S, 100.0 + swing * (second % 2))
    assert regime.ratio is not None
    assert regime.ratio > 3.0
    assert regime.gamma(0.1, 0.5, 0.5, 4.0) == pytest.approx(0.1 * min(math.sqrt(regime.ratio), 4.0))


def test_extremes_are_clipped() -> None:
    """Powers that overflow or divide by zero end at a bound; a power of zero changes nothing."""
    assert regime_gamma(0.1, 1e200, 1e-100, 2.0, 0.5, 4.0).gamma == pytest.approx(0.4)
    assert regime_gamma(0.1, 0.0, 1.0, -1.0, 0.5, 4.0).gamma == pytest.approx(0.4)
    assert regime_gamma(0.1, 0.0, 1.0, 1.0, 0.5, 4.0).gamma == pytest.approx(0.05)
    assert regime_gamma(0.1, 3.0, 1.0, 0.0, 0.5, 4.0).gamma == pytest.approx(0.1)


@pytest.mark.parametrize(
    "case",
    [
        (0.1, 1.0, 0.0, 1.0, 0.5, 4.0),
        (0.1, -1.0, 1.0, 1.0, 0.5, 4.0),
        (-0.1, 1.0, 1.0, 1.0, 0.5, 4.0),
        (0.1, 1.0, 1.0, 1.0, 4.0, 0.5),
        (0.1, 1e308, 1e-308, 1.0, 0.5, 4.0),
        (0.1, 1.0, 1.0, math.nan, 0.5, 4.0),
        (0.1, 1.0, 1.0, 1.0, -1.0, 4.0),
    ],
)
def test_numbers_outside_the_domain_are_refused(case: tuple[float, ...]) -> None:
    """No slow volatility, negative numbers, bounds the wrong way round, no finite ratio."""
    with pytest.raises(DomainError):
        regime_gamma(*case)
