"""Requests through one ccxt instance: commands in batches as the exchange takes them, reads that may wait, and what the
answers say of limits.

Nothing here sends a command twice. Reads are held back while the venue has told us to wait, because going on turns a
refusal into a ban.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from connectors.ccxt import outcomes
from connectors.ccxt.dialects import Dialect
from connectors.ccxt.orders import OrderBookkeeping, Row, by_client
from connectors.ccxt.outcomes import Outcome
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, OrderCommand, PlaceOrder
from mm_daemon.domain.errors import CredentialsRefused, GridError, VenueUnreachable
from mm_daemon.domain.events import Event, OrderEvent, RateLimited, RateLimitUsed
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import RejectKind

_NS_PER_MS = 1_000_000
_TOO_MANY, _BANNED = 429, 418
_TELL_STEP = 0.05
_TELL_FROM = 0.5
_ORDERS_LIMIT = "-1015"
_CODE = re.compile(r'"code"\s*:\s*"?(-?\d+)')
_EMPTY = Outcome(RejectKind.INVALID, "price and size must be positive", never_left=True)
_NO_NAME = Outcome(None, "the reply does not name it")
_NO_LEG = Outcome(RejectKind.REDUCE_ONLY, "the leg that it would reduce does not cover it", never_left=True)
_UNNAMED = "the venue's name of the order is not known, so it cannot be amended"


class LimitsHeard:
    """What the answers of a venue say of its limits, as events. A full count is told at once, others in steps."""

    def __init__(
        self, venue: Venue, dialect: Dialect, *, now_ns: Callable[[], int], emit: Callable[[Event], None]
    ) -> None:
        self._venue = venue
        self._headers = dialect.used_headers
        self._capacities = {bucket.name: bucket.capacity for bucket in dialect.buckets}
        self._now_ns = now_ns
        self._emit = emit
        self._told: dict[str, int] = {}
        self.used: dict[str, int] = {}
        """As last told, by bucket."""
        self.reads_from_ns = 0
        """No read before this instant."""

    def hear(self, status: int, headers: Mapping[str, str], body: str) -> None:
        now_ns = self._now_ns()
        if self._headers:
            for name, value in headers.items():
                bucket = self._headers.get(name.lower())
                if bucket is not None and value.isdigit():
                    self._used(bucket, int(value), now_ns)
        if status not in (_TOO_MANY, _BANNED):
            return
        retry = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
        wait_ms = int(retry) * 1000 if retry.isdigit() and len(retry) < 8 else None
        found = _CODE.search(body)
        of_orders = found is not None and found[1] == _ORDERS_LIMIT and status == _TOO_MANY
        if not of_orders:
            self.reads_from_ns = max(self.reads_from_ns, now_ns + (wait_ms or 1000) * _NS_PER_MS)
        bucket = "orders" if of_orders else None
        self._emit(RateLimited(self._venue, 0, now_ns, bucket, wait_ms, status == _BANNED))

    def _used(self, bucket: str, used: int, now_ns: int) -> None:
        self.used[bucket] = used
        capacity, told = self._capacities.get(bucket), self._told.get(bucket, 0)
        if capacity is None:
            return
        step = capacity * _TELL_STEP
        if used < told or (used >= capacity * _TELL_FROM and used - told >= step):
            self._told[bucket] = used
            if used >= capacity * _TELL_FROM:
                self._emit(RateLimitUsed(self._venue, 0, now_ns, bucket, used, capacity))


class Requests:
    """`exchange` is a ccxt instance that is open; `kept` the orders of this venue."""

    def __init__(
        self,
        exchange: Any,
        dialect: Dialect,
        kept: OrderBookkeeping,
        limits: LimitsHeard,
        now_ns: Callable[[], int],
        order_params: Mapping[str, object] | None = None,
    ) -> None:
        """`order_params` go with each new order."""
        self._order_params = order_params or {}
        self.exchange = exchange
        self.kept = kept
        self._dialect = dialect
        self._limits = limits
        self._now_ns = now_ns
        self._has = exchange.has
        self.clock_refused = False
        """The venue has refused the time of a request."""

    # Commands

    async def send(self, batch: Sequence[OrderCommand]) -> list[OrderEvent]:
        """What came of commands of one kind."""
        empty = [each for each in batch if not isinstance(each, CancelOrder) and min(each.lots, each.ticks) < 1]
        if empty:  # ccxt would refuse all of a batch for one of them
            told = [self.kept.refusal(each, _EMPTY, self._now_ns()) for each in empty]
            good = [each for each in batch if each not in empty]
            return told + (await self.send(good) if good else [])
        for command in batch:
            self.kept.sent(command)
        first = batch[0]
        if isinstance(first, PlaceOrder):
            return await self._place(batch)
        if isinstance(first, AmendOrder):
            return await self._amend(batch)
        return await self._in_batches(batch, self._dialect.cancels_max, self._cancel_many)

    async def _place(self, batch: Sequence[Any]) -> list[OrderEvent]:
        """In two-way position mode each gets its leg."""
        legs = self.kept.legs
        good = [each for each in batch if legs is None or legs.take(each)]
        told = [self.kept.refusal(each, _NO_LEG, self._now_ns()) for each in batch if each not in good]
        return told + await self._in_batches(good, self._dialect.places_max, self._place_many)

    async def _amend(self, batch: Sequence[Any]) -> list[OrderEvent]:
        """An order whose leg does not cover its new size is cancelled instead: what comes next is placed on another."""
        legs = self.kept.legs
        named = [each for each in batch if self.kept.amend_item(each, {}) is not None]
        outcome = Outcome(RejectKind.OTHER, _UNNAMED, never_left=True)
        told = [self.kept.refusal(each, outcome, self._now_ns()) for each in batch if each not in named]
        covered = [each for each in named if legs is None or legs.stretch(each)]
        rest = [each for each in named if each not in covered]
        told += await self._in_batches(rest, self._dialect.cancels_max, self._cancel_many)
        return told + await self._in_batches(covered, self._dialect.amends_max, self._amend_many)

    async def _in_batches(self, batch: Sequence[OrderCommand], most: int, many: Any) -> list[OrderEvent]:
        """Requests of at most so many commands, side by side; one market's in each."""
        groups: dict[str, list[OrderCommand]] = {}
        for command in batch:
            groups.setdefault(command.instrument, []).append(command)
        chunks = [group[n : n + most] for group in groups.values() for n in range(0, len(group), most)]
        told = await asyncio.gather(*(self._outcome_of(chunk, many) for chunk in chunks))
        return [event for events in told for event in events]

    async def _outcome_of(self, batch: Sequence[OrderCommand], many: Any) -> list[OrderEvent]:
        try:
            rows = await many(batch)
        except Exception as error:  # whatever ccxt raises: what is left known is decided in one place
            outcome = outcomes.after(error, self._dialect)
            self.clock_refused |= outcome.clock
            rows = outcomes.rows_in(error)
            if outcome.kind is None or len(rows) != len(batch):
                now_ns = self._now_ns()
                return [self.kept.refusal(each, outcome, now_ns) for each in batch]
            # All of a batch were refused, each for a reason of its own.
            rows = [{"info": row} for row in rows]
            return [event for each, row in zip(batch, rows, strict=True) for event in self._told(each, row)]
        found = [rows[0]] if len(batch) == 1 and len(rows) == 1 else by_client(rows, batch, self.kept)
        return [event for command, row in zip(batch, found, strict=True) for event in self._told(command, row)]

    def _told(self, command: OrderCommand, row: Row | None) -> list[OrderEvent]:
        now_ns = self._now_ns()
        if row is None:
            return [self.kept.refusal(command, _NO_NAME, now_ns)]
        refused = outcomes.of_row(row.get("info"), self._dialect)
        if refused is not None:
            return [self.kept.refusal(command, refused, now_ns)]
        try:
            return self.kept.replied(command, row, now_ns, acks_only=self._dialect.acks_only)
        except GridError as error:
            return [self.kept.refusal(command, Outcome(None, str(error)), now_ns)]

    async def _place_many(self, batch: Sequence[PlaceOrder]) -> list[Row]:
        items = [self.kept.place_item(each, self._order_params) for each in batch]
        if self._dialect.decimal_amounts:
            items = [{**item, "amount": Decimal(item["amount"])} for item in items]
        if len(items) > 1:
            return list(await self.exchange.create_orders(items))
        (item,) = items
        names = ("symbol", "type", "side", "amount", "price", "params")
        return [await self.exchange.create_order(*(item[name] for name in names))]

    async def _amend_many(self, batch: Sequence[AmendOrder]) -> list[Row]:
        items = [item for each in batch if (item := self.kept.amend_item(each, {})) is not None]
        if len(items) > 1:
            return list(await self.exchange.edit_orders(items))
        (item,) = items
        names = ("id", "symbol", "type", "side", "amount", "price", "params")
        return [await self.exchange.edit_order(*(item[name] for name in names))]

    async def _cancel_many(self, batch: Sequence[CancelOrder | AmendOrder]) -> list[Row]:
        symbol = self.kept.contracts[batch[0].instrument].unified
        ids = [known.venue_id for each in batch if (known := self.kept.known(each.client_id)) is not None]
        if len(batch) > 1:
            if len([venue_id for venue_id in ids if venue_id]) == len(batch):
                return list(await self.exchange.cancel_orders(ids, symbol))
            rows = await asyncio.gather(*(self._cancel_one(each) for each in batch))
            return list(rows)
        return [await self._cancel_one(batch[0])]

    async def _cancel_one(self, command: CancelOrder | AmendOrder) -> Row:
        contract, known = self.kept.contracts[command.instrument], self.kept.known(command.client_id)
        if known is not None and known.venue_id:
            row: Row = await self.exchange.cancel_order(known.venue_id, contract.unified)
        else:
            name = {self._dialect.client_id_param: self.kept.spell(command.client_id)}
            row = await self.exchange.cancel_order(None, contract.unified, name)
        return row

    # Reads

    async def read(self, method: str, *args: Any, **keys: Any) -> Any:
        """What a read of ccxt says. Raises VenueUnreachable, or CredentialsRefused."""
        if self._now_ns() < self._limits.reads_from_ns:
            raise VenueUnreachable("the venue asked us to wait")
        return await self.ask(method, *args, **keys)

    async def ask(self, method: str, *args: Any, **keys: Any) -> Any:
        """The same for what cannot wait. An order that the venue does not know is `OrderUnknown`."""
        try:
            return await getattr(self.exchange, method)(*args, **keys)
        except Exception as error:
            outcome = outcomes.after(error, self._dialect)
            self.clock_refused |= outcome.clock
            if outcome.kind is RejectKind.GONE:
                raise OrderUnknown(outcome.text) from error
            if outcome.no_change:
                raise NothingToChange(outcome.text) from error
            if outcomes.is_credentials(error):
                raise CredentialsRefused(f"the venue refused our key: {outcome.text}") from error
            if outcome.kind not in (None, RejectKind.RATE_LIMITED) and not (outcome.never_left or outcome.clock):
                raise RequestRefused(f"{method}: {outcome.text}") from error
            raise VenueUnreachable(f"{method}: {outcome.text}") from error

    def can(self, name: str) -> bool:
        """Whether ccxt has a method of this exchange, by ccxt's own spelling."""
        return bool(self._has.get(name))


class OrderUnknown(VenueUnreachable):
    """The venue does not know an order, which proves nothing."""


class RequestRefused(VenueUnreachable):
    """The venue has answered, and does not do it."""


class NothingToChange(VenueUnreachable):
    """It is so already."""
