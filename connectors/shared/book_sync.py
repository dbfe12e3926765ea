"""Snapshot-and-delta sequencing of one order book: which delta may be applied, and when a book starts or breaks.

Pure: no socket, no clock. A translator owns one `BookSync` per instrument and asks it about every delta and snapshot.
While there is no book, deltas are held (bounded, newest kept) until a snapshot comes that one of them continues; a book
starts only then, never on a snapshot alone, because a snapshot older than the stream cannot be told from a good one.
After a break nothing but a later snapshot starts the book again.
"""

from collections import deque
from enum import Enum

from mm_daemon.domain.events import BookDelta, BookSnapshot

HELD_LEVELS_MAX = 200_000
"""Levels kept while waiting for a snapshot; beyond it the oldest deltas go, which a later snapshot does not need."""

_RESTART_RUN = 64


class Chaining(Enum):
    """How a venue links one delta to the one before it."""

    PREVIOUS_ID = "previous_id"
    """Each delta names the id it follows, and ids between two deltas belong to other markets (Binance futures: `pu`
    equals the previous `u`). The first delta spans the snapshot: U <= lastUpdateId <= u."""
    CONSECUTIVE = "consecutive"
    """Ids of a market have no holes (Binance spot: `U` is the previous `u` + 1). The first delta spans the id after the
    snapshot: U <= lastUpdateId + 1 <= u."""


class Verdict(Enum):
    """What to do with a delta or a snapshot."""

    FOLLOWS = "follows"
    """Apply it."""
    STARTS = "starts"
    """The book starts: `take_start` has the snapshot and the deltas since."""
    HELD = "held"
    """There is no book yet; kept until there is."""
    OLD = "old"
    """Already known: a duplicate, or older than the book. Skip it."""
    GAP = "gap"
    """Deltas are missing. There is no book until the next snapshot."""
    OVERLAP = "overlap"
    """The sequence ran backwards or across itself. There is no book until the next snapshot."""


_FOLLOWS = Verdict.FOLLOWS  # members of an enumeration are slow to look up


class Restart:
    """Tells a sequence that has started again from one that repeats itself: 64 old ids in a row with none new between.

    Without it, one id far too high (or a venue that begins to count anew) would make everything after it look old.
    """

    __slots__ = ("_newest", "_run")

    def __init__(self) -> None:
        self._newest = -1
        self._run = 0

    def noticed(self, newest_id: int) -> bool:
        """Called for each old id, with the newest known; True when the ids must be taken to have begun anew."""
        if newest_id != self._newest:
            self._newest = newest_id
            self._run = 0
        self._run += 1
        return self._run >= _RESTART_RUN


class BookSync:
    """The sequence state of one book. `synchronised` is whether the deltas let through so far make a whole book."""

    __slots__ = (
        "_by_previous_id",
        "_capacity",
        "_held",
        "_held_levels",
        "_restart",
        "_snapshot",
        "_start",
        "dropped",
        "last_id",
        "synchronised",
    )

    def __init__(self, chaining: Chaining, *, held_levels_max: int = HELD_LEVELS_MAX) -> None:
        self._by_previous_id = chaining is Chaining.PREVIOUS_ID
        self._capacity = held_levels_max
        self._held: deque[tuple[int, int, BookDelta]] = deque()  # (first_id, id it follows, delta), without a gap
        self._restart = Restart()
        self.dropped = 0
        """Held deltas let go because too many were waiting."""
        self.reset()

    def reset(self) -> None:
        """There is no book, and nothing held can be part of one: a delta was lost, or the link was."""
        self.synchronised = False
        self.last_id = -1
        self._snapshot: BookSnapshot | None = None
        self._start: list[BookSnapshot | BookDelta] = []
        self._let_go()

    def offer(self, first_id: int, previous_id: int, delta: BookDelta) -> Verdict:
        """Judge a delta of `first_id` to `delta.update_id`; `previous_id` counts only where the venue names it."""
        follows = previous_id if self._by_previous_id else first_id - 1
        if not self.synchronised:
            return self._hold(first_id, follows, delta)
        if follows == self.last_id:
            self.last_id = delta.update_id
            return _FOLLOWS
        last_id = self.last_id
        if delta.update_id <= last_id and not self._restart.noticed(last_id):
            return Verdict.OLD
        self.reset()
        self._hold(first_id, follows, delta)
        return Verdict.OVERLAP if follows < last_id else Verdict.GAP

    def offer_snapshot(self, snapshot: BookSnapshot) -> Verdict:
        """Judge a whole book. One that comes while the book stands is not needed: `OLD`."""
        if self.synchronised or (self._snapshot is not None and snapshot.update_id <= self._snapshot.update_id):
            return Verdict.OLD
        return self._try_start(snapshot)

    @property
    def newest_id(self) -> int:
        """Last id of the newest delta known, applied or held; -1 for none."""
        return self.last_id if self.synchronised or not self._held else self._held[-1][2].update_id

    def take_start(self) -> list[BookSnapshot | BookDelta]:
        """The snapshot and the held deltas that follow it, once, after `STARTS`."""
        start, self._start = self._start, []
        return start

    def held(self) -> list[BookDelta]:
        """The deltas that wait for a snapshot, oldest first."""
        return [delta for _, _, delta in self._held]

    def could_start(self, snapshot_id: int) -> bool:
        """Whether a snapshot with this id would start the book now."""
        return not self.synchronised and any(self._continues(entry, snapshot_id) for entry in self._held)

    def _hold(self, first_id: int, follows: int, delta: BookDelta) -> Verdict:
        verdict = Verdict.HELD
        if self._held:
            newest = self._held[-1][2].update_id
            if follows != newest:
                if delta.update_id <= newest and not self._restart.noticed(newest):
                    return Verdict.OLD
                self._let_go()
                verdict = Verdict.OVERLAP if follows < newest else Verdict.GAP
        self._held.append((first_id, follows, delta))
        self._held_levels += _levels(delta)
        while self._held_levels > self._capacity:
            self._drop_oldest()
            self.dropped += 1
        if self._snapshot is not None and self._held:
            return self._try_start(self._snapshot)
        return verdict

    def _try_start(self, snapshot: BookSnapshot) -> Verdict:
        held, snapshot_id = self._held, snapshot.update_id
        while held and self._precedes(held[0][2].update_id, snapshot_id):
            self._drop_oldest()
        if not held:
            self._snapshot = snapshot
            return Verdict.HELD
        self._snapshot = None
        if not self._continues(held[0], snapshot_id):
            return Verdict.GAP
        self._start = [snapshot, *self.held()]
        self.synchronised = True
        self.last_id = held[-1][2].update_id
        self._let_go()
        return Verdict.STARTS

    def _precedes(self, last_id: int, snapshot_id: int) -> bool:
        """Whether a delta up to `last_id` is already part of the snapshot."""
        return last_id < snapshot_id if self._by_previous_id else last_id <= snapshot_id

    def _continues(self, entry: tuple[int, int, BookDelta], snapshot_id: int) -> bool:
        first_id, follows, delta = entry
        if self._by_previous_id:
            return first_id <= snapshot_id <= delta.update_id or follows == snapshot_id
        return first_id <= snapshot_id + 1 <= delta.update_id

    def _drop_oldest(self) -> None:
        self._held_levels -= _levels(self._held.popleft()[2])

    def _let_go(self) -> None:
        self._held.clear()
        self._held_levels = 0


def _levels(delta: BookDelta) -> int:
    return len(delta.bids) + len(delta.asks) + 1
