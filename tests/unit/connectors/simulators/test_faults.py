"""What goes wrong, when it was ordered or by chance."""

from connectors.simulators.faults import Chance, Fault, FaultKind, FaultPoint, WireFaults
from mm_daemon.domain.rng import Rng

REQUEST, REPLY, MESSAGE = FaultPoint.REQUEST, FaultPoint.REPLY, FaultPoint.MESSAGE


def test_ordered_fault_waits_for_what_fits_and_strikes_as_often_as_asked() -> None:
    """Skipping one, then twice, only on placements, only on replies."""
    plan = WireFaults(Rng(1))
    plan.order(Fault(kind=FaultKind.LOSE_REPLY, on="/v1/place", skip=1, times=2))
    assert plan.strike(REQUEST, "/v1/place") is None
    assert plan.strike(REPLY, "/v1/cancel") is None
    struck = [plan.strike(REPLY, "/v1/place") is not None for _ in range(4)]
    assert struck == [False, True, True, False]
    assert plan.struck[FaultKind.LOSE_REPLY] == 2


def test_orders_strike_in_their_order() -> None:
    """One at a time."""
    plan = WireFaults(Rng(1))
    plan.order(Fault(kind=FaultKind.DUPLICATE))
    plan.order(Fault(kind=FaultKind.LOSE_MESSAGE, on="fill"))
    kinds = [fault.kind if fault else None for fault in (plan.strike(MESSAGE, "fill") for _ in range(3))]
    assert kinds == [FaultKind.DUPLICATE, FaultKind.LOSE_MESSAGE, None]


def test_chance_is_the_seeds_and_near_its_share() -> None:
    """One seed is one sequence; a chance of 0.2 strikes a fifth of what fits and nothing else."""
    chances = (Chance(fault=Fault(kind=FaultKind.DISCONNECT, on="book"), chance=0.2),)
    plans = [WireFaults(Rng(5), chances) for _ in range(2)]
    runs = [[plan.strike(MESSAGE, "book") is not None for _ in range(2000)] for plan in plans]
    assert runs[0] == runs[1]
    assert 300 < sum(runs[0]) < 500
    assert plans[0].strike(MESSAGE, "fill") is None
    assert plans[0].strike(REQUEST, "book") is None
