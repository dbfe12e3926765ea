"""Commands to transactions, and what came of them to events.

What is about the chain's state is signed with a timestamp nonce, here alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from connectors.dydx import answers, stateful, tx, wire
from connectors.dydx.http import Nodes, Refused
from connectors.dydx.orders import OwnOrders
from connectors.dydx.own import Own
from connectors.dydx.settings import BATCH_CANCEL_FROM
from connectors.dydx.stateful import Nonces
from connectors.shared.http import NeverLeft, OutcomeUnknown
from connectors.shared.weather import attempt
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, OrderCommand, PlaceOrder
from mm_daemon.domain.events import Event, RateLimited
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import RejectKind


class Commands:
    """`window`: blocks ahead that a short-term cancel ends. `measure_clock` is asked for when the chain finds a nonce's
    time wrong."""

    def __init__(
        self,
        venue: Venue,
        orders: OwnOrders,
        nodes: Nodes,
        builder: tx.TxBuilder,
        nonces: Nonces,
        *,
        window: int,
        emit: Callable[[Event], None],
        now_ns: Callable[[], int],
        venue_ns: Callable[[], int],
        measure_clock: Callable[[], Awaitable[None]],
    ) -> None:
        self._venue = venue
        self._orders = orders
        self._nodes = nodes
        self._builder = builder
        self._nonces = nonces
        self._window = window
        self._emit = emit
        self._now_ns = now_ns
        self._venue_ns = venue_ns
        self._measure_clock = measure_clock

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        """One transaction for each place, amend and stateful cancel, one for the other cancels of a batch when they are
        many. Nothing is ever sent twice: what is not known is said to be unknown, and the core asks."""
        cancels: list[tuple[OrderCommand, Own]] = []
        sending: list[Awaitable[None]] = []
        window = self._window
        for approved in commands:
            command, now_ns = approved.command, self._now_ns()
            if isinstance(command, PlaceOrder):
                sending.append(self._carry(command, *self._orders.place(command, self._venue_ns())))
            elif isinstance(command, AmendOrder):
                moved = self._orders.amend(command)
                if isinstance(moved, tuple):
                    sending.append(self._carry(command, *moved))
                else:
                    self._emit(msgspec.structs.replace(moved, ts_local_ns=now_ns))
            elif isinstance(command, CancelOrder):
                found = self._orders.cancel(command, window)
                if not isinstance(found, Own):
                    self._emit(msgspec.structs.replace(found, ts_local_ns=now_ns))
                elif found.stateful:
                    sending.append(self._carry_cancel(command, found))
                else:
                    cancels.append((command, found))
        if len(cancels) >= BATCH_CANCEL_FROM:
            sending.append(self._cancel_batch(cancels))
        else:
            sending += [self._carry_cancel(command, order) for command, order in cancels]
        await asyncio.gather(*sending)

    async def _carry(self, command: OrderCommand, order: Own, message: bytes) -> None:
        expires_ns = command.expires_ns if isinstance(command, PlaceOrder) else None
        await self._told([(command, order)], self._signed(message, order.stateful, expires_ns))

    async def _carry_cancel(self, command: OrderCommand, order: Own) -> None:
        message = self._orders.cancel_message(order, self._window, self._venue_ns())
        await self._carry(command, order, message)

    async def _cancel_batch(self, cancels: Sequence[tuple[OrderCommand, Own]]) -> None:
        message = self._batch_message([order.id for _, order in cancels])
        await self._told(cancels, self._signed(message, stateful=False))

    def _batch_message(self, ids: Sequence[tx.OrderId]) -> bytes:
        """One cancel of many short-term orders."""
        pairs: dict[int, list[int]] = {}
        for each in ids:
            pairs.setdefault(each.clob_pair_id, []).append(each.client_id)
        until = self._orders.height + self._window
        return tx.any_of(tx.BATCH_CANCEL, tx.batch_cancel(self._orders.subaccount, list(pairs.items()), until))

    def _signed(self, message: bytes, stateful: bool, expires_ns: int | None = None) -> bytes:
        """The transaction of a message. One about a stateful order cannot land any more behind `expires_ns`."""
        if not stateful:
            return self._builder.raw(message)
        return self._builder.sequenced(message, self._nonces.take(self._venue_ns(), expires_ns))

    async def _told(self, batch: Sequence[tuple[OrderCommand, Own]], raw: bytes) -> None:
        """Broadcast one transaction and tell what came of each command in it."""
        try:
            result = await self._nodes.broadcast(raw)
        except Refused as refused:
            kind = RejectKind.RATE_LIMITED if refused.status == 429 else RejectKind.OTHER
            if refused.status == 429:
                self._limit("node", refused.wait_ms)
            self._refused(batch, kind, str(refused))
            return
        except NeverLeft as error:
            self._refused(batch, RejectKind.OTHER, str(error))
            return
        except OutcomeUnknown as error:
            for command, _ in batch:
                self._emit(self._orders.unknown(command, str(error), self._now_ns()))
            return
        if answers.limited(result):
            self._limit("stateful" if batch[0][1].stateful else "chain", None)
        for command, order in batch:
            for event in self._orders.answered(command, order, result, self._now_ns()):
                self._emit(event)
        if answers.height_refused(result):
            await attempt(self.ask_height)
        if answers.sequence_refused(result):
            await attempt(self._measure_clock)

    def _refused(self, batch: Sequence[tuple[OrderCommand, Own]], kind: RejectKind, text: str) -> None:
        for command, order in batch:
            for event in self._orders.refused(command, order, kind, text, self._now_ns()):
                self._emit(event)

    def _limit(self, bucket: str, wait_ms: int | None) -> None:
        self._emit(RateLimited(self._venue, 0, self._now_ns(), bucket, wait_ms))

    async def ask_height(self) -> None:
        """Raises VenueUnreachable."""
        self._orders.height = max(self._orders.height, await self._nodes.height())

    async def cancel_ids(self, wanted: set[tx.OrderId]) -> None:
        """Raises VenueUnreachable. The block goes up each time: a cancel that ends no later than one before is none."""
        await self.ask_height()
        ids = sorted((each for each in wanted if each.flags == tx.OrderFlags.SHORT_TERM), key=_by_number)
        for begin in range(0, len(ids), tx.BATCH_IDS_MAX):
            message = self._batch_message(ids[begin : begin + tx.BATCH_IDS_MAX])
            self._expect_taken(await self._nodes.broadcast(self._signed(message, stateful=False)))
        for each in sorted(wanted.difference(ids), key=_by_number):
            message = stateful.cancel(each, self._venue_ns())
            result = await self._nodes.broadcast(self._signed(message, stateful=True))
            if answers.refusal(result)[0] is not RejectKind.GONE:
                self._expect_taken(result)

    @staticmethod
    def _expect_taken(result: wire.TxResult) -> None:
        if not answers.taken(result):
            raise OutcomeUnknown(f"the node refused to cancel: {result.codespace} {result.code}, {result.log}")


def _by_number(order_id: tx.OrderId) -> tuple[int, int]:
    return order_id.clob_pair_id, order_id.client_id
