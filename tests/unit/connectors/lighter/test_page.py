"""The page on Lighter names tests that exist."""

import re

from tests.shared import ROOT


def test_every_test_that_the_page_names_is_there() -> None:
    """A pitfall whose test was renamed or removed has none; one without a test says so."""
    page = (ROOT / "deploy/docs/lighter.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+[a-z])`", page))
    files = [*(ROOT / "tests").rglob("*.py"), ROOT / "mm_daemon/testkit/conformance.py"]
    written = {name for path in files for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))}
    assert len(named) > 60
    assert named - written == set()
    items = re.split(r"(?m)^(?=\d+\. \*\*)", page)[1:]
    assert [int(item.partition(".")[0]) for item in items] == list(range(1, len(items) + 1))
    assert [
        item for item in items if "`test_" not in item and "ot covered" not in item and "[vectors" not in item
    ] == []
