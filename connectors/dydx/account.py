"""The account as the indexer's REST interface shows it: the subaccount, its orders, fills and funding payments.

What is read one after the other is put together as of one block: that of the subaccount, whose positions are of it;
fills and payments are taken up to it, and orders are read after it. The time of it all is that of a block, never that
of a clock: an indexer that has fallen behind proves nothing about what came since.
"""

from collections.abc import Callable

import msgspec

from connectors.dydx import tx, wire
from connectors.dydx.http import Indexer, Refused, decoded
from connectors.dydx.orders import OwnOrders
from connectors.shared.http import OutcomeUnknown
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import FundingPaid, OrderFilled, VenueSnapshot
from mm_daemon.domain.instrument import Venue

CACHE_BLOCKS = 3
"""Answers of the indexer may be a second old: they are taken to be of so many blocks before the one they name."""
_PAGE = 100
_PAGES_MAX = 1000
_NOT_FOUND = 404
_OPEN = ",".join(wire.OPEN_STATES)

_decode_orders = msgspec.json.Decoder(list[wire.OrderRow], strict=False).decode


class Account:
    """Every method raises VenueUnreachable when there is no answer that can be used."""

    def __init__(
        self, venue: Venue, indexer: Indexer, subaccount: tx.Subaccount, orders: OwnOrders, now_ns: Callable[[], int]
    ) -> None:
        self._venue = venue
        self._indexer = indexer
        self._subaccount = subaccount
        self._orders = orders
        self._now_ns = now_ns

    async def read(self) -> wire.Subaccount:
        """The subaccount; an empty one when it was never funded."""
        path = f"/v4/addresses/{self._subaccount.owner}/subaccountNumber/{self._subaccount.number}"
        try:
            return decoded(await self._indexer.get(path), wire.SubaccountReply).subaccount
        except Refused as refused:
            if refused.status != _NOT_FOUND:
                raise
        return wire.Subaccount({}, {}, (await self.block()).height)

    async def block(self) -> wire.HeightReply:
        """The last block that the indexer has processed. What is read after this is of no earlier block, but for the
        second that answers may be old."""
        return decoded(await self._indexer.get("/v4/height"), wire.HeightReply)

    async def open_orders(self) -> list[wire.OrderRow]:
        """On every market, whoever made them."""
        text = await self._mine(f"/v4/orders?status={_OPEN}&")
        try:
            return [] if text is None else _decode_orders(text)
        except msgspec.DecodeError as error:
            raise OutcomeUnknown(f"the answer makes no sense: {error}") from error

    async def order(self, uuid: str) -> wire.OrderRow | None:
        """None: the indexer does not know it."""
        try:
            return decoded(await self._indexer.get(f"/v4/orders/{uuid}"), wire.OrderRow)
        except Refused as refused:
            if refused.status == _NOT_FOUND:
                return None
            raise

    async def snapshot(self, since_ns: int, offset_ns: int) -> VenueSnapshot:
        """The account as of a block, and the fills and payments from `since_ns` up to it; `offset_ns`: what the venue's
        clock is ahead of ours."""
        requested_ns = self._now_ns()
        account = await self.read()
        block = await self.block()
        height = account.latestProcessedBlockHeight
        rows = await self.open_orders()
        fills: list[OrderFilled] = []
        payments: list[FundingPaid] = []
        if since_ns <= self._now_ns() + offset_ns:
            fills = await self._fills_since(since_ns, height)
            payments = await self._payments_since(since_ns, height)
        try:
            shown, held = self._orders.open_orders(rows), self._orders.positions(account.openPerpetualPositions)
        except GridError as error:
            raise OutcomeUnknown(f"the account cannot be read: {error}") from error
        orders_height = max(height - CACHE_BLOCKS, 0)
        return VenueSnapshot(
            self._venue, block.time_ns, requested_ns, shown, held, tuple(fills), tuple(payments), orders_height, height
        )

    async def _fills_since(self, since_ns: int, height: int) -> list[OrderFilled]:
        """Page after page, newest first, until one older than `since_ns` is in."""
        found: dict[str, OrderFilled] = {}
        for page in range(1, _PAGES_MAX):
            text = await self._mine(f"/v4/fills?limit={_PAGE}&page={page}&createdBeforeOrAtHeight={height}&")
            rows = [] if text is None else decoded(text, wire.Fills).fills
            for row in rows:
                if not self._orders.knows(row) and row.orderId is not None:
                    order = await self.order(row.orderId)
                    if order is not None:
                        self._orders.note(order)
            try:
                made = [self._orders.filled(row, self._now_ns()) for row in rows]
            except GridError as error:
                raise OutcomeUnknown(f"the account's history cannot be read: {error}") from error
            found |= {fill.fill_key: fill for fill in made if fill is not None and fill.ts_venue_ns >= since_ns}
            if len(rows) < _PAGE or any(fill is not None and fill.ts_venue_ns < since_ns for fill in made):
                return sorted(found.values(), key=lambda fill: (fill.ts_venue_ns, fill.fill_key))
        raise OutcomeUnknown(f"fills since {since_ns} do not end after {_PAGES_MAX} pages")

    async def _payments_since(self, since_ns: int, height: int) -> list[FundingPaid]:
        found: dict[str, FundingPaid] = {}
        for page in range(1, _PAGES_MAX):
            text = await self._mine(f"/v4/fundingPayments?limit={_PAGE}&page={page}&")
            rows = [] if text is None else decoded(text, wire.Payments).fundingPayments
            try:
                made = [self._orders.paid(row, self._now_ns()) for row in rows if row.createdAtHeight <= height]
            except GridError as error:
                raise OutcomeUnknown(f"the account's history cannot be read: {error}") from error
            found |= {paid.payment_key: paid for paid in made if paid is not None and paid.ts_venue_ns >= since_ns}
            if len(rows) < _PAGE or any(paid is not None and paid.ts_venue_ns < since_ns for paid in made):
                return sorted(found.values(), key=lambda paid: (paid.ts_venue_ns, paid.payment_key))
        raise OutcomeUnknown(f"payments since {since_ns} do not end after {_PAGES_MAX} pages")

    async def _mine(self, path: str) -> bytes | None:
        """An answer about our subaccount; None when it was never funded."""
        try:
            owner, number = self._subaccount.owner, self._subaccount.number
            return await self._indexer.get(f"{path}address={owner}&subaccountNumber={number}")
        except Refused as refused:
            if refused.status == _NOT_FOUND:
                return None
            raise
