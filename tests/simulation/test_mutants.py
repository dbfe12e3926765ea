"""Each broken rule is noticed within two hundred seeds: so an unbroken run says something."""

from collections.abc import Callable

import pytest

from mm_daemon.dst.run import live_seed
from tests.simulation.mutants import MUTANTS

SEEDS = 200
STEPS = 1000


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_noticed(name: str, record_property: Callable[[str, object], None]) -> None:
    with MUTANTS[name]():
        for seed in range(SEEDS):
            outcome = live_seed(seed, STEPS)
            if outcome.breach is not None:
                record_property("seed", seed)
                return
    pytest.fail(f"{SEEDS} seeds of {STEPS} steps did not notice that {name}")
