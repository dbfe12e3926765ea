"""How often what happens: weights of what the world does next, and of what becomes of a batch of commands."""

from collections.abc import Mapping

from mm_daemon.domain.rng import Rng
from mm_daemon.dst.chance import chance, pick

MEDDLING: dict[str, int] = {
    "order of ours trimmed": 20,
    "order of ours moved": 20,
    "order of ours amended by hand": 20,
    "amend by hand refused": 40,
    "cancel by hand refused": 30,
    "order dies at the venue": 25,
    "order of ours asked about by hand": 10,
    "order under an id of ours": 40,
    "report told again": 40,
}
SEES_TO_IT: dict[str, int] = {"resolve": 100}
TEMPTING: dict[str, int] = {"configuration changed": 16, "balance": 8}
DOUBTFUL: dict[str, int] = {
    "arrives": 770,
    "command lost, no answer": 60,
    "connection lost after the command": 30,
    "time-out after the venue took it": 70,
    "command late": 40,
    "venue refuses": 30,
}
"""What becomes of a thousand batches where little is certain."""
LATE: dict[str, int] = {"arrives": 600, "command late": 400}

_USUAL = {"move": 420, "trade": 330, "quiet": 40}

_SOMETIMES: Mapping[str, tuple[int, ...]] = {
    "price jump": (2, 8),
    "book gap": (2, 8),
    "book side empty": (2, 6),
    "book crossed": (2,),
    "book stale": (2, 5),
    "mark": (5,),
    "balance": (5,),
    "venue time": (10,),
    "venue time astray": (3,),
    "funding": (3,),
    "order dies at the venue": (3, 10),
    "foreign order": (2,),
    "foreign fill": (1, 3),
    "position changed without a fill": (1,),
    "disconnect": (1, 4),
    "half-open link": (1, 3),
    "session fails": (1, 3),
    "ban": (1, 2),
    "rate limit told": (2, 5),
    "venue restart": (1, 3),
    "market halted": (1, 2),
    "grid changed": (1,),
    "process stalled": (1, 2),
    "wall clock stepped": (2,),
    "pause": (2, 4),
    "disable": (2, 4),
    "flatten": (1, 4),
    "cancel all": (1, 3),
    "kill": (1, 2),
    "configuration changed": (1, 4),
    "stop asked": (1, 3),
    "resolve": (2, 5),
    "adopt": (2,),
}


def actions_of(rng: Rng) -> dict[str, int]:
    some = {name: pick(rng, weights) for name, weights in _SOMETIMES.items() if chance(rng, 40)}
    return {**_USUAL, **some}


_BAD_FATES = (
    "command lost, no answer",
    "connection lost before the command",
    "connection lost after the command",
    "time-out before the venue",
    "time-out after the venue took it",
    "command late",
    "rate limited",
    "venue refuses",
)


def fates_of(rng: Rng) -> dict[str, int]:
    """Of a thousand batches."""
    bad = {name: pick(rng, (5, 30)) for name in _BAD_FATES if chance(rng, 45)}
    return {"arrives": 1000 - sum(bad.values()), **bad}
