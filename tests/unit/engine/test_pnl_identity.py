"""The P&L identity over any number type."""

from decimal import Decimal

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.pnl_identity import pnl

_EVENTS = [
    ("fill", Decimal("1.5"), Decimal("99.95"), Decimal("100.005"), Decimal("0.013")),
    ("mark", Decimal("100.2")),
    ("fill", Decimal("-4"), Decimal("100.3"), None, Decimal("-0.02")),
    ("funding", Decimal("100.25"), Decimal("0.0001")),
    ("mark", Decimal("99.9")),
]


def test_parts_equal_cash_and_position_exactly_in_decimals() -> None:
    """total = spread + inventory + fees + funding = cash + position * mid, to the last digit."""
    parts = pnl(Decimal("2.5"), Decimal("99.97"), _EVENTS)
    assert parts.total == parts.spread + parts.inventory + parts.fees + parts.funding
    assert parts.total == parts.cash + parts.position * Decimal("99.9")


def test_fill_without_a_mid_uses_the_last_one_and_is_counted() -> None:
    """Nothing is guessed about where the market was."""
    assert pnl(Decimal(0), Decimal(100), _EVENTS).stale_mids == 1


def test_unknown_event_is_an_error() -> None:
    """A misspelt event does not silently vanish from the books."""
    with pytest.raises(DomainError, match="dividend"):
        pnl(0.0, 1.0, [("dividend", 1.0)])
