"""The API keys of one account: under which of them the next transactions are signed. Pure, but for the locks it holds.

Each key has its own nonces, and the venue carries out what a key has signed in the order of these. So what must keep
its order stays under one key, and everything else goes where nothing is waited for: a key whose nonces are in doubt, or
that waits for an answer, holds up no other.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from connectors.lighter.nonces import NonceOwner
from mm_daemon.domain.errors import CredentialsRefused


class Key:
    """One API key."""

    __slots__ = ("chosen", "index", "nonces", "sent_s", "turn", "under_way")

    def __init__(self, index: int) -> None:
        self.index = index
        self.nonces = NonceOwner()
        self.turn = asyncio.Lock()
        """Held from the giving out of nonces until the bytes have left, so that transactions leave in their order."""
        self.under_way = 0
        """Batches begun under it and not yet answered."""
        self.chosen = 0
        """When it was chosen last, counted in choices."""
        self.sent_s = float("-inf")
        """When something left under it last, on the event loop's clock."""


class KeyRing:
    """Which keys take turns. Where there are several the last one is for orders that may take, because the venue delays
    those and, with them, what follows on their key. A key that the venue refuses is out until the next start."""

    def __init__(self, account: int, indexes: Sequence[int], report: Callable[[str, str], None]) -> None:
        """`report`: see `ConnectorContext`; it hears of a key that is out."""
        self._account = account
        self._report = report
        self._keys = {index: Key(index) for index in indexes}
        self._choices = 0
        self.refused: dict[int, str] = {}
        """Keys that are out, and why."""

    @property
    def every(self) -> Sequence[Key]:
        """Those that are out too."""
        return list(self._keys.values())

    @property
    def in_turn(self) -> Sequence[Key]:
        """The keys that the venue takes, as far as we know; every key when it takes none, because nothing is left to
        lose."""
        keys = self.every
        return [key for key in keys if key.index not in self.refused] or keys

    @property
    def exhausted(self) -> bool:
        """Whether the venue takes none of the keys."""
        return len(self.refused) == len(self._keys)

    @property
    def doubtful(self) -> list[Key]:
        """Keys whose next nonce is to be asked for."""
        return [key for key in self._keys.values() if key.nonces.doubtful and key.index not in self.refused]

    def get(self, index: int) -> Key | None:
        """One of ours, even one that is out; None: it is none of ours."""
        return self._keys.get(index)

    def choose(self, *, takes: bool = False) -> Key:
        """The key for the next transactions: not in doubt, of the right kind, and the longest idle. In doubt only when
        all are."""
        keys = self.in_turn
        own = _of_kind(keys, takes=takes)
        self._choices += 1
        key = min(keys, key=lambda each: (each.nonces.doubtful, each not in own, each.under_way, each.chosen))
        key.chosen = self._choices
        return key

    def following(self, index: int | None) -> Key | None:
        """The key under which something was signed that the next transaction should not overtake; None: that key is in
        doubt or out, and waiting for it would be worse."""
        key = None if index is None or index in self.refused else self._keys.get(index)
        return None if key is None or key.nonces.doubtful else key

    def spare(self, *, takes: bool = False) -> bool:
        """Whether what comes next has a key of its kind that waits for nothing."""
        keys = _of_kind(self.in_turn, takes=takes)
        return any(not key.under_way and not key.nonces.doubtful for key in keys)

    def refuse(self, whys: Mapping[int, str]) -> None:
        """The venue does not take what these keys sign: they are out. Told, unless none is left."""
        news = {index: why for index, why in whys.items() if index not in self.refused}
        self.refused |= news
        if self.exhausted:
            return
        left = ", ".join(str(each.index) for each in self.in_turn)
        for index, why in news.items():
            self._report(
                f"api_key_{index}",
                f"the venue refuses API key {index} of account {self._account} ({why}): it is not used any more until "
                f"the next start; the others go on: {left}. `mm-daemon doctor` looks at each",
            )

    def nothing_left(self) -> CredentialsRefused:
        """What a person has to do when the venue takes none of the keys."""
        each = "; ".join(f"key {index}: {why}" for index, why in self.refused.items())
        return CredentialsRefused(
            f"the venue refuses every API key of account {self._account} ({each}); register the keys at the venue for "
            "this account, or correct account, api_keys and their secrets; `mm-daemon doctor` tells which one is wrong"
        )


def _of_kind(keys: Sequence[Key], *, takes: bool) -> Sequence[Key]:
    return keys[-1:] if takes else keys[:-1] or keys
