"""Transactions of one account: nonces, signatures, sending, and what the answers mean.

One lock for each key holds giving out nonces, signing and sending together, so that transactions arrive in the order of
their nonces. After an outcome that is not known, the venue is asked for the next nonce before anything else leaves
under that key: the next transaction then bears the nonce of the lost one, if that was never used, and shuts it out.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from connectors.lighter import transactions as tx
from connectors.lighter import wire
from connectors.lighter.nonces import KeyRing, NonceOwner
from connectors.lighter.rest import NeverLeft, OutcomeUnknown, Refused, RestClient
from connectors.lighter.sending import Sending
from mm_daemon.domain.errors import CredentialsRefused, VenueUnreachable

_LAG_S = 0.35
"""How long the venue's `nextNonce` may lag behind what was sent."""
_TRIES = 3
_SHUT_OUT = 1024
"""Nonces skipped: more than any process can have on its way."""
NONCE_CODES = frozenset({21104, 21105})
STOP_CODES = frozenset({21100, 21108, 21109, 21120, 21136})
"""Account or key not found, wrong public key, invalid signature: trying again will not help."""

Prepared = Callable[[Sequence[tx.Signed]], None]


class Trading:
    def __init__(
        self,
        rest: RestClient,
        sending: Sending,
        signer: tx.SignsTransactions,
        *,
        account: int,
        keys: Sequence[int],
        on_quota: Callable[[int], None],
        on_stop: Callable[[CredentialsRefused], None],
    ) -> None:
        """`on_quota` hears what is left of the volume quota, `on_stop` of a refusal that no repetition mends."""
        self._rest = rest
        self._sending = sending
        self._signer = signer
        self._account = account
        self._on_quota = on_quota
        self._on_stop = on_stop
        self.ring = KeyRing(keys)
        self._locks: Mapping[int, asyncio.Lock] = {index: asyncio.Lock() for index in keys}
        self._sent_s: dict[int, float] = {}

    async def carry(
        self, transactions: Sequence[tx.Transaction], *, takes: bool = False, prepared: Prepared | None = None
    ) -> wire.Sent:
        """Sign and send transactions in their order, under one key; the venue's admission. `prepared` is told what was
        signed, before it leaves. Raises Refused or NeverLeft (nothing was done), OutcomeUnknown, ConfigError when the
        signer refuses, GridError for what cannot be signed."""
        return await self._carry(self.ring.owner(takes=takes), transactions, prepared)

    async def _carry(
        self,
        owner: NonceOwner,
        transactions: Sequence[tx.Transaction],
        prepared: Prepared | None = None,
        *,
        skipped: int = 0,
    ) -> wire.Sent:
        async with self._locks[owner.key_index]:
            if owner.doubtful:
                await self._ask_nonce(owner)
            nonces = owner.take(len(transactions), skipped=skipped)
            try:
                signed = await self._signer.sign(list(zip(transactions, nonces, strict=True)), owner.key_index)
            except BaseException:  # nothing has left; whatever it was goes on its way
                owner.refused(nonces)
                raise
            if prepared is not None:
                prepared(signed)
            self._sent_s[owner.key_index] = asyncio.get_running_loop().time()
            try:
                answer = await self._sending.start(signed)
            except BaseException:  # cancelled while the bytes were leaving
                owner.doubt()
                raise
        return await self._settled(owner, nonces, signed, answer)

    async def _settled(
        self, owner: NonceOwner, nonces: Sequence[int], signed: Sequence[tx.Signed], answer: asyncio.Future[wire.Sent]
    ) -> wire.Sent:
        try:
            sent = await self._sending.finish(answer)
        except Refused as refused:
            owner.refused(nonces)
            if refused.code in NONCE_CODES:
                owner.doubt()
            elif refused.code in STOP_CODES:
                self._on_stop(CredentialsRefused(f"the venue refuses the key: {refused.code} {refused.text}"))
            raise
        except NeverLeft:
            owner.refused(nonces)
            raise
        except BaseException:  # unknown, or cancelled by a timeout: nobody knows
            owner.doubt()
            raise
        owner.admitted(nonces)
        if sent.volume_quota_remaining is not None:
            self._on_quota(sent.volume_quota_remaining)
        told = [sent.tx_hash] if isinstance(sent.tx_hash, str) else sent.tx_hash or []
        if told != [each.tx_hash for each in signed]:
            owner.doubt()
            raise OutcomeUnknown(f"the answer names other transactions than were sent: {told}")
        return sent

    async def confirmed(self, transactions: Sequence[tx.Transaction]) -> wire.Sent:
        """`carry`, again after a nonce that was not the next: nothing of it was done. Raises VenueUnreachable."""
        for _ in range(_TRIES - 1):
            try:
                return await self.carry(transactions)
            except Refused as refused:
                if refused.code not in NONCE_CODES:
                    raise
        return await self.carry(transactions)

    async def shut_out(self) -> None:
        """See to it that nothing which was signed before, here or by an earlier process, can be carried out from now
        on. Tried more than once, since it does no harm twice. Raises VenueUnreachable."""
        for owner in self.ring.owners:
            for left in reversed(range(_TRIES)):
                owner.doubt()  # the venue's word is wanted: a nonce that is ours alone may be below one in flight
                try:
                    await self._carry(owner, [tx.ShutOut()], skipped=_SHUT_OUT)
                    break
                except VenueUnreachable:
                    owner.doubt()  # after a refusal too: the nonces that were skipped are not used
                    if not left:
                        raise

    async def start(self) -> None:
        """Read the next nonce of every key. Raises VenueUnreachable, CredentialsRefused."""
        for owner in self.ring.owners:
            await self._ask_nonce(owner)

    async def check_keys(self) -> None:
        """Whether the venue has our keys. Raises CredentialsRefused, VenueUnreachable."""
        for owner in self.ring.owners:
            try:
                await self._rest.read(
                    "apikeys", wire.Keys, {"account_index": self._account, "api_key_index": owner.key_index}
                )
            except Refused as refused:
                if refused.limited:
                    raise
                raise CredentialsRefused(
                    f"the venue has no key {owner.key_index} for account {self._account}: {refused.text}"
                ) from None

    async def _ask_nonce(self, owner: NonceOwner) -> None:
        """Read a key's next nonce, once the venue has had time to count what was sent."""
        loop = asyncio.get_running_loop()
        lag_s = self._sent_s.get(owner.key_index, -_LAG_S) + _LAG_S - loop.time()
        if lag_s > 0:
            await asyncio.sleep(lag_s)
        try:
            found = await self._rest.read(
                "nextNonce",
                wire.NextNonce,
                {"account_index": self._account, "api_key_index": owner.key_index},
                urgent=True,
            )
        except VenueUnreachable as error:
            raise NeverLeft(f"the next nonce of key {owner.key_index} cannot be read: {error}") from error
        owner.start(found.nonce)
