"""The nonces of one key: counted up here, and read from the venue when they are in doubt. Pure.

A transaction that the venue refuses has used no nonce. The count goes back only when nothing later was given out;
otherwise, and whenever an outcome is not known, the venue must be asked (`doubtful`). A transaction whose fate is
unknown is then either in the venue's count, or its nonce goes to the next one, and it can never be carried out.
"""

from collections.abc import Sequence


class NonceOwner:
    """The only one in this process that gives out a key's nonces."""

    __slots__ = ("_in_flight", "_next")

    def __init__(self) -> None:
        self._next: int | None = None
        self._in_flight: set[int] = set()

    @property
    def doubtful(self) -> bool:
        """Whether the venue must be asked before another nonce is given out."""
        return self._next is None

    @property
    def in_flight(self) -> int:
        """Nonces given out and not yet settled."""
        return len(self._in_flight)

    def start(self, nonce: int) -> None:
        """The venue's word on the next nonce. What was in flight is settled by it."""
        self._next = nonce
        self._in_flight.clear()

    def take(self, count: int, *, skipped: int = 0) -> list[int]:
        """The next nonces, in a row, behind some that are never used. Raises ValueError while they are in doubt."""
        if self._next is None:
            raise ValueError("the next nonce is in doubt")
        first = self._next + skipped
        taken = list(range(first, first + count))
        self._next = first + count
        self._in_flight.update(taken)
        return taken

    def admitted(self, nonces: Sequence[int]) -> None:
        """They are used, whatever becomes of their transactions."""
        self._in_flight.difference_update(nonces)

    def refused(self, nonces: Sequence[int]) -> None:
        """They are not used."""
        if not self._in_flight.issuperset(nonces):
            return  # the venue's word has settled them meanwhile
        self._in_flight.difference_update(nonces)
        if self._next is not None:
            self._next = nonces[0] if self._next == nonces[-1] + 1 else None

    def doubt(self) -> None:
        """Nobody knows what was used."""
        self._next = None
