"""The page on Hyperliquid names tests that exist."""

import re

from tests.shared import ROOT


def test_every_test_that_the_page_names_is_there() -> None:
    """A pitfall whose test was renamed or removed has none."""
    page = (ROOT / "deploy/docs/hyperliquid.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    files = [*(ROOT / "tests").rglob("*.py"), ROOT / "mm_daemon/testkit/conformance.py"]
    written = {name for path in files for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))}
    assert len(named) > 40
    assert named - written == set()
    numbers = [int(number) for number in re.findall(r"(?m)^(\d+)\. \*\*", page)]
    assert numbers == list(range(1, len(numbers) + 1))
