"""The account through ccxt: orders, positions, fills and payments of one reading.

Exchanges answer these apart, so that what happens between two answers could show in one and not in the other. Positions
are read before and after the fills, and a reading counts only when nothing moved between. A fill names the venue's
order, not always ours; names that are not known are asked for.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from connectors.ccxt.contracts import Contract
from connectors.ccxt.fees import FeePrices
from connectors.ccxt.legs import Held, Leg, Shown, boxed, leg_of
from connectors.ccxt.orders import Row
from connectors.ccxt.requests import OrderUnknown, Requests
from mm_daemon.domain.errors import GridError, VenueUnreachable
from mm_daemon.domain.events import FundingPaid, OpenOrder, OrderFilled, VenueSnapshot
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.ports.connector import ConnectorContext

_NS_PER_MS = 1_000_000
_PAGES_MAX = 200
_READINGS_MAX = 5
_NAMES_MAX = 50


class AccountReader:
    """Of one venue."""

    def __init__(
        self,
        context: ConnectorContext,
        requests: Requests,
        prices: FeePrices,
        shown_ns: Callable[[], int],
        *,
        page: int,
    ) -> None:
        """`shown_ns` is the venue's time; `page` how many rows of a history one request brings at most."""
        self._prices = prices
        self._page = page
        self._context = context
        self._requests = requests
        self._shown_ns = shown_ns

    @property
    def _contracts(self) -> Sequence[Contract]:
        return tuple(self._requests.kept.contracts.values())

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        """Raises VenueUnreachable or CredentialsRefused."""
        requested_ns = self._context.now_ns()
        before = await self._held()
        for _ in range(_READINGS_MAX):
            shown_ns, legs = self._shown_ns(), self._requests.kept.legs
            mark = legs.mark() if legs is not None else 0
            wanted = shown_ns >= since_ns
            rows = await self._open_rows()
            fills = await self._fills(since_ns) if wanted else []
            after = await self._held()
            if after == before:
                if legs is not None and (wanted or legs.unread):  # before the first one, there are no fills to know
                    legs.read(after, self._shown(rows), fills, since=mark, requested_ns=requested_ns)
                payments = await self._payments(since_ns) if wanted else ()
                newest_ns = max((each.ts_venue_ns for each in (*(fill for fill, _ in fills), *payments)), default=0)
                return VenueSnapshot(
                    self._context.venue,
                    max(shown_ns, newest_ns),
                    requested_ns,
                    self._orders(rows),
                    self._net(after),
                    tuple(fill for fill, _ in fills),
                    tuple(payments),
                    boxed=None if legs is None else boxed(after),
                )
            before = after
        raise VenueUnreachable(f"the account of {self._context.venue} does not stand still long enough to be read")

    async def open_orders(self) -> tuple[OpenOrder, ...]:
        """Raises VenueUnreachable or CredentialsRefused."""
        return self._orders(await self._open_rows())

    async def _open_rows(self) -> list[Row]:
        rows = await asyncio.gather(
            *(self._requests.read("fetch_open_orders", each.unified) for each in self._contracts)
        )
        return [row for each in rows for row in each]

    def _orders(self, rows: Sequence[Row]) -> tuple[OpenOrder, ...]:
        try:
            found = [self._requests.kept.open_order(row) for row in rows]
        except GridError as error:
            raise VenueUnreachable(f"an open order cannot be read: {error}") from error
        return tuple(order for order in found if order is not None)

    def _shown(self, rows: Sequence[Row]) -> list[Shown]:
        shown = [(order, row) for row in rows for order in self._orders([row])]
        return [
            Shown(order.instrument, order.client_id, order.side, leg_of(row.get("info")), order.remaining_lots)
            for order, row in shown
        ]

    async def _held(self) -> Held:
        """Lots of each leg. A net position is the one leg that it is."""
        symbols = [each.unified for each in self._contracts]
        rows = await self._requests.read("fetch_positions", symbols)
        held = {(each.instrument.id, leg): 0 for each in self._contracts for leg in Leg}
        try:
            for row in rows:
                position = self._requests.kept.position(row)
                if position is not None and position[1]:
                    instrument, lots = position
                    held[instrument, Leg.LONG if lots > 0 else Leg.SHORT] += abs(lots)
        except GridError as error:
            raise VenueUnreachable(f"a position cannot be read: {error}") from error
        return held

    def _net(self, held: Held) -> tuple[tuple[InstrumentId, int], ...]:
        ids = [each.instrument.id for each in self._contracts]
        return tuple((each, held[each, Leg.LONG] - held[each, Leg.SHORT]) for each in ids)

    async def _fills(self, since_ns: int) -> list[tuple[OrderFilled, Leg | None]]:
        """With the leg of each, where its row says so."""
        rows: list[Row] = []
        for each in self._contracts:
            rows += await self._pages("fetch_my_trades", each.unified, since_ns)
        await self._find_names(rows, since_ns)
        await self._prices.ensure({pair for row in rows if (pair := self._requests.kept.fee_pair(row)) is not None})
        now_ns = self._context.now_ns()
        try:
            found = [(self._requests.kept.filled(row, now_ns), leg_of(row.get("info"))) for row in rows]
        except GridError as error:
            raise VenueUnreachable(f"a fill cannot be read: {error}") from error
        return [(fill, leg) for fill, leg in found if fill is not None and fill.ts_venue_ns >= since_ns]

    async def _payments(self, since_ns: int) -> list[FundingPaid]:
        if not self._requests.can("fetchFundingHistory"):
            return []
        rows: list[Row] = []
        for each in self._contracts:
            rows += await self._pages("fetch_funding_history", each.unified, since_ns)
        now_ns = self._context.now_ns()
        try:
            found = [self._requests.kept.paid(row, now_ns) for row in rows]
        except GridError as error:
            raise VenueUnreachable(f"a payment cannot be read: {error}") from error
        return [paid for paid in found if paid is not None and paid.ts_venue_ns >= since_ns]

    async def _pages(self, method: str, symbol: str, since_ns: int) -> list[Row]:
        """Everything since a venue time. A full page is not the last: some venues begin with the oldest rows and some
        with the newest, so that what is later and what is earlier are both asked for, until nothing new comes."""
        since_ms = since_ns // _NS_PER_MS or None
        found: dict[str, Row] = {}
        page = await self._requests.read(method, symbol, since_ms, self._page)
        _added(found, page)
        if len(page) < self._page:
            return list(found.values())
        for _ in range(_PAGES_MAX):
            if not _added(found, await self._requests.read(method, symbol, _newest(found), self._page)):
                break
        for _ in range(_PAGES_MAX):
            until = {"until": _oldest(found)}
            if not _added(found, await self._requests.read(method, symbol, since_ms, self._page, until)):
                return list(found.values())
        raise VenueUnreachable(f"{method} since {since_ns} does not end after {_PAGES_MAX} pages")

    async def _find_names(self, rows: Sequence[Row], since_ns: int) -> None:
        """Whose orders the fills are of, where nobody has said."""
        kept = self._requests.kept
        missing = {
            (str(row["symbol"]), str(row["order"]))
            for row in rows
            if row.get("order") and kept.owner(row) is None and not kept.is_named(str(row["order"]))
        }
        if missing and self._requests.can("fetchOrders"):
            for symbol in {symbol for symbol, _ in missing}:
                orders = await self._requests.read("fetch_orders", symbol, since_ns // _NS_PER_MS or None, self._page)
                for order in orders:
                    kept.note_name(str(order.get("id") or ""), kept.owner(order))
        still = sorted(each for each in missing if not kept.is_named(each[1]))
        if len(still) > _NAMES_MAX:
            raise VenueUnreachable(f"{len(still)} orders of fills have to be asked for one by one")
        for symbol, venue_id in still:
            kept.note_name(venue_id, await self._name(symbol, venue_id))

    async def _name(self, symbol: str, venue_id: str) -> Any:
        try:
            order = await self._requests.read("fetch_order", venue_id, symbol)
        except OrderUnknown:
            return None  # the venue has forgotten it: the fill is booked without an order
        return self._requests.kept.owner(order)


def _added(found: dict[str, Row], page: Sequence[Row]) -> int:
    """How many rows of a page are new."""
    before = len(found)
    found.update((str(row.get("id")), row) for row in page)
    return len(found) - before


def _newest(found: dict[str, Row]) -> int:
    return max(int(row.get("timestamp") or 0) for row in found.values())


def _oldest(found: dict[str, Row]) -> int:
    return min(int(row.get("timestamp") or 0) for row in found.values())
