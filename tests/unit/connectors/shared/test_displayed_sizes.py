"""Displayed sizes: lots for any real size, and refusal of what is none."""

import pytest

from connectors.shared.displayed_sizes import DisplayedSizes
from mm_daemon.domain.errors import GridError
from mm_daemon.testkit import builders


@pytest.mark.parametrize(
    ("text", "lots", "off_grid"),
    [("25.42618900", 2542618, 1), ("0.00000001", 1, 1), ("0.02", 2000, 0), ("0.000", 0, 0)],
)
def test_size_between_two_lots_counts_the_lots_that_fit(text: str, lots: int, off_grid: int) -> None:
    """Floored, but never to zero, which would remove the level; each odd text is counted once."""
    sizes = DisplayedSizes(builders.instrument(lot="0.00001"))
    assert sizes[text] == sizes[text] == lots
    assert sizes.off_grid == off_grid


@pytest.mark.parametrize(
    "text", ["NaN", "sNaN", "Infinity", "-1", "-0.000001", "1e400", "1e999999999", "", "abc", "1" * 99]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    """Not finite, negative, absurd or no number."""
    with pytest.raises(GridError):
        DisplayedSizes(builders.instrument())[text]
