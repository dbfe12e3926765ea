"""Reading an account of Hyperliquid over HTTP: open orders, positions, fills and funding, one order's fate.

Fills and payments are read page after page, pages overlapping in their last millisecond: what falls on the edge of a
page is told twice by the venue and kept once. Every read names the account, never the agent that trades it: for an
agent's address the venue shows an empty account, not an error.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

from connectors.hyperliquid import account_wire as aw
from connectors.hyperliquid import actions
from connectors.hyperliquid.orders import OwnOrders
from connectors.hyperliquid.requests import dex_of
from connectors.hyperliquid.rest import RestClient
from connectors.shared.http import OutcomeUnknown
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import Event, FundingPaid, OrderFilled, OrderNotFound, VenueSnapshot
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId

_PAGES_MAX = 100
_ROUNDS = 5
_LATER_MS = 60_000
_FILLS_A_PAGE, _FUNDINGS_A_PAGE = 2000, 500
_NS_PER_MS = 1_000_000

_Row = TypeVar("_Row", aw.Fill, aw.FundingEntry)


class Account:
    """`user` is the master, the vault or the sub-account whose orders they are."""

    def __init__(
        self,
        venue: Venue,
        rest: RestClient,
        user: str,
        orders: OwnOrders,
        now_ns: Callable[[], int],
        venue_now_ns: Callable[[], int],
    ) -> None:
        self._venue = venue
        self._rest = rest
        self._user = user
        self._orders = orders
        self._now_ns = now_ns
        self._venue_now_ns = venue_now_ns

    def _asked(self, kind: str, **more: object) -> Mapping[str, object]:
        return {"type": kind, "user": self._user, **more}

    def _by_dex(self, kind: str) -> list[Mapping[str, object]]:
        """A read for each dex that has a market of ours."""
        dexes = dict.fromkeys(map(dex_of, self._orders.coins))
        return [self._asked(kind, dex=dex) if dex else self._asked(kind) for dex in dexes]

    async def open_rows(self) -> list[aw.OrderRow]:
        """Every open order, foreign ones and other markets' too. Raises VenueUnreachable."""
        found: list[aw.OrderRow] = []
        for asked in self._by_dex("frontendOpenOrders"):
            found += await self._rest.info(asked, list[aw.OrderRow])
        return found

    async def order(self, client_id: ClientOrderId) -> Sequence[Event]:
        """What the venue says of one order. Where an amend whose reply was lost
        has replaced the version that we know, of that one too. Raises VenueUnreachable."""
        known, asked_ns = self._orders.version(client_id), self._venue_now_ns()
        status = await self._status(actions.cloid(client_id))
        if status.order is None:
            return [OrderNotFound(self._venue, asked_ns, self._now_ns(), client_id)]
        answers = [status]
        if known is None:
            answers = [*await self._older(status.order.order), status]
        elif status.order.order.oid != known:
            answers = [await self._status(known), status]
        try:
            told = [event for each in answers for event in self._orders.answered(each, self._now_ns())]
            return told + self._orders.after_its_end(client_id, status.order, self._now_ns())
        except GridError as error:
            raise OutcomeUnknown(f"order {client_id} cannot be read: {error}") from error

    async def _older(self, newest: aw.OrderRow) -> list[aw.OrderStatus]:
        """Versions of an order of an earlier life that amends have replaced, the first one first: which of them our
        ledger knows is not known here."""
        rows = await self._rest.info(self._asked("historicalOrders"), list[aw.OrderUpdate])
        older = [row for row in rows if row.order.cloid == newest.cloid and row.order.oid < newest.oid]
        return [aw.OrderStatus("order", row) for row in sorted(older, key=lambda row: row.order.oid)]

    async def _status(self, oid: int | str) -> aw.OrderStatus:
        return await self._rest.info(self._asked("orderStatus", oid=oid), aw.OrderStatus)

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        """Positions, then orders, then fills and payments from `since_ns` up to the time of the positions, which is the
        snapshot's: there is no one instant for all. Orders were looked at a little later than it says, so that what it
        does not show after some instant was not there after it. The venue does not say of what time spot balances are:
        they are read again when a fill shows that they may not be of the snapshot's. Raises VenueUnreachable."""
        for _ in range(_ROUNDS):
            shown, later = await self._snapshot(since_ns)
            if not any(self._orders.is_spot(fill.instrument) for fill in later):
                return shown
        raise OutcomeUnknown(f"spot balances moved whenever they were read, {_ROUNDS} times")

    async def _snapshot(self, since_ns: int) -> tuple[VenueSnapshot, Sequence[OrderFilled]]:
        """A snapshot, and the fills that came while it was taken."""
        requested_ns = self._now_ns()
        states = [await self._rest.info(asked, aw.ClearinghouseState) for asked in self._by_dex("clearinghouseState")]
        held = [position for state in states for position in state.assetPositions]
        at_ms = min(state.time for state in states) or requested_ns // _NS_PER_MS
        spot: list[aw.Balance] = []
        if self._orders.any_spot:
            spot = (await self._rest.info(self._asked("spotClearinghouseState"), aw.SpotState)).balances
        rows = await self.open_rows()
        fills: Sequence[OrderFilled] = ()
        payments: Sequence[FundingPaid] = ()
        try:
            orders = self._orders.open_orders(rows)
            positions = self._orders.positions(held) + self._orders.balances(spot)
            if since_ns // _NS_PER_MS <= at_ms:
                until_ms = at_ms + _LATER_MS if self._orders.any_spot else at_ms
                fills = await self._fills(since_ns // _NS_PER_MS, until_ms)
                payments = await self._payments(since_ns // _NS_PER_MS, at_ms)
        except GridError as error:
            raise OutcomeUnknown(f"the account cannot be read: {error}") from error
        at_ns = at_ms * _NS_PER_MS
        since = tuple(fill for fill in fills if since_ns <= fill.ts_venue_ns <= at_ns)
        later = [fill for fill in fills if fill.ts_venue_ns > at_ns]
        return VenueSnapshot(self._venue, at_ns, requested_ns, orders, positions, since, tuple(payments)), later

    async def _fills(self, start_ms: int, end_ms: int) -> Sequence[OrderFilled]:
        """In the order of time and key."""
        rows = await self._pages("userFillsByTime", aw.Fill, _FILLS_A_PAGE, start_ms, end_ms)
        now_ns = self._now_ns()
        made = [self._orders.filled(row, now_ns) for row in rows]
        known = {fill.fill_key: fill for fill in made if fill is not None}
        return sorted(known.values(), key=lambda fill: (fill.ts_venue_ns, fill.fill_key))

    async def _payments(self, start_ms: int, end_ms: int) -> Sequence[FundingPaid]:
        rows = await self._pages("userFunding", aw.FundingEntry, _FUNDINGS_A_PAGE, start_ms, end_ms)
        now_ns = self._now_ns()
        made = [self._orders.paid(row.delta.coin, row.time, row.delta.usdc, now_ns) for row in rows]
        return list({paid.payment_key: paid for paid in made if paid is not None}.values())

    async def _pages(self, kind: str, row: type[_Row], most: int, start_ms: int, end_ms: int) -> list[_Row]:
        """All rows of a span of time; those of the last millisecond of a page come twice."""
        found: list[_Row] = []
        for _ in range(_PAGES_MAX):
            asked = self._asked(kind, startTime=start_ms, endTime=end_ms)
            page: list[_Row] = await self._rest.info(asked, cast("type[list[_Row]]", list[row]))  # type: ignore[valid-type]
            found += page
            newest_ms = max((each.time for each in page), default=end_ms)
            if len(page) < most or newest_ms <= start_ms:
                return found
            start_ms = newest_ms
        raise OutcomeUnknown(f"{kind} does not end after {_PAGES_MAX} pages")
