"""Tokens for private reads and channels, made anew before they end: the venue does not say when one has."""

from collections.abc import Callable

from connectors.lighter.keys import KeyRing
from connectors.lighter.transactions import SignsTransactions

_NS_PER_S = 1_000_000_000


class Tokens:
    """One token at a time is enough: it opens the whole account, whichever of its keys has signed it."""

    def __init__(self, signer: SignsTransactions, ring: KeyRing, life_s: int, venue_now_ns: Callable[[], int]) -> None:
        self._signer = signer
        self._ring = ring
        self._life_s = life_s
        self._venue_now_ns = venue_now_ns
        self._text = ""
        self._key_index = -1
        """The key that has signed it."""
        self._renew_ns = 0
        self._refused = 0
        """Tokens that the venue did not take."""

    async def current(self) -> str:
        """A token of which a third of its life is left at least, of a key that the venue takes. Raises ConfigError when
        the signer refuses."""
        now_ns = self._venue_now_ns()
        if now_ns >= self._renew_ns or self._key_index in self._ring.refused:
            keys = self._ring.in_turn
            index, deadline_s = keys[self._refused % len(keys)].index, now_ns // _NS_PER_S + self._life_s
            self._text, self._key_index = await self._signer.auth_token(deadline_s, index), index
            self._renew_ns = now_ns + self._life_s * _NS_PER_S * 2 // 3
        return self._text

    def forget(self) -> None:
        """The venue has refused it: the next one is another, under the next key."""
        self._renew_ns = 0
        self._refused += 1
