"""The venues' dead man's switches: armed by the turning of the core loop, and by nothing else.

The core loop calls `beat` as it turns; a venue whose switch was last armed a third of its silence ago is then armed
again by its own `serve` task. There is no timer here: a loop that hangs, or a process that is gone, beats no more, and
the venue cancels everything at the deadline it was given last (R10). A deadline counts from the beat, however late the
request leaves. A clean stop disarms; one that could not confirm leaves the switch to do its work.
"""

import asyncio
from collections.abc import Callable, Mapping

from mm_daemon.domain.capabilities import Capabilities, Validity
from mm_daemon.domain.instrument import Venue
from mm_daemon.ports.connector import Connector

SILENCE_MS = 10_000
"""What is armed where the venue's connector asks for nothing else."""
REFRESHES = 3
"""How often a switch is armed again within its silence."""
_NS_PER_MS = 1_000_000
_ANSWER_S = 3.0


class DeadManSwitches:
    """Belongs to the event loop; `serve` coroutines are children of the supervisor."""

    def __init__(
        self, connectors: Mapping[Venue, Connector], *, report: Callable[[Venue, str], None], now_ns: Callable[[], int]
    ) -> None:
        """`report` hears, in words for the log, when arming begins to fail and when it works again."""
        self._connectors = connectors
        self._report = report
        self._now_ns = now_ns
        self._silence_ns = {
            venue: silence_ms * _NS_PER_MS
            for venue, connector in connectors.items()
            if (silence_ms := silence_of(connector.capabilities)) is not None
        }
        self._next_ns = dict.fromkeys(self._silence_ns, 0)
        self._beat_ns = 0
        self._due = {venue: asyncio.Event() for venue in self._silence_ns}
        self._failing: set[Venue] = set()
        self._ended = False
        self.deadlines_ns: dict[Venue, int] = {}
        """When each venue will cancel everything, as it has confirmed, on the run's clock."""

    @property
    def venues(self) -> tuple[Venue, ...]:
        """The venues that need a `serve` task."""
        return tuple(self._silence_ns)

    @property
    def refresh_s(self) -> Mapping[Venue, float]:
        """How often each venue's switch is armed again."""
        return {venue: silence_ns / REFRESHES / 1e9 for venue, silence_ns in self._silence_ns.items()}

    @property
    def every_s(self) -> float | None:
        """How often the core loop has to beat at least; None: there is nothing to arm."""
        return min(self.refresh_s.values(), default=None)

    def beat(self, now_ns: int) -> None:
        """The core loop has turned at `now_ns`."""
        if self._ended:
            return
        self._beat_ns = now_ns
        for venue, next_ns in self._next_ns.items():
            if now_ns >= next_ns:
                self._next_ns[venue] = now_ns + self._silence_ns[venue] // REFRESHES
                self._due[venue].set()

    async def serve(self, venue: Venue) -> None:
        """Arm one venue's switch whenever it is due, until cancelled."""
        due = self._due[venue]
        while True:
            await due.wait()
            due.clear()
            await self.arm(venue)

    async def arm(self, venue: Venue) -> None:
        """Arm a switch for one silence from the last beat on (from now on, before the first)."""
        deadline_ns = (self._beat_ns or self._now_ns()) + self._silence_ns[venue]
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._connectors[venue].arm_dead_man(deadline_ns)
        except Exception as error:  # the edge of a venue: it stays armed as it was, and is tried at the next beat
            if venue not in self._failing:
                self._failing.add(venue)
                self._report(venue, f"the dead man's switch cannot be armed: {type(error).__name__}: {error}")
            return
        self.deadlines_ns[venue] = deadline_ns
        if venue in self._failing:
            self._failing.discard(venue)
            self._report(venue, "the dead man's switch is armed again")

    async def disarm(self) -> None:
        """Nothing is left that the venues could cancel."""
        self._ended = True
        for venue in self._silence_ns:
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await self._connectors[venue].arm_dead_man(None)
            except Exception as error:  # the edge of a venue: it will fire on an account without orders
                self._report(venue, f"the dead man's switch stays armed: {type(error).__name__}: {error}")
            else:
                self.deadlines_ns.pop(venue, None)


def silence_of(capabilities: Capabilities) -> int | None:
    """After how many milliseconds of silence a venue is to cancel all; None where it cannot."""
    floor_ms = capabilities.dead_man_floor_ms
    if floor_ms is None:
        return None
    return max(floor_ms, SILENCE_MS if capabilities.dead_man_ms is None else capabilities.dead_man_ms)


def in_words(capabilities: Capabilities) -> str:
    """What protects the orders when this process is gone."""
    silence_ms = silence_of(capabilities)
    if silence_ms is not None:
        return f"dead man's switch: venue cancels all after {silence_ms / 1000:g} s of silence"
    if capabilities.simulated:
        return "dead man's switch: none: the venue is in this process, and its orders die with it"
    if capabilities.validity is Validity.HEIGHT and capabilities.max_order_blocks is not None:
        return f"dead man's switch: each order ends by itself, at most {capabilities.max_order_blocks} blocks ahead"
    text = "dead man's switch: none: if this process dies, its orders stay open until it starts again"
    if capabilities.order_life_ms is None:
        return text
    return f"{text}, at most {capabilities.order_life_ms / 1000:g} s each"
