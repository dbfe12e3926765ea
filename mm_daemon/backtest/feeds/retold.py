"""What every feed has that tells another one otherwise."""

from collections.abc import Mapping, Sequence

from mm_daemon.domain.instrument import Instrument
from mm_daemon.ports.connector import CountsProblems, Forkable, KnowsItsLength, NotesDamage, RecordedFeed


class RetoldFeed:
    """All but the events is as the other feed says."""

    def __init__(self, feed: RecordedFeed) -> None:
        self._feed = feed

    def instruments(self) -> Sequence[Instrument]:
        return self._feed.instruments()

    @property
    def frames(self) -> int | None:
        """Frames consumed; None where the feed counts none."""
        return getattr(self._feed, "frames", None)

    @property
    def forkable(self) -> bool:
        return isinstance(self._feed, Forkable) and self._feed.forkable

    @property
    def problems(self) -> Mapping[str, int]:
        return self._feed.problems if isinstance(self._feed, CountsProblems) else {}

    @property
    def notes(self) -> Sequence[str]:
        return self._feed.notes if isinstance(self._feed, NotesDamage) else ()

    @property
    def bytes_read(self) -> int:
        return self._feed.bytes_read if isinstance(self._feed, KnowsItsLength) else 0

    @property
    def bytes_total(self) -> int:
        return self._feed.bytes_total if isinstance(self._feed, KnowsItsLength) else 0
