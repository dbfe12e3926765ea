"""Transactions of one account: keys, nonces, signatures, sending, and what the answers mean.

A key's turn is held while its nonces are given out, its transactions signed and sent, so that they arrive in the order
of their nonces. After an outcome that is not known, the venue is asked for the key's next nonce before anything else
leaves under it: the next transaction then bears the nonce of the lost one, if that was never used, and shuts it out.
Other keys go on meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence

from connectors.lighter import transactions as tx
from connectors.lighter import wire
from connectors.lighter.keys import Key, KeyRing
from connectors.lighter.rest import KEY_REFUSED, Refused, RestClient
from connectors.lighter.sending import Sending
from connectors.shared.http import NeverLeft, OutcomeUnknown
from mm_daemon.domain.errors import CredentialsRefused, VenueUnreachable

_LAG_S = 0.35
"""How long the venue's `nextNonce` may lag behind what was sent."""
_TRIES = 3
_SHUT_OUT = 1024
"""Nonces skipped: more than any process can have on its way."""
_MEND_PAUSE_S = 3.0
_LATELY_S = 1.0
"""What was sent before that has been carried out, whatever the venue delays it."""
_NONCE_CODES = frozenset({21104, 21105})
"""A nonce that is not the next one of its key; nonces of a batch that do not rise one by one."""

Prepared = Callable[[Sequence[tx.Signed]], None]


class Trading:
    def __init__(
        self,
        rest: RestClient,
        sending: Sending,
        signer: tx.SignsTransactions,
        ring: KeyRing,
        *,
        account: int,
        timeout_s: float,
        on_quota: Callable[[int], None],
        on_stop: Callable[[CredentialsRefused], None],
    ) -> None:
        """`timeout_s`: until an outcome counts as unknown. `on_quota` hears what is left of the volume quota, `on_stop`
        that the venue takes none of the keys any more."""
        self._rest = rest
        self._sending = sending
        self._signer = signer
        self.ring = ring
        self._account = account
        self._timeout_s = timeout_s
        self._on_quota = on_quota
        self._on_stop = on_stop
        self._doubted = asyncio.Event()

    async def carry(
        self, transactions: Sequence[tx.Transaction], key: Key, *, prepared: Prepared | None = None, skipped: int = 0
    ) -> wire.Sent:
        """Sign and send transactions in their order, under one key; the venue's admission. `prepared` is told what was
        signed, before it leaves; `skipped` nonces are never used, and need the venue's word on the next one. Raises
        Refused or NeverLeft (nothing was done), OutcomeUnknown, ConfigError when the signer refuses, GridError for what
        cannot be signed."""
        left = False

        def leaving(signed: Sequence[tx.Signed]) -> None:
            nonlocal left
            if prepared is not None:
                prepared(signed)
            left = True

        key.under_way += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._carry(transactions, key, leaving, skipped)
        except TimeoutError:
            if left:
                raise OutcomeUnknown(f"no answer within {self._timeout_s:g} s") from None
            raise NeverLeft(f"API key {key.index} had no turn within {self._timeout_s:g} s") from None
        finally:
            key.under_way -= 1
            if key.nonces.doubtful:
                self._doubted.set()

    async def _carry(
        self, transactions: Sequence[tx.Transaction], key: Key, leaving: Prepared, skipped: int
    ) -> wire.Sent:
        nonces = key.nonces
        async with key.turn:
            if nonces.doubtful or skipped:
                await self._ask_nonce(key)
            taken = nonces.take(len(transactions), skipped=skipped)
            try:
                signed = await self._signer.sign(list(zip(transactions, taken, strict=True)), key.index)
            except BaseException:  # nothing has left; whatever it was goes on its way
                nonces.refused(taken)
                raise
            leaving(signed)
            key.sent_s = asyncio.get_running_loop().time()
            try:
                answer = await self._sending.start(signed)
            except BaseException:  # cancelled while the bytes were leaving
                nonces.doubt()
                raise
        return await self._settled(key, taken, signed, answer)

    async def _settled(
        self, key: Key, taken: Sequence[int], signed: Sequence[tx.Signed], answer: asyncio.Future[wire.Sent]
    ) -> wire.Sent:
        nonces = key.nonces
        try:
            sent = await self._sending.finish(answer)
        except Refused as refused:
            nonces.refused(taken)
            if refused.code in _NONCE_CODES:
                nonces.doubt()
            self._look_at_key(key, refused)
            raise
        except NeverLeft:
            nonces.refused(taken)
            raise
        except BaseException:  # unknown, or cancelled by a timeout: nobody knows
            nonces.doubt()
            raise
        nonces.admitted(taken)
        if sent.volume_quota_remaining is not None:
            self._on_quota(sent.volume_quota_remaining)
        told = [sent.tx_hash] if isinstance(sent.tx_hash, str) else sent.tx_hash or []
        if told != [each.tx_hash for each in signed]:
            nonces.doubt()
            raise OutcomeUnknown(f"the answer names other transactions than were sent: {told}")
        return sent

    async def confirmed(self, transactions: Sequence[tx.Transaction], key: Key | None = None) -> wire.Sent:
        """`carry`, again after a nonce that was not the next and, where `key` names none, after a key that the venue
        does not take: nothing of it was done. Raises VenueUnreachable."""
        again = _NONCE_CODES if key is not None else _NONCE_CODES | KEY_REFUSED
        for _ in range(_TRIES - 1):
            try:
                return await self.carry(transactions, key or self.ring.choose())
            except Refused as refused:
                if refused.code not in again:
                    raise
        return await self.carry(transactions, key or self.ring.choose())

    async def behind_all(self, transaction: tx.Transaction) -> None:
        """`confirmed`, at once under a key that waits for nothing, and once more behind what was lately sent under each
        other key: what is on its way there is carried out before. Under a key that the venue refuses, nothing is.
        Raises VenueUnreachable."""
        since_s, first = asyncio.get_running_loop().time() - _LATELY_S, self.ring.choose()
        late = [key for key in self.ring.in_turn if key is not first and (key.under_way or key.sent_s > since_s)]
        ends = await asyncio.gather(
            *(self.confirmed([transaction], key) for key in (first, *late)), return_exceptions=True
        )
        troubles = [end for end in ends if isinstance(end, BaseException)]
        for trouble in troubles:
            if not (isinstance(trouble, Refused) and trouble.code in KEY_REFUSED) or self.ring.exhausted:
                raise trouble
        if len(troubles) == len(ends):
            await self.behind_all(transaction)  # those keys are out

    async def shut_out(self, key: Key) -> None:
        """See to it that nothing which was signed before under a key, here or by an earlier process, can be carried out
        from now on. Where the venue refuses the key itself, nothing can. Tried more than once, since it does no harm
        twice. Raises VenueUnreachable."""
        for left in reversed(range(_TRIES)):
            try:
                await self.carry([tx.ShutOut()], key, skipped=_SHUT_OUT)
                return
            except VenueUnreachable as error:
                key.nonces.doubt()  # after a refusal too: the nonces that were skipped are not used
                if isinstance(error, Refused) and error.code in KEY_REFUSED:
                    return
                if not left:
                    raise

    async def start(self) -> None:
        """See that the venue takes our keys, and read the next nonce of each. Raises VenueUnreachable, or
        CredentialsRefused when it takes none."""
        for key in self.ring.in_turn:
            try:
                await self._ask_nonce(key)
            except Refused as refused:
                if refused.code not in KEY_REFUSED:
                    raise
        if self.ring.exhausted:
            raise self.ring.nothing_left()

    async def mend(self) -> None:
        """Ask for the next nonce of each key in doubt, so that it soon takes turns again; until cancelled."""
        while True:
            await self._doubted.wait()
            self._doubted.clear()
            for key in self.ring.doubtful:
                try:
                    async with key.turn:
                        if key.nonces.doubtful:
                            await self._ask_nonce(key)
                except VenueUnreachable:  # weather, or the key is out
                    self._doubted.set()
                    await asyncio.sleep(_MEND_PAUSE_S)

    def _look_at_key(self, key: Key, refused: Refused) -> None:
        """Whether a refusal is the key's own; with the last one, there is nothing left to do."""
        if refused.code in KEY_REFUSED:
            self.ring.refuse({key.index: f"{refused.code} {refused.text}"})
            if self.ring.exhausted:
                self._on_stop(self.ring.nothing_left())

    async def _ask_nonce(self, key: Key) -> None:
        """Read a key's next nonce, once the venue has had time to count what was sent. Raises NeverLeft, or Refused
        when the venue does not take the key."""
        lag_s = key.sent_s + _LAG_S - asyncio.get_running_loop().time()
        if lag_s > 0:
            await asyncio.sleep(lag_s)
        query = {"account_index": self._account, "api_key_index": key.index}
        try:
            found = await self._rest.read("nextNonce", wire.NextNonce, query, urgent=True)
        except VenueUnreachable as error:
            if isinstance(error, Refused) and error.code in KEY_REFUSED:
                self._look_at_key(key, error)
                raise
            raise NeverLeft(f"the next nonce of key {key.index} cannot be read: {error}") from error
        key.nonces.start(found.nonce)
