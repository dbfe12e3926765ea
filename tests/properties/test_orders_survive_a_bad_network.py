"""Law: however commands and replies are lost, late, doubled and reordered, whatever dies in between, what we believe of
our orders covers what may happen to them (R1, R2, R3, R6, R7, R8), and once the network behaves all of it is found out.

The slow version takes a million steps, in parts that each have a seed of their own: 6 to 10 minutes of one core.
"""

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.bad_network import BadNetwork

PARTS, EXAMPLES, STEPS, STEPS_OF_A_PART = 20, 1300, 50, 50_000
"""Not every example uses all the steps that it may: each part has to show what it took."""

TestOrdersSurviveABadNetwork = BadNetwork.TestCase
TestOrdersSurviveABadNetwork.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_orders_survive_a_bad_network_for_a_million_steps(part: int) -> None:
    """The same law, for long; a failure is not shrunk, its seed is the number of the part."""

    @seed(part)
    class Part(BadNetwork):
        """One part of the steps."""

    long = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        database=None,
    )
    run_state_machine_as_test(Part, settings=long)
    assert Part.steps >= STEPS_OF_A_PART
