"""A process that does not get to run tells the core, and tells it again when it has kept time for a while."""

import asyncio

from mm_daemon.domain.events import Event, LoopLagged
from mm_daemon.runtime.lateness import CALM_S, watch_loop
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual


def test_a_stall_is_told_and_its_end_after_calm() -> None:
    """Two seconds without a turn: one event with how late we were, and the all-clear five seconds later."""

    async def main(loop: VirtualLoop) -> None:
        told: list[Event] = []
        late: list[float] = []
        lags: list[float] = []
        watch = asyncio.ensure_future(
            watch_loop(limit_s=1.0, emit=told.append, now_ns=loop.now_ns, observe=lags.append, report=late.append)
        )
        await asyncio.sleep(3.0)
        assert told == []
        loop.elapsed_ns += 2_000_000_000  # the process stands still
        await asyncio.sleep(0.3)
        (stalled,) = told
        assert isinstance(stalled, LoopLagged)
        assert 1800 <= stalled.late_ms <= 2000
        assert len(late) == 1
        assert max(lags) == late[0]
        await asyncio.sleep(CALM_S)
        assert [event.late_ms for event in told if isinstance(event, LoopLagged)] == [stalled.late_ms, 0]
        watch.cancel()

    run_virtual(main)
