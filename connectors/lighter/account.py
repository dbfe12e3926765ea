"""Reading an account of Lighter over HTTP: orders, positions, fills, funding, and one order's fate.

Nothing here is of one instant: a snapshot is read again until no fill falls between its parts.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from connectors.lighter import transactions as tx
from connectors.lighter import wire
from connectors.lighter.orders import OwnOrders
from connectors.lighter.rest import BAD_AUTH, KEY_REFUSED, Refused, RestClient
from connectors.lighter.tokens import Tokens
from connectors.lighter.translate import trade_ns
from connectors.shared.http import OutcomeUnknown
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import Event, FundingPaid, OrderFilled, OrderNotFound, VenueSnapshot
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId

_PAGE = 100
_PAGES_MAX = 200
_LOOKS_MAX = 5
_ALL_MARKETS = 255
_EXECUTED = 2
_NS_PER_S = 1_000_000_000

T = TypeVar("T")


class AccountReader:
    """One account. A token that the venue refuses is forgotten, so that the next read has another."""

    def __init__(
        self,
        venue: Venue,
        rest: RestClient,
        index: int,
        orders: OwnOrders,
        *,
        tokens: Tokens,
        keys: Sequence[int],
        now_ns: Callable[[], int],
        venue_now_ns: Callable[[], int],
    ) -> None:
        self._venue = venue
        self._rest = rest
        self._index = index
        self._orders = orders
        self._tokens = tokens
        self._only_key = keys[0] if len(keys) == 1 else None
        """The key of an order of which nobody knows the key; None: it may be one of several."""
        self._now_ns = now_ns
        self._venue_now_ns = venue_now_ns

    async def open_rows(self, *, urgent: bool = False) -> list[wire.Order]:
        """Every active order, foreign ones and other markets' too. Raises VenueUnreachable."""
        found = await self._private("accountActiveOrders", wire.Orders, urgent=urgent, market_id=_ALL_MARKETS)
        return found.orders or []

    async def ended_rows(self, *, urgent: bool = False) -> list[wire.Order]:
        """The last hundred orders that are over. Raises VenueUnreachable."""
        query = {"market_id": _ALL_MARKETS, "limit": _PAGE}
        found = await self._private("accountInactiveOrders", wire.Orders, urgent=urgent, **query)
        return found.orders or []

    async def cancel_all_ms(self) -> int:
        """When the venue will cancel everything; 0: it will not. Raises VenueUnreachable."""
        found = await self._rest.read("account", wire.Accounts, {"by": "index", "value": self._index}, urgent=True)
        return found.accounts[0].cancel_all_time if found.accounts else 0

    async def order(self, client_id: ClientOrderId) -> Sequence[Event]:
        """What the venue says of one order, or else of the transaction that placed it. Where it knows neither, the next
        nonce of the transaction's key says whether it can land yet. The dearest reads come last: an order whose
        transaction has no record is nowhere, and most others have ended. Raises VenueUnreachable."""
        placed = self._orders.placed_by(client_id)
        try:
            in_doubt = placed is not None and not self._orders.is_accepted(client_id)
            if placed is not None and in_doubt and await self._record(placed.tx_hash) is None:
                return [await self._not_found(client_id)]
            for rows in (self.ended_rows, self.open_rows, self.ended_rows):
                for row in await rows():
                    if row.client_order_index == client_id:
                        return self._orders.reported(row, self._now_ns(), again=True)
            record = None if placed is None else await self._record(placed.tx_hash)
            if record is None:
                return [await self._not_found(client_id)]
            failed = self._orders.recorded(record, self._now_ns())
            carried_out = record.status == _EXECUTED
            return failed or (self._orders.vanished(record.hash, self._now_ns()) if carried_out else [])
        except GridError as error:
            raise OutcomeUnknown(f"order {client_id} cannot be read: {error}") from error

    async def _not_found(self, client_id: ClientOrderId) -> OrderNotFound:
        signed_under = self._orders.key_of(client_id)
        key_index = self._only_key if signed_under is None else signed_under
        nonce = None if key_index is None else await self.next_nonce(key_index)
        return OrderNotFound(self._venue, self._venue_now_ns(), self._now_ns(), client_id, nonce)

    async def landed(self, signed: tx.Signed) -> Sequence[Event] | None:
        """What a transaction's record says; None: the venue has none. Raises VenueUnreachable."""
        record = await self._record(signed.tx_hash)
        return None if record is None else self._orders.recorded(record, self._now_ns())

    async def next_nonce(self, key_index: int) -> int | None:
        """Of a key, even of one that is not ours any more; None: the venue has no such key. Raises VenueUnreachable."""
        query = {"account_index": self._index, "api_key_index": key_index}
        try:
            return (await self._rest.read("nextNonce", wire.NextNonce, query)).nonce
        except Refused as refused:
            if refused.code not in KEY_REFUSED:
                raise
            return None

    async def _record(self, digest: str) -> wire.Transaction | None:
        try:
            return await self._rest.read("tx", wire.Transaction, {"by": "hash", "value": digest})
        except Refused as refused:
            if refused.limited:
                raise
            return None

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        """Orders, positions, and fills and payments from `since_ns` on. Raises VenueUnreachable."""
        requested_ns = self._now_ns()
        try:
            newest = self._orders.newest_trade
            for _ in range(_LOOKS_MAX):
                before = newest
                at_ns = self._venue_now_ns()
                accounts = await self._rest.read("account", wire.Accounts, {"by": "index", "value": self._index})
                rows = await self.open_rows()
                fills, newest = await self._fills(since_ns)
                if newest == before:
                    break
            else:
                raise OutcomeUnknown(f"the account did not hold still in {_LOOKS_MAX} looks")
            held = accounts.accounts[0].positions if accounts.accounts else None
            payments = await self.payments(since_ns)
            newest_ns = max([at_ns, *(each.ts_venue_ns for each in (*fills, *payments))])
            return VenueSnapshot(
                self._venue,
                newest_ns,
                requested_ns,
                self._orders.open_orders(rows),
                self._orders.positions(held or ()),
                tuple(fills),
                tuple(payments),
            )
        except GridError as error:
            raise OutcomeUnknown(f"the account cannot be read: {error}") from error

    async def _fills(self, since_ns: int) -> tuple[list[OrderFilled], int]:
        """In the order of their trades, and the newest trade when they began to be read. Pages come newest first.
        Raises VenueUnreachable or GridError."""
        found: dict[str, OrderFilled] = {}
        cursor: str | None = None
        newest: int | None = None
        for _ in range(_PAGES_MAX):
            page = await self._trades(_PAGE, cursor)
            rows = page.trades or []
            if newest is None:
                newest = self._orders.newest_trade = max((row.trade_id for row in rows), default=0)
            for row in rows:
                for fill in self._orders.filled(row, self._now_ns()) if trade_ns(row) >= since_ns else ():
                    found[fill.fill_key] = fill
            cursor = page.next_cursor
            if not cursor or not rows or max(trade_ns(row) for row in rows) < since_ns:
                return sorted(found.values(), key=lambda fill: (fill.ts_venue_ns, fill.fill_key)), newest
        raise OutcomeUnknown(f"the account's trades do not end after {_PAGES_MAX} pages")

    async def _trades(self, limit: int, cursor: str | None) -> wire.Trades:
        return await self._private("trades", wire.Trades, sort_by="timestamp", limit=limit, cursor=cursor)

    async def payments(self, since_ns: int) -> list[FundingPaid]:
        """Raises VenueUnreachable or GridError."""
        found: dict[str, FundingPaid] = {}
        cursor: str | None = None
        for _ in range(_PAGES_MAX):
            page = await self._private("positionFunding", wire.Payments, limit=_PAGE, cursor=cursor)
            rows = page.position_fundings or []
            for row in rows:
                paid = self._orders.paid(row, self._now_ns()) if row.timestamp * _NS_PER_S >= since_ns else None
                if paid is not None:
                    found[paid.payment_key] = paid
            cursor = page.next_cursor
            if not cursor or not rows or max(row.timestamp for row in rows) * _NS_PER_S < since_ns:
                return sorted(found.values(), key=lambda paid: (paid.ts_venue_ns, paid.payment_key))
        raise OutcomeUnknown(f"the account's payments do not end after {_PAGES_MAX} pages")

    async def limits(self) -> wire.Limits:
        """The account's tier and fees. Raises VenueUnreachable."""
        return await self._private("accountLimits", wire.Limits)

    async def _private(self, name: str, wanted: type[T], *, urgent: bool = False, **query: object) -> T:
        token, asked = await self._tokens.current(), {"account_index": self._index, **query}
        try:
            return await self._rest.read(name, wanted, asked, token=token, urgent=urgent)
        except Refused as refused:
            if refused.code == BAD_AUTH:
                self._tokens.forget()
            raise
