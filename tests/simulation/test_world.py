"""The world around the daemon keeps its word: what it holds against the daemon has to be true."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mm_daemon.domain.decisions import CancelAll, CancelOrder, Command, PlaceOrder, Reason
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.dst.checks import Breach
from mm_daemon.dst.configuration import VENUE
from mm_daemon.dst.scenario import START_TICKS, Scenario, scenario
from mm_daemon.dst.world import World

WorldOf = Callable[[Callable[[Scenario], bool]], World]


@pytest.fixture
def world_of(tmp_path: Path) -> Iterator[WorldOf]:
    """The world of the first scenario of a kind, with nobody in it."""
    worlds: list[World] = []

    def made(wanted: Callable[[Scenario], bool]) -> World:
        seed = next(seed for seed in range(100) if wanted(scenario(seed)))
        worlds.append(World(seed, 0, tmp_path))
        return worlds[-1]

    yield made
    for world in worlds:
        world.loop.close()


def place(world: World, number: int) -> PlaceOrder:
    instrument = world.scenario.ids[0]
    return PlaceOrder(instrument, ClientOrderId(number), Side.BUY, 0, START_TICKS // 2, 9, (Reason.NEW_QUOTE,))


def test_an_order_under_way_is_open_until_a_fence_has_spent_its_nonce(world_of: WorldOf) -> None:
    """A clean end is no clean end while a place may still land; one whose nonce was used up never does."""
    world = world_of(lambda each: each.capabilities.fence)
    order = place(world, 7)
    world.link.fly(order)
    with pytest.raises(Breach, match=r"clean end: .*\[7\]"):
        world.checks.expect_nothing_open()
    world.venue.execute(CancelOrder(order.instrument, order.client_id, (Reason.UNKNOWN_FENCE,), fence=True))
    world.checks.expect_nothing_open()
    world.venue.execute(order)
    assert not world.venue.orders


def test_an_order_that_rests_is_open(world_of: WorldOf) -> None:
    world = world_of(lambda each: True)
    world.venue.execute(place(world, 7))
    with pytest.raises(Breach, match=r"clean end: .*\[7\]"):
        world.checks.expect_nothing_open()


def test_in_one_process_nothing_overtakes(world_of: WorldOf) -> None:
    """Commands of one instant arrive at a venue of ours as they left: a cancel-all behind what it is to cancel."""
    world = world_of(lambda each: each.capabilities.simulated)
    commands: list[Command] = []
    for number in range(1, 40):
        commands += [place(world, number), CancelAll(VENUE, (Reason.SHUTDOWN,))]
    arrived: list[Command] = []
    world.venue.execute = arrived.append  # type: ignore[method-assign, assignment]
    for command in commands:
        world.link.fly(command)
    world.loop.call_later(1.0, world.loop.stop)
    world.loop.run_forever()
    assert arrived == commands
