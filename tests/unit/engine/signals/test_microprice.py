"""The weighted microprice."""

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.signals.microprice import imbalance, microprice


def test_microprice_leans_towards_the_thinner_side() -> None:
    """Many bids and few asks: the next move is more likely up."""
    assert microprice(100.0, 9.0, 101.0, 1.0) == pytest.approx(100.9)
    assert imbalance(9.0, 1.0) == pytest.approx(0.8)


def test_empty_sizes_give_the_mid() -> None:
    """Nothing displayed is no reason to divide by zero."""
    assert microprice(100.0, 0.0, 101.0, 0.0) == 100.5
    assert imbalance(0.0, 0.0) == 0.0


@pytest.mark.parametrize("touch", [(101.0, 1.0, 100.0, 1.0), (100.0, 1.0, 100.0, 1.0), (100.0, -1.0, 101.0, 1.0)])
def test_crossed_book_has_no_microprice(touch: tuple[float, float, float, float]) -> None:
    """A crossed or locked book, or a negative size, is an error."""
    with pytest.raises(DomainError):
        microprice(*touch)
