"""The words of what can go wrong, and `Death`: how the simulated process ends in the middle of anything."""

FAULT_NAMES = (
    "command lost, no answer",
    "connection lost before the command",
    "connection lost after the command",
    "time-out before the venue",
    "time-out after the venue took it",
    "command late",
    "commands reordered",
    "rate limited",
    "venue refuses",
    "report lost",
    "report late",
    "report twice",
    "reports reordered",
    "disconnect",
    "half-open link",
    "session fails",
    "snapshot fails",
    "snapshot late",
    "snapshot hangs",
    "ban",
    "venue restart",
    "dead man's switch fires",
    "order dies at the venue",
    "market halted",
    "grid changed",
    "book gap",
    "book stale",
    "book crossed",
    "book side empty",
    "price jump",
    "funding",
    "funding told twice",
    "foreign order",
    "foreign fill",
    "position changed without a fill",
    "process stalled",
    "wall clock stepped",
    "venue time astray",
    "disk full",
    "disk error on write",
    "disk error on sync",
    "disk full for client ids",
    "power cut",
    "death",
    "stop asked",
    "configuration changed",
    "order of ours trimmed",
    "order of ours moved",
    "order of ours amended by hand",
    "amend by hand refused",
    "cancel by hand refused",
    "order of ours asked about by hand",
    "order under an id of ours",
    "report told again",
)

SNAPSHOT_ASKED = "snapshot: asked"

CRASH_POINTS = (
    "disk: before a segment is created",
    "disk: before the market write",
    "disk: inside the market write",
    "disk: between market and trade write",
    "disk: inside the trade write",
    "disk: after the trade write",
    "disk: before sync",
    "disk: after sync",
    "disk: before client ids are written",
    "disk: inside the writing of client ids",
    "disk: before client ids are in place",
    "disk: after client ids are in place",
    "disk: before the run is named",
    "disk: after the run is named",
    "send: before the batch",
    "send: inside the batch",
    "send: after the batch",
    "cancel all: before",
    "cancel all: after",
    SNAPSHOT_ASKED,
    "snapshot: answered",
    "report: received",
    "turn: lived",
    "any moment",
)

EARLY_POINTS = frozenset(
    {
        "disk: before a segment is created",
        "disk: before client ids are written",
        "disk: inside the writing of client ids",
        "disk: before client ids are in place",
        "disk: after client ids are in place",
        "disk: before the run is named",
        "disk: after the run is named",
    }
)
"""What every life passes in its beginning, and seldom again."""


SELDOM_POINTS = frozenset(
    {"send: inside the batch", "send: after the batch", "cancel all: before", "cancel all: after"}
)
"""What many lives hardly ever pass: who is to die there does so at once."""


class Death(SystemExit):
    """The process is gone at once. A `SystemExit`, because asyncio lets nothing else through without running on."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where
