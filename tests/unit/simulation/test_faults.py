"""What a fault plan does to commands and replies, and that it is the same every time."""

from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.decisions import CancelOrder, Reason
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    FenceAnswered,
    OrderAccepted,
    OrderFilled,
    OrderNotFound,
    OrderRejected,
)
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId, Operation, Side
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.faults import FaultPlan, Faults
from mm_daemon.simulation.policy import VenuePolicy, paper_capabilities
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import MS, SYMBOL, instrument, snapshot
from tests.simulated import Hand, place

ACCEPTED = OrderAccepted(SYMBOL, 0, 10 * MS, ClientOrderId(1), "v1")
FILL = OrderFilled(SYMBOL, 0, 10 * MS, ClientOrderId(1), "v1", "f1", Side.BUY, 100, 1, True)


def faults(plan: FaultPlan, seed: int = 7) -> Faults:
    return Faults(plan, Rng(seed))


def hand(plan: FaultPlan) -> Hand:
    """A venue with a book, five milliseconds away in each direction."""
    policy = VenuePolicy(entry_latency_ms=5.0, response_latency_ms=5.0, feed_floor_ms=0.0, faults=plan)
    made = Hand(SimulatedVenue(Venue("test"), [instrument()], policy))
    made.market(snapshot(0, 1000, 1001))
    return made


def test_nothing_goes_wrong_without_a_plan_to() -> None:
    """Chances of zero draw nothing, and change nothing."""
    none = faults(FaultPlan())
    assert [none.command_delay_ns() for _ in range(100)] == [0] * 100
    assert none.replies(ACCEPTED) == [ACCEPTED]
    assert none.counts == {}


def test_certain_faults_happen() -> None:
    """Lost, unknown, twice, late: each does what its name says."""
    assert faults(FaultPlan(lose_command=1.0)).command_delay_ns() is None
    assert faults(FaultPlan(lose_reply=1.0)).replies(ACCEPTED) == []
    (unknown,) = faults(FaultPlan(unknown_reply=1.0)).replies(ACCEPTED)
    assert isinstance(unknown, CommandOutcomeUnknown)
    assert (unknown.client_id, unknown.operation, unknown.ts_local_ns) == (1, Operation.PLACE, 10 * MS)
    assert faults(FaultPlan(unknown_reply=1.0)).replies(FILL) == [FILL], "a fill is no command's outcome"
    first, second = faults(FaultPlan(repeat_reply=1.0, late_ms=5)).replies(FILL)
    assert first == FILL
    assert 10 * MS <= second.ts_local_ns <= 15 * MS
    delay_ns = faults(FaultPlan(late_command=1.0, late_ms=5)).command_delay_ns()
    assert delay_ns is not None
    assert 0 < delay_ns <= 5 * MS + 1


def test_one_seed_is_one_history() -> None:
    """A bad day can be lived again."""
    plan = FaultPlan(lose_command=0.3, late_command=0.3)
    days = [[each.command_delay_ns() for _ in range(200)] for each in (faults(plan), faults(plan), faults(plan, 8))]
    assert days[0] == days[1] != days[2]
    assert {type(delay) for delay in days[0]} == {int, type(None)}


def test_a_late_command_arrives_behind_later_ones() -> None:
    """So that an order may come after the cancel that was meant for it."""
    made = hand(FaultPlan(late_command=1.0, late_ms=1000))
    made.send(10, *(place(number, Side.BUY, 900, 10) for number in range(1, 30)))
    made.until(2000)
    order = [event.client_id for event in made.of(OrderAccepted)]
    assert sorted(order) == list(range(1, 30))
    assert order != sorted(order)
    told = [event.ts_local_ns for event in made.said]
    assert told == sorted(told)


def test_a_faulty_venue_says_that_absence_is_no_proof() -> None:
    """Its commands may be as late as the plan says; a venue without faults forgets nothing."""
    assert not paper_capabilities(VenuePolicy(), Capabilities()).lossy
    lossy = paper_capabilities(VenuePolicy(faults=FaultPlan(late_command=0.1, late_ms=4000)), Capabilities())
    assert lossy.lossy
    assert lossy.d_max_ms >= 4000 + 10


def test_a_fence_takes_the_nonce_of_an_order_that_has_not_come() -> None:
    """It is refused when it comes; one that has come is not stopped by a fence."""
    made = hand(FaultPlan())
    made.send(10, CancelOrder(SYMBOL, ClientOrderId(1), (Reason.UNKNOWN_FENCE,), fence=True))
    made.send(20, place(1, Side.BUY, 900, 10), place(2, Side.BUY, 900, 10))
    made.send(30, CancelOrder(SYMBOL, ClientOrderId(2), (Reason.UNKNOWN_FENCE,), fence=True))
    made.until(100)
    assert [(event.client_id, event.accepted) for event in made.of(FenceAnswered)] == [(1, True), (2, False)]
    assert [event.client_id for event in made.of(OrderRejected)] == [1]


def test_an_order_that_never_came_is_not_found() -> None:
    """The query itself got through."""
    made = hand(FaultPlan())
    venue = made.venue
    assert isinstance(venue, SimulatedVenue)
    venue.query(ClientOrderId(9), 10 * MS)
    made.until(100)
    assert [event.client_id for event in made.of(OrderNotFound)] == [9]
