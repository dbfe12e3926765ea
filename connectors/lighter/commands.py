"""Commands of the core to transactions under their keys, and what became of each told as events.

What is on its way under one key holds up no other: a batch is one message for each key that it needs, and the next
batch may come while there is a key that waits for nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from connectors.lighter import transactions as tx
from connectors.lighter.account import AccountReader
from connectors.lighter.keys import Key
from connectors.lighter.last_resort import LastResort
from connectors.lighter.orders import OwnOrders
from connectors.lighter.rest import Refused
from connectors.lighter.settings import QUOTA, TRANSACTIONS
from connectors.lighter.trading import Trading
from connectors.shared.http import NeverLeft, OutcomeUnknown
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, OrderCommand, PlaceOrder
from mm_daemon.domain.errors import ConfigError, GridError
from mm_daemon.domain.events import Event, FenceAnswered, RateLimited
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId, TimeInForce

_Made = tuple[OrderCommand, tx.Transaction]


class Commands:
    """Of one account whose contracts are known."""

    def __init__(
        self,
        venue: Venue,
        orders: OwnOrders,
        trading: Trading,
        reader: AccountReader,
        last_resort: LastResort,
        *,
        emit: Callable[[Event], None],
        report: Callable[[str, str], None],
        now_ns: Callable[[], int],
        venue_now_ns: Callable[[], int],
    ) -> None:
        self._venue = venue
        self._orders = orders
        self._trading = trading
        self._ring = trading.ring
        self._reader = reader
        self._last_resort = last_resort
        self._emit = emit
        self._report = report
        self._now_ns = now_ns
        self._venue_now_ns = venue_now_ns
        self._going: dict[ClientOrderId, Key] = {}
        """Orders of which something is on its way, and under which key."""
        self._under_way: set[asyncio.Task[None]] = set()
        """Messages without an answer, and fences."""

    async def close(self) -> None:
        """Nobody waits for an answer any more."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        """One batch, a message for each key it needs. Returns when the next one may come: at once while there is a key
        that waits for nothing, else when everything is answered. Nothing is ever sent twice: what is not known is said
        to be unknown, and the core asks."""
        now_ns = self._now_ns
        batch: list[_Made] = []
        fences: list[CancelOrder] = []
        for approved in commands:
            command = approved.command
            if isinstance(command, CancelOrder) and command.fence:
                fences.append(command)
            elif isinstance(command, PlaceOrder | AmendOrder | CancelOrder):
                try:
                    batch.append((command, self._orders.transaction(command, self._venue_now_ns())))
                except GridError as error:
                    self._emit(self._orders.refused(command, 21701, str(error), now_ns()))
        takes = any(isinstance(command, PlaceOrder) and not _makes(command) for command, _ in batch)
        carried = [self._begin(self._carry(key, each)) for key, each in self._by_key(batch, takes)]
        if fences:
            carried.append(self._begin(self._fence(fences)))
        await asyncio.sleep(0)  # they begin, in this order, before anything that comes later
        if carried and not self._ring.spare(takes=takes):
            await asyncio.wait(carried)

    def _by_key(self, batch: Sequence[_Made], takes: bool) -> Sequence[tuple[Key, Sequence[_Made]]]:
        """What changes an order goes under the key that its last transaction went under, which it must not overtake;
        everything else goes together."""
        free: Key | None = None
        shares: dict[Key, list[_Made]] = {}
        for command, transaction in batch:
            client_id = command.client_id
            key = self._going.get(client_id) or self._ring.following(self._orders.key_of(client_id))
            if key is None:
                key = free = free or self._ring.choose(takes=takes)
            self._going[client_id] = key
            shares.setdefault(key, []).append((command, transaction))
        return list(shares.items())

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _carry(self, key: Key, batch: Sequence[_Made]) -> None:
        """One message, and what became of it."""
        commands, made = [command for command, _ in batch], [transaction for _, transaction in batch]
        now_ns = self._now_ns

        def prepared(signed: Sequence[tx.Signed]) -> None:
            for command, each in zip(commands, signed, strict=True):
                self._emit(self._orders.sent(command, each, now_ns()))

        try:
            await self._trading.carry(made, key, prepared=prepared)
        except Refused as refused:
            self._look_at_limit(refused)
            self._tell_refused(commands, refused.code, refused.text)
        except (NeverLeft, ConfigError, GridError) as error:
            self._tell_refused(commands, 0, f"not sent: {error}")
        except Exception as error:  # whatever it was: nobody knows what the venue has seen
            for command in commands:
                self._emit(self._orders.unknown(command, str(error) or type(error).__name__, now_ns()))
            if not isinstance(error, OutcomeUnknown):
                self._report("unexpected", f"{len(commands)} command(s), outcome unknown: {error!r}")
        finally:
            for command in commands:
                if self._going.get(command.client_id) is key:
                    del self._going[command.client_id]

    async def _fence(self, fences: Sequence[CancelOrder]) -> None:
        """See to it that the commands in doubt can never land, if they have not: under the key that signed each."""
        by_key: dict[int | None, list[CancelOrder]] = {}
        for command in fences:
            by_key.setdefault(self._orders.key_of(command.client_id), []).append(command)
        for index, commands in by_key.items():
            try:
                await self._shut_out(index)
            except Exception as error:  # whatever it was: nothing is proven
                for command in commands:
                    self._emit(self._orders.unknown(command, f"fence: {error}", self._now_ns()))
            else:
                for command in commands:
                    self._tell_shut_out(command.instrument, command.client_id)

    async def _shut_out(self, index: int | None) -> None:
        """See `LastResort.shut_out`; None: whichever key it was, so every one. Raises VenueUnreachable."""
        for key in self._ring.every if index is None else (self._ring.get(index),):
            if key is None:
                raise NeverLeft(
                    f"API key {index}, which signed it, is not among api_keys any more: it may land until ten minutes "
                    "after it was signed; with that key among api_keys it is shut out at once"
                )
            await self._last_resort.shut_out(key)

    def _tell_shut_out(self, instrument: InstrumentId, client_id: ClientOrderId) -> None:
        self._orders.settle(client_id)
        self._emit(FenceAnswered(instrument, self._venue_now_ns(), self._now_ns(), client_id, True))

    def _tell_refused(self, batch: Sequence[OrderCommand], code: int, text: str) -> None:
        for command in batch:
            self._emit(self._orders.refused(command, code, text, self._now_ns()))

    def _look_at_limit(self, refused: Refused) -> None:
        if refused.limited:
            bucket = QUOTA if "quota" in refused.text else TRANSACTIONS
            self._emit(RateLimited(self._venue, 0, self._now_ns(), bucket))

    async def query(self, client_id: ClientOrderId) -> None:
        """What is in doubt about the order is shut out, if it has not landed. Raises VenueUnreachable when there is no
        answer."""
        for event in await self._reader.order(client_id):
            self._emit(event)
        doubt = self._orders.doubt(client_id)
        if doubt is None:
            return
        landed = await self._reader.landed(doubt.signed)
        if landed is not None:
            self._orders.settle(client_id)
            for event in landed:
                self._emit(event)
            return
        next_nonce = await self._reader.next_nonce(doubt.signed.key_index)
        if next_nonce is None or next_nonce <= doubt.signed.nonce:
            await self._shut_out(doubt.signed.key_index)
        self._tell_shut_out(doubt.instrument, client_id)


def _makes(order: PlaceOrder) -> bool:
    return order.post_only and order.time_in_force is TimeInForce.GTC
