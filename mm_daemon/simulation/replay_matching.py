"""Our resting orders against a recorded market that never knew them (EXECUTION 8, `match_resting`).

Pure rules, used by `SimulatedVenue`: what one print or one displayed book does to one order. A touch is no fill, no
fill is better than our limit, and volume counts once: the caller passes on what an inner order left over.
"""

from collections.abc import Iterable

from mm_daemon.domain.orders import Side
from mm_daemon.simulation.models import QueuePosition


def match_print(
    side: Side,
    ticks: int,
    remaining_lots: int,
    queue: QueuePosition,
    *,
    aggressor: Side,
    print_ticks: int,
    free_lots: int,
    printed_lots: int,
) -> int:
    """Lots of ours that a print fills. `free_lots` is what orders of ours before this one left of `printed_lots`."""
    if aggressor is side:
        return 0
    through = side * (ticks - print_ticks)
    if through < 0:
        return 0
    if through == 0:
        return queue.trade(free_lots, remaining_lots, printed_lots)
    queue.reach_front()
    return min(remaining_lots, free_lots)


def match_book(
    side: Side, ticks: int, remaining_lots: int, queue: QueuePosition, opposite: Iterable[tuple[int, int]]
) -> list[tuple[int, int]]:
    """(ticks, lots) taken from each level displayed at or through our price, best first; we are paid our own price."""
    taken: list[tuple[int, int]] = []
    for level_ticks, displayed_lots in opposite:
        if side * (ticks - level_ticks) < 0:
            break
        queue.reach_front()
        lots = min(displayed_lots, remaining_lots)
        if lots:
            taken.append((level_ticks, lots))
            remaining_lots -= lots
    return taken
