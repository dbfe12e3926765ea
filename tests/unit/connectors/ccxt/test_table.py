"""The page about ccxt says what the code can do."""

import pytest

from connectors.ccxt.table import renewed
from tests.shared import ROOT


def test_page_has_todays_table() -> None:
    """`python -m connectors.ccxt.table deploy/docs/ccxt.md` writes it."""
    page = (ROOT / "deploy/docs/ccxt.md").read_text("utf-8")
    assert renewed(page) == page
    assert max(len(line) for line in page.splitlines()) <= 128


def test_page_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="the page has no"):
        renewed("# nothing")
