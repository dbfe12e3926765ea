"""Drives a virtual venue in real time: wakes at its deadlines, hands on what it has to say.

Used by connectors whose venue is a pure machine in this process. It rests on the event loop's timers and not on a task,
so that commands are answered from the first one until `stop`, whether or not the connector's `run` is running: a stop
cancels and confirms after the feeds have ended. What the venue has booked is saved before anything is emitted. A
failure of the venue ends `run` and is raised at the next call, whatever that is.
"""

import asyncio
from collections.abc import Callable

from mm_daemon.ports.connector import ConnectorContext, VirtualVenue


class VenuePump:
    """Owns the timer of one virtual venue. All methods belong to the event loop's thread."""

    def __init__(
        self,
        venue: VirtualVenue,
        context: ConnectorContext,
        save: Callable[[int], None] | None = None,
        catch_up: Callable[[int], None] | None = None,
    ) -> None:
        """`save`, if any, is called with the time before events go out, and raises when nothing may go out.

        `catch_up`, where market data reach the venue from elsewhere, is called before a deadline's turn, with the
        deadline: what the feed has to say until then comes first. The venue is then woken deadline by deadline, however
        late the loop is, so that both meet in the order of a backtest.
        """
        self._catch_up = catch_up
        self._venue = venue
        self._context = context
        self._save = save
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._failed: asyncio.Future[None] | None = None
        self._stopped = False
        self._error: Exception | None = None

    def turn(self, now_ns: int) -> None:
        """Hand on everything known by `now_ns`, and see to the next deadline. Says nothing after `stop`."""
        if self._stopped:
            return
        if self._error is not None:
            raise self._error
        events = self._venue.advance(now_ns)
        if self._save is not None:
            try:
                self._save(now_ns)
            except Exception as error:  # the venue forgot something: it must say nothing any more
                self._error = error
                raise
        for event in events:
            self._context.emit(event)
        self.arm()

    def arm(self) -> None:
        """Set the timer to the venue's next deadline; called after anything that may have moved it."""
        if self._error is not None:
            raise self._error
        if self._stopped:
            return
        deadline_ns = self._venue.next_deadline_ns()
        if self._timer is not None:
            if deadline_ns == self._timer_ns:
                return
            self._timer.cancel()
            self._timer = None
        if deadline_ns is None:
            return
        self._timer_ns = deadline_ns
        delay_s = self._context.delay_s(deadline_ns)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    async def run(self) -> None:
        """Keep going until cancelled; raises what broke the venue."""
        failed = self._failed = asyncio.get_running_loop().create_future()
        self.arm()
        await failed

    def stop(self) -> None:
        """No timer fires any more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        now_ns = self._context.now_ns()
        try:
            if self._catch_up is not None:
                now_ns = min(now_ns, self._timer_ns)
                self._catch_up(now_ns)
            self.turn(now_ns)
        except Exception as error:  # the edge of a timer: who supervises `run` decides, else the loop reports it
            self._error = error
            if self._failed is None or self._failed.done():
                raise
            self._failed.set_exception(error)
