"""Cancelling everything: at once, or by the venue at a deadline."""

import asyncio
from collections.abc import Callable, Sequence

from connectors.lighter import transactions as tx
from connectors.lighter import wire
from connectors.lighter.account import AccountReader
from connectors.lighter.keys import Key
from connectors.lighter.rest import Refused
from connectors.lighter.settings import DEAD_MAN_FLOOR_MS
from connectors.lighter.trading import Trading
from connectors.shared.http import OutcomeUnknown
from mm_daemon.domain.errors import VenueUnreachable

_LOOKS = 20
_PAUSE_S = 0.1
_ALREADY_SCHEDULED = 21712
_FLOOR_SLACK_MS = 1000
"""Added to the shortest deadline: the venue counts from when it looks."""
_NS_PER_MS = 1_000_000


class LastResort:
    def __init__(self, trading: Trading, reader: AccountReader, venue_now_ns: Callable[[], int]) -> None:
        self._trading = trading
        self._reader = reader
        self._venue_now_ns = venue_now_ns
        self._deadline_ns: int | None = None
        """When the cancel-all is due that we have scheduled at the venue; None: there is none."""
        self._switch = asyncio.Lock()

    async def cancel_all(self) -> Sequence[wire.Order]:
        """Every order of the account: at once, and one by one where the quota is used up, since cancels cost none. The
        reports of those that are gone. Raises VenueUnreachable when orders are left."""
        try:
            rows = await self._reader.open_rows(urgent=True)
        except VenueUnreachable:
            rows = None  # which orders there are can be read later, and the cancel cannot wait
        try:
            await self._trading.behind_all(tx.CancelAllOrders())  # also for what is only on its way to be an order
        except OutcomeUnknown:
            await self._trading.behind_all(tx.CancelAllOrders())  # it does no harm twice
        except Refused as refused:
            if not refused.limited or rows is None:
                raise
            for row in rows:
                await self._trading.confirmed([tx.CancelOrder(market=row.market_index, index=row.order_index)])
        if rows is not None and not rows:
            return ()
        trouble: VenueUnreachable = OutcomeUnknown("what is open after cancel-all cannot be read")
        for _ in range(_LOOKS):
            try:
                left = await self._reader.open_rows(urgent=True)
                if not left:
                    gone = None if rows is None else {row.order_index for row in rows}
                    ended = await self._reader.ended_rows(urgent=True)
                    return [row for row in ended if gone is None or row.order_index in gone]
                trouble = OutcomeUnknown(f"{len(left)} order(s) are still open after cancel-all")
            except VenueUnreachable as error:
                trouble = error  # the next look may tell
            await asyncio.sleep(_PAUSE_S)
        raise trouble

    async def arm(self, deadline_ns: int | None) -> None:
        """Have the venue cancel everything at a time of its clock; None: not any more. While one cancel-all is
        scheduled another is refused: it is called off first, and gone before the new one is sent. Raises
        VenueUnreachable when the venue does not confirm it."""
        async with self._switch:
            if deadline_ns is None or self._deadline_ns is not None:
                await self._disarm()
            if deadline_ns is None:
                return
            try:
                await self._trading.confirmed([self._scheduled(deadline_ns)])
            except Refused as refused:
                if refused.code != _ALREADY_SCHEDULED:
                    raise
                await self._disarm()  # another process has left one
                await self._trading.confirmed([self._scheduled(deadline_ns)])
            self._deadline_ns = deadline_ns

    async def shut_out(self, key: Key) -> None:
        """See `Trading.shut_out`. A cancel-all that was scheduled is scheduled again behind it; where that fails, the
        switch is off until it is armed the next time. Raises VenueUnreachable when nothing was shut out."""
        async with self._switch:
            await self._trading.shut_out(key)
            deadline_ns, self._deadline_ns = self._deadline_ns, None
            if deadline_ns is None:
                return
            try:
                await self._trading.confirmed([self._scheduled(deadline_ns)], self._trading.ring.following(key.index))
            except VenueUnreachable:
                return  # whoever keeps the switch armed does so again long before the deadline
            self._deadline_ns = deadline_ns

    def _scheduled(self, deadline_ns: int) -> tx.CancelAllOrders:
        soonest_ms = self._venue_now_ns() // _NS_PER_MS + DEAD_MAN_FLOOR_MS + _FLOOR_SLACK_MS
        return tx.CancelAllOrders(when=tx.SCHEDULED, time_ms=max(deadline_ns // _NS_PER_MS, soonest_ms))

    async def _disarm(self) -> None:
        await self._trading.confirmed([tx.CancelAllOrders(when=tx.ABORT)])
        self._deadline_ns = None
        for _ in range(_LOOKS):
            if not await self._reader.cancel_all_ms():
                return
            await asyncio.sleep(_PAUSE_S)
        raise OutcomeUnknown("the scheduled cancel-all does not go away")
