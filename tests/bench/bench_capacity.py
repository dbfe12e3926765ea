"""One symbol against fifty at BTCUSDT's full rate on one core, and at how many symbols a core is full.

See `capacity.py` for what is run. A core is full at the number of symbols whose events of one second take a second of
CPU: by the cost a frame of a core that is nearly so full, at the recording's mean rate, and for the case that all
symbols have the recording's busiest second at once. Then it is given a quarter more, to see it fall behind.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.bench.capacity import NS_PER_S, Load, play
from tests.bench.figures import Figures
from tests.bench.recordings import usdm
from tests.bench.timing import settled

pytestmark = pytest.mark.bench

ONE_FRAMES, FIFTY_FRAMES, FULL_FRAMES, BEYOND_FRAMES = 30_000, 4_000, 1_500, 1_100
"""Frames of each symbol."""
NEARLY, TOO_MANY = 0.85, 1.25
"""Of a full core."""


def loaded(symbols: int, count: int, rate: float, folder: Path) -> Load:
    folder.mkdir()
    with settled():
        load = play(usdm(), symbols, count, rate, folder)
    assert load.full_decisions > symbols
    return load


def test_one_against_fifty_and_where_it_breaks(tmp_path: Path, figures: Figures) -> None:
    frames = usdm()
    seconds = Counter(ts_local_ns // NS_PER_S for ts_local_ns, _ in frames)
    mean, busiest = len(frames) / ((frames[-1][0] - frames[0][0]) / NS_PER_S), max(seconds.values())
    one = loaded(1, ONE_FRAMES, mean, tmp_path / "1")
    fifty = loaded(50, FIFTY_FRAMES, mean, tmp_path / "50")
    assert (one.trusted_books, fifty.trusted_books) == (1, 50)  # beyond what a core can do, books are given up
    nearly = loaded(round(NEARLY * 1e6 / fifty.us_per_frame / mean), FULL_FRAMES, mean, tmp_path / "nearly")
    full = 1e6 / nearly.us_per_frame / mean
    beyond = loaded(round(TOO_MANY * full), BEYOND_FRAMES, mean, tmp_path / "beyond")
    for name, load in (("1", one), ("50", fifty), ("nearly_full", nearly)):
        figures.add(f"symbols.{name}.frame", load.us_per_frame, "us")
        figures.add(f"symbols.{name}.frames_a_turn", load.frames / load.turns, "frames")
    figures.add("symbols.50_to_1", fifty.us_per_frame / one.us_per_frame, "times")
    figures.add("symbols.full", full, "symbols")
    figures.add("symbols.full_at_busiest", full * mean / busiest, "symbols")
    figures.remark(f"one core, {mean:.0f} frames/s a symbol (busiest second {busiest}): full at {full:.0f} symbols")
    for load in (one, fifty, nearly, beyond):
        figures.remark(
            f"  symbols {load.symbols}: {load.us_per_frame:.1f} us a frame, {load.utilisation:.1%} of the core, "
            f"{load.behind_s:.3f} s late after {load.market_s:.1f} s"
        )
