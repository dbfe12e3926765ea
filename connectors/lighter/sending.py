"""Transactions over the socket and their answers.

An answer bears our id; a refusal may not, so that it is then matched by its hash, and at last by the order of sending.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from connectors.lighter import transactions as tx
from connectors.lighter import wire
from connectors.lighter.rest import RestClient, problem_of
from connectors.shared.http import OutcomeUnknown
from connectors.shared.ws_session import Send
from mm_daemon.domain.errors import VenueUnreachable

_OK = 200
_ONE, _BATCH = "jsonapi/sendtx", "jsonapi/sendtxbatch"
SENT_TYPES = frozenset({_ONE, _BATCH})
_WAITING_MAX = 256


class _Waiting:
    __slots__ = ("answer", "hashes")

    def __init__(self, hashes: frozenset[str], answer: asyncio.Future[wire.Sent]) -> None:
        self.hashes = hashes
        self.answer = answer


class Sending:
    """One way out at a time: the socket while there is one, else HTTP."""

    def __init__(self, rest: RestClient, timeout_s: float) -> None:
        self._rest = rest
        self._timeout_s = timeout_s
        self._send: Send | None = None
        self._waiting: dict[str, _Waiting] = {}
        self._count = 0

    def begin(self, send: Send) -> None:
        """A link has opened."""
        self._send = send

    def end(self, cause: str) -> None:
        """The link has ended: what was not answered on it never will be."""
        self._send = None
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            if not each.answer.done():
                each.answer.set_exception(OutcomeUnknown(f"the link has ended: {cause}"))

    async def start(self, signed: Sequence[tx.Signed]) -> asyncio.Future[wire.Sent]:
        """Send; the answer is awaited by `finish`. Returns once the bytes have left, so that what is started later
        leaves later; over HTTP, where requests change places, that is when the answer is there."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[wire.Sent] = loop.create_future()
        if self._send is None:
            try:
                answer.set_result(await self._post(signed))
            except VenueUnreachable as error:
                answer.set_exception(error)
            return answer
        self._count += 1
        name = str(self._count)
        self._waiting[name] = _Waiting(frozenset(each.tx_hash for each in signed), answer)
        while len(self._waiting) > _WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
        try:
            await self._send(_frame(name, signed))
        except Exception as error:  # whatever it was: some of the bytes may have left
            self._waiting.pop(name, None)
            if not answer.done():
                answer.set_exception(OutcomeUnknown(f"the socket failed: {type(error).__name__}: {error}"))
        return answer

    async def finish(self, answer: asyncio.Future[wire.Sent]) -> wire.Sent:
        """The venue's admission. Raises OutcomeUnknown, NeverLeft or Refused."""
        try:
            async with asyncio.timeout(self._timeout_s):
                sent = await asyncio.shield(answer)
        except TimeoutError:
            raise OutcomeUnknown(f"no answer within {self._timeout_s:g} s") from None
        if sent.code != _OK:
            raise problem_of(sent.code, sent.message or "")
        return sent

    async def _post(self, signed: Sequence[tx.Signed]) -> wire.Sent:
        if len(signed) == 1:
            return await self._rest.send("sendTx", {"tx_type": str(signed[0].tx_type), "tx_info": signed[0].tx_info})
        types, infos = _batch(signed)
        return await self._rest.send("sendTxBatch", {"tx_types": types, "tx_infos": infos})

    def heard(self, frame: bytes) -> bool:
        """An answer has come; whether anybody waits for it. Raises DecodeError."""
        return self._settle(wire.decode_sent(frame))

    def complained(self, problem: wire.Problem) -> bool:
        """An error without any name has come: the oldest transaction's, if one waits."""
        return self._settle(wire.Sent(code=problem.code, message=problem.message))

    def _settle(self, sent: wire.Sent) -> bool:
        name = self._name_of(sent)
        waiting = None if name is None else self._waiting.pop(name, None)
        if waiting is None:
            return False
        if not waiting.answer.done():
            waiting.answer.set_result(sent)
        return True

    def _name_of(self, sent: wire.Sent) -> str | None:
        if sent.id is not None:
            return sent.id
        if sent.tx_hash is not None:
            hashes = {sent.tx_hash} if isinstance(sent.tx_hash, str) else set(sent.tx_hash)
            return next((name for name, each in self._waiting.items() if each.hashes & hashes), None)
        return next(iter(self._waiting), None)


def _batch(signed: Sequence[tx.Signed]) -> tuple[str, str]:
    """Types and transactions of a batch, each as the text of a JSON list; the transactions are texts themselves."""
    types, infos = [each.tx_type for each in signed], [each.tx_info for each in signed]
    return msgspec.json.encode(types).decode(), msgspec.json.encode(infos).decode()


def _frame(name: str, signed: Sequence[tx.Signed]) -> str:
    if len(signed) == 1:
        (one,) = signed
        data: dict[str, object] = {"id": name, "tx_type": one.tx_type, "tx_info": msgspec.Raw(one.tx_info.encode())}
        return msgspec.json.encode({"type": _ONE, "data": data}).decode()
    types, infos = _batch(signed)
    return msgspec.json.encode({"type": _BATCH, "data": {"id": name, "tx_types": types, "tx_infos": infos}}).decode()
