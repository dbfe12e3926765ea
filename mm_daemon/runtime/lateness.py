"""The stall detector: tells the core when this process did not get to run in time, and when it has again (R14).

A quote that could not be moved for a second is not a quote we want. Run by the supervisor; the measure is the event
loop's own clock, so that the speed of a recording does not matter.
"""

import asyncio
from collections.abc import Callable

from mm_daemon.domain.events import Event, LoopLagged

PERIOD_S = 0.1
CALM_S = 5.0
"""How long time must be kept again before quoting goes on."""


async def watch_loop(
    *,
    limit_s: float,
    emit: Callable[[Event], None],
    now_ns: Callable[[], int],
    observe: Callable[[float], None],
    report: Callable[[float], None],
) -> None:
    """Until cancelled. `observe` hears each time how late it was, in seconds; `report` when that was more than
    `limit_s`.
    """
    loop = asyncio.get_running_loop()
    calm_at_s: float | None = None
    while True:
        due_s = loop.time() + PERIOD_S
        await asyncio.sleep(PERIOD_S)
        late_s = max(0.0, loop.time() - due_s)
        observe(late_s)
        if late_s > limit_s:
            calm_at_s = loop.time() + CALM_S
            emit(LoopLagged(now_ns(), max(1, round(late_s * 1000))))
            report(late_s)
        elif calm_at_s is not None and loop.time() >= calm_at_s:
            calm_at_s = None
            emit(LoopLagged(now_ns(), 0))
