"""How orders stand and how they ended, asked of the indexer: when an outcome is in doubt, when the stream alone does
not say it for certain, when everything is cancelled.
"""

import asyncio
from collections.abc import Callable, Sequence

from connectors.dydx import tx, wire
from connectors.dydx.account import CACHE_BLOCKS, Account
from connectors.dydx.commands import Commands
from connectors.dydx.orders import OVER, OwnOrders, filled_lots
from connectors.dydx.own import Market, Own
from connectors.shared.http import OutcomeUnknown
from connectors.shared.weather import attempt
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import Event, OrderCanceled, OrderNotFound
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId

_SETTLE_PAUSE_S = 0.2
_CANCEL_ROUNDS, _CANCEL_PAUSE_S, _CANCEL_AGAIN = 24, 0.25, 4
"""How often the indexer is asked whether all is gone, and after how many of those what is left is cancelled again."""


class Endings:
    """Of one account whose contracts are known. `by_height`: quotes end with blocks alone."""

    def __init__(
        self,
        venue: Venue,
        account: Account,
        orders: OwnOrders,
        *,
        window: int,
        by_height: bool,
        emit: Callable[[Event], None],
        now_ns: Callable[[], int],
        venue_ns: Callable[[], int],
    ) -> None:
        self._venue = venue
        self._account = account
        self._orders = orders
        self._window = window
        self._by_height = by_height
        self._emit = emit
        self._now_ns = now_ns
        self._venue_ns = venue_ns
        self.first_height = 0
        """Where this life began: short-term orders of an earlier one end within a window from here."""

    async def query(self, client_id: ClientOrderId) -> None:
        """Raises VenueUnreachable when there is no answer. An id that the indexer does not know proves nothing before
        its last block has passed: orders that never filled are not kept."""
        block = await self._account.block()
        until = self.first_height + self._window
        for market, uuid in self._orders.uuids(client_id):
            row = await self._account.order(uuid)
            order = self._orders.find(client_id, market.instrument.id)
            until = until if order is None else order.until
            try:
                if self._answer(block.height - CACHE_BLOCKS, market, client_id, order, row):
                    return
            except GridError as error:
                raise OutcomeUnknown(f"order {client_id} cannot be read: {error}") from error
        if not self._by_height and block.height - CACHE_BLOCKS <= until:
            return  # it may be a short-term one that still lives
        self._emit(OrderNotFound(self._venue, block.time_ns, self._now_ns(), client_id))

    def _answer(
        self,
        height: int,
        market: Market,
        client_id: ClientOrderId,
        order: Own | None,
        row: wire.OrderRow | None,
    ) -> bool:
        """Tell how an order stands at a block; whether there was anything to tell. Raises GridError."""
        now_ns, at_ns = self._now_ns(), self._venue_ns()
        stateful = row is not None and row.orderFlags == tx.OrderFlags.LONG_TERM
        if order is not None and not order.ended and not order.stateful and order.until < height:
            for event in self._orders.settled(order, row, at_ns, now_ns):
                self._emit(event)
            return True
        if row is None:
            return False
        if row.status in wire.OPEN_STATES or (stateful and row.status not in OVER):
            self._emit(self._orders.status(row, market, client_id, now_ns))
            return True
        if row.status == "FILLED" and order is not None and order.ended:
            return True  # the fills have told it
        if stateful and order is not None:
            for event in self._orders.settled(order, row, at_ns, now_ns):
                self._emit(event)
            return True
        final = row.status == "FILLED" or stateful or (row.goodTilBlock or 0) < height
        cum = filled_lots(row, market) if final else None
        self._emit(OrderCanceled(market.instrument.id, at_ns, now_ns, client_id, row.id, final, cum))
        return True

    async def settle(self) -> None:
        """Learn how orders ended of which the stream alone does not say it for certain, for ever: see
        `OwnOrders.to_settle`."""
        looked_at = 0
        while True:
            await asyncio.sleep(_SETTLE_PAUSE_S)
            if self._orders.height > looked_at and self._orders.to_settle(CACHE_BLOCKS):
                looked_at = self._orders.height
                await attempt(self._settle_all)

    async def _settle_all(self) -> None:
        block = await self._account.block()
        for order in self._orders.to_settle(CACHE_BLOCKS):
            if not order.stateful and order.until + CACHE_BLOCKS >= block.height:
                continue
            for event in self._settled(order, await self._account.order(order.uuid)):
                self._emit(event)

    async def cancel_all(self, commands: Commands) -> None:
        """Every short-term order that the indexer shows and every one that we know of, in batches, and the stateful
        ones that are ours, until the indexer shows none. Raises VenueUnreachable when that cannot be confirmed. Other
        stateful orders, stops of the owner among them, are left to whoever made them."""
        asked = self._orders.alive()
        wanted = {order.id for order in asked}
        for turn in range(_CANCEL_ROUNDS):
            ids = map(self._orders.cancel_id, await self._account.open_orders())
            shown = {each for each in ids if each is not None}
            if not shown and not wanted:
                break
            if turn % _CANCEL_AGAIN == 0:
                await commands.cancel_ids(wanted | shown)
                wanted = set()
            await asyncio.sleep(_CANCEL_PAUSE_S)
        else:
            raise OutcomeUnknown("the indexer still shows orders of ours")
        for order in asked:
            await self._tell_dropped(order)

    async def _tell_dropped(self, order: Own) -> None:
        """The indexer shows an order no more that was cancelled. Raises VenueUnreachable."""
        if order.stateful:
            told = self._settled(order, await self._account.order(order.uuid))
        else:
            told = self._orders.dropped(order, self._now_ns())
        for event in told:
            self._emit(event)

    def _settled(self, order: Own, row: wire.OrderRow | None) -> Sequence[Event]:
        """As `OwnOrders.settled`, of now. Raises OutcomeUnknown for what cannot be read."""
        try:
            return self._orders.settled(order, row, self._venue_ns(), self._now_ns())
        except GridError as error:
            raise OutcomeUnknown(f"order {order.client_id} cannot be read: {error}") from error
