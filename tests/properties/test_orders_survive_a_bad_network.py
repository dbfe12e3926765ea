"""Law: however commands and replies are lost, late, doubled and reordered, whatever dies in between, what we believe of
our orders covers what may happen to them (R1, R2, R3, R6, R7, R8), and once the network behaves all of it is found out.
"""

from hypothesis import HealthCheck, settings

from tests.properties.bad_network import BadNetwork

TestOrdersSurviveABadNetwork = BadNetwork.TestCase
TestOrdersSurviveABadNetwork.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
