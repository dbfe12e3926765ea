"""Orders of ours on Hyperliquid: commands to actions, and what the venue says of them to events. No socket, no clock.

The venue knows an order by its `oid`, which every modify replaces, and by our `cloid`, which stays. Of one change the
reply, the order stream and the fills tell in any order; each becomes an event as it comes, under the `oid` it names,
and the ledger makes one story of them. What an order is (side, kind) is remembered here, because a modify has to say
it again.
"""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import cast

from msgspec import UNSET, UnsetType

from connectors.hyperliquid import account_wire as aw
from connectors.hyperliquid import actions
from connectors.hyperliquid.numbers import floor_units
from connectors.hyperliquid.requests import Asset, Terms, order_wire
from mm_daemon.domain.decisions import OPERATIONS, AmendOrder, CancelOrder, OrderCommand, PlaceOrder
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    Event,
    FundingPaid,
    OpenOrder,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderFilled,
    OrderRejected,
    OrderStatus,
)
from mm_daemon.domain.instrument import InstrumentId, to_units
from mm_daemon.domain.money import MoneyPair, from_text, to_pair
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side, TimeInForce

Batch = Sequence[OrderCommand]

_Row = actions.OrderWire | actions.ModifyWire | actions.CancelByCloidWire
"""What stands for a command in an action."""

FOREIGN = ClientOrderId(0)
"""The id of fills that no order of ours made: ours begin far above it."""
_KEPT = 8192
_NS_PER_MS = 1_000_000
_SIDES = {"B": Side.BUY, "A": Side.SELL}
_KINDS = (
    ("Post only order would have immediately matched", RejectKind.POST_ONLY_CROSS),
    ("Insufficient margin", RejectKind.INSUFFICIENT_MARGIN),
    ("Insufficient spot balance", RejectKind.INSUFFICIENT_MARGIN),
    ("Order has insufficient spot balance", RejectKind.INSUFFICIENT_MARGIN),
    ("Reduce only order would increase", RejectKind.REDUCE_ONLY),
    ("Order was never placed", RejectKind.GONE),
    ("Cannot modify canceled or filled order", RejectKind.GONE),
    ("Error placing new order during modify", RejectKind.PLACE_LEG_FAILED),
    ("Too many cumulative requests", RejectKind.RATE_LIMITED),
    ("Price must be divisible", RejectKind.INVALID),
    ("Price too far from oracle", RejectKind.INVALID),
    ("Order has ", RejectKind.INVALID),
    ("Order must have minimum value", RejectKind.INVALID),
    ("Order price", RejectKind.INVALID),
    ("Only post-only orders allowed", RejectKind.HALTED),
    ("Trading is halted", RejectKind.HALTED),
)
_STATUS_KINDS = {
    "badAloPxRejected": RejectKind.POST_ONLY_CROSS,
    "perpMarginRejected": RejectKind.INSUFFICIENT_MARGIN,
    "insufficientSpotBalanceRejected": RejectKind.INSUFFICIENT_MARGIN,
    "reduceOnlyRejected": RejectKind.REDUCE_ONLY,
    "tickRejected": RejectKind.INVALID,
    "minTradeNtlRejected": RejectKind.INVALID,
    "minTradeSpotNtlRejected": RejectKind.INVALID,
    "oracleRejected": RejectKind.INVALID,
}
_UNDECIDED = ("Invalid nonce: duplicate nonce",)
"""Refusals that do not say whether the action happened: what bears the nonce may be another copy of this one."""


def kind_of(text: str) -> RejectKind:
    """A refusal in the house's words, by the beginning of the venue's."""
    text = text.removeprefix("L1 error: ")
    return next((kind for start, kind in _KINDS if text.startswith(start)), RejectKind.OTHER)


def ended(status: str) -> bool:
    """Whether an order of this status is over by cancellation: the list of reasons grows, their ending does not."""
    return status.endswith(("canceled", "Canceled", "Cancel"))


def rejected(status: str) -> bool:
    return status.endswith("ejected")


class _Own:
    """One order of ours. `oid`: of its newest version that was told of."""

    __slots__ = ("adopted", "amending", "asset", "client_id", "lots", "oid", "placing", "terms", "ticks")

    def __init__(self, asset: Asset, client_id: ClientOrderId, terms: Terms, ticks: int, lots: int) -> None:
        self.asset = asset
        self.client_id = client_id
        self.terms = terms
        self.ticks = ticks
        self.lots = lots
        self.oid: int | None = None
        self.placing = False
        """The placement is not answered yet."""
        self.amending = False
        self.adopted = False
        """It is of an earlier life, which may have sent an amend that nobody knows the outcome of."""


class OwnOrders:
    """The orders of the last few thousand client ids, by id and by oid."""

    def __init__(self, assets: Iterable[Asset], *, fast_cancels: bool = True) -> None:
        self._fast: bool | UnsetType = True if fast_cancels else UNSET
        self._assets = {asset.instrument.id: asset for asset in assets}
        self._coins = {asset.coin: asset for asset in self._assets.values()}
        self.any_spot = any(asset.instrument.spot for asset in self._assets.values())
        self._own: dict[ClientOrderId, _Own] = {}
        self._by_oid: dict[int, ClientOrderId] = {}

    @property
    def coins(self) -> Collection[str]:
        return self._coins.keys()

    # Commands

    def requested(self, batch: Batch, now_ns: int) -> tuple[list[tuple[actions.Action, Batch]], list[Event]]:
        """The actions that ask for a batch of one kind, each with its commands, and what is refused before it is sent.

        Post-only orders and those that may take never share an action: the venue would run the quotes with the takers.
        """
        asked: dict[str, tuple[list[_Row], list[OrderCommand]]] = {}
        refused: list[Event] = []
        for command in batch:
            try:
                name, row = self._row(command)
            except (KeyError, ValueError) as error:
                kind = RejectKind.GONE if isinstance(error, KeyError) else RejectKind.INVALID
                refused.append(refusal(command, str(error), now_ns, kind))
            else:
                rows, commands = asked.setdefault(name, ([], []))
                rows.append(row)
                commands.append(command)
        return [(self._action(rows), commands) for rows, commands in asked.values()], refused

    def _row(self, command: OrderCommand) -> tuple[str, _Row]:
        """What stands for a command in an action, and the name of the action. Raises KeyError for an order that is not
        known, ValueError for one of nothing."""
        asset = self._assets[command.instrument]
        if isinstance(command, CancelOrder):
            return "cancel", actions.CancelByCloidWire(asset.number, actions.cloid(command.client_id))
        if isinstance(command, PlaceOrder):
            kind = actions.ALO if command.post_only else actions.GTC
            if command.time_in_force is TimeInForce.IOC:
                kind = actions.IOC
            reduce_only = command.reduce_only and not asset.instrument.spot  # nothing else can be done there
            terms = Terms(command.side, reduce_only, kind)
            row = order_wire(asset, command.client_id, terms, command.ticks, command.lots)
            own = _Own(asset, command.client_id, terms, command.ticks, command.lots)
            own.placing = True
            self._remember(own)
            return f"place {kind.limit.tif}", row
        known = self._own.get(command.client_id)
        if known is None:
            raise KeyError(f"order {command.client_id} is not known")
        row = order_wire(asset, command.client_id, known.terms, command.ticks, command.lots)
        known.amending = True
        cloid = actions.cloid(command.client_id)
        return f"modify {known.terms.kind.limit.tif}", actions.ModifyWire(cloid, row)

    def _action(self, rows: list[_Row]) -> actions.Action:
        """The action of rows of one kind."""
        kind = type(rows[0])
        if kind is actions.OrderWire:
            return actions.Place(cast("list[actions.OrderWire]", rows))
        if kind is actions.ModifyWire:
            return actions.BatchModify(cast("list[actions.ModifyWire]", rows))
        return actions.CancelByCloid(cast("list[actions.CancelByCloidWire]", rows), self._fast)

    def _remember(self, own: _Own) -> None:
        self._own[own.client_id] = own
        if len(self._own) > _KEPT:
            gone = self._own.pop(next(iter(self._own)))
            if gone.oid is not None:
                self._by_oid.pop(gone.oid, None)

    def _named(self, own: _Own, oid: int) -> bool:
        """A version is told of: the newest has the highest number. Whether it took the place of another one."""
        self._belongs(own, oid)
        another = own.oid is not None and oid > own.oid
        if own.oid is None or another:
            own.oid = oid
        return another

    def _belongs(self, own: _Own, oid: int) -> None:
        self._by_oid[oid] = own.client_id
        if len(self._by_oid) > 2 * _KEPT:
            del self._by_oid[next(iter(self._by_oid))]

    def version(self, client_id: ClientOrderId) -> int | None:
        """The oid of an order's newest version that was told of."""
        own = self._own.get(client_id)
        return None if own is None else own.oid

    # Replies

    def replied(self, batch: Batch, reply: aw.Reply, now_ns: int) -> list[Event]:
        """What a reply says of each command of its action. One error may stand for all of them."""
        response = reply.response
        if isinstance(response, str):
            return self.refused(batch, response, now_ns)
        statuses = response.data.statuses if response.data is not None else []
        events: list[Event] = []
        for place, command in enumerate(batch):
            if place >= len(statuses):
                events.append(unknown(command, "the reply does not name it", now_ns))
            else:
                events += self._outcome(command, statuses[place], now_ns)
        return events

    def refused(self, batch: Batch, text: str, now_ns: int, kind: RejectKind | None = None) -> list[Event]:
        """The venue has refused a whole action, and done nothing unless its words leave that open."""
        if text.startswith(_UNDECIDED):
            return self.lost(batch, text, now_ns)
        for command in batch:
            self._answered(command)
        return [refusal(command, text, now_ns, kind) for command in batch]

    def lost(self, batch: Batch, text: str, now_ns: int) -> list[Event]:
        """Nobody knows whether the venue has seen an action."""
        return [unknown(command, text, now_ns) for command in batch]

    def _answered(self, command: OrderCommand) -> _Own | None:
        own = self._own.get(command.client_id)
        if own is not None and isinstance(command, PlaceOrder):
            own.placing = False
        if own is not None and isinstance(command, AmendOrder):
            own.amending = False
        return own

    def _outcome(self, command: OrderCommand, status: aw.Status | str, now_ns: int) -> list[Event]:
        own = self._answered(command)
        instrument, client_id = command.instrument, command.client_id
        if isinstance(status, str):
            return []  # a cancel's success: the order stream names the filled size; waitingFor...: never ours
        if status.error is not None:
            return [refusal(command, status.error, now_ns)]
        found = status.resting or status.filled
        if found is None or isinstance(command, CancelOrder):
            return [unknown(command, "the reply says nothing we know", now_ns)]
        if own is not None:
            self._named(own, found.oid)
        oid = str(found.oid)
        if isinstance(command, AmendOrder):
            if own is not None and own.oid == found.oid:
                own.ticks, own.lots = command.ticks, command.lots
            return [OrderAmended(instrument, 0, now_ns, client_id, oid, command.ticks, command.lots)]
        return [OrderAccepted(instrument, 0, now_ns, client_id, oid)]

    # Streams and questions

    def updated(self, update: aw.OrderUpdate, now_ns: int) -> list[Event]:
        """What the order stream says; nothing of orders that are not ours. Raises GridError."""
        found = self._of_row(update.order)
        if found is None:
            return []
        own, row, at_ns = found, update.order, update.statusTimestamp * _NS_PER_MS
        instrument, client_id, oid = own.asset.instrument.id, own.client_id, str(row.oid)
        if ended(update.status):
            return self._ended(own, row, at_ns, now_ns)
        if rejected(update.status):
            if not own.placing:
                return []  # the place leg of a modify: its reply says so
            kind = _STATUS_KINDS.get(update.status, RejectKind.OTHER)
            return [OrderRejected(instrument, at_ns, now_ns, client_id, kind, update.status)]
        if update.status != "open":
            return []  # filled: the fills say so; triggered: not ours
        if own.oid is not None and row.oid < own.oid:
            return []
        another = self._named(own, row.oid)
        ticks, lots = _ticks(own.asset, row.limitPx), _lots(own.asset, row.origSz or row.sz)
        changed = (ticks, lots) != (own.ticks, own.lots)
        own.ticks, own.lots = ticks, lots
        if another:
            return [OrderAmended(instrument, at_ns, now_ns, client_id, oid, ticks, lots)]
        events: list[Event] = [OrderAccepted(instrument, at_ns, now_ns, client_id, oid)]
        if changed and not own.amending:  # an order that only reduces is cut to the position
            events.append(OrderAmended(instrument, at_ns, now_ns, client_id, oid, ticks, lots))
        return events

    def answered(self, status: aw.OrderStatus, now_ns: int) -> list[Event]:
        """The answer to a question after one order: how it stands, or how it ended; nothing for `unknownOid`. Raises
        GridError."""
        if status.order is None:
            return []
        own = self._of_row(status.order.order)
        if own is not None and status.order.status == "filled":
            row, at_ns = status.order.order, status.order.statusTimestamp * _NS_PER_MS
            return self._ended(own, row, at_ns, now_ns)
        if own is not None and rejected(status.order.status):
            kind = _STATUS_KINDS.get(status.order.status, RejectKind.OTHER)
            at_ns, word = status.order.statusTimestamp * _NS_PER_MS, status.order.status
            return [OrderRejected(own.asset.instrument.id, at_ns, now_ns, own.client_id, kind, word)]
        if own is not None and status.order.status == "open":
            return [*self.updated(status.order, now_ns), self._status(own, status.order, now_ns)]
        return self.updated(status.order, now_ns)

    def _status(self, own: _Own, update: aw.OrderUpdate, now_ns: int) -> OrderStatus:
        """An open order as it stands."""
        row = update.order
        self._named(own, row.oid)
        own.ticks, own.lots = _ticks(own.asset, row.limitPx), _lots(own.asset, row.origSz or row.sz)
        return OrderStatus(
            own.asset.instrument.id,
            update.statusTimestamp * _NS_PER_MS,
            now_ns,
            own.client_id,
            str(row.oid),
            own.ticks,
            own.lots,
            own.lots - _lots(own.asset, row.sz),
        )

    def after_its_end(self, client_id: ClientOrderId, newest: aw.OrderUpdate, now_ns: int) -> list[Event]:
        """The venue was asked, and the order's newest version has ended: an amend that is in doubt found, or will find,
        nothing to modify."""
        own = self._own.get(client_id)
        over = newest.status == "filled" or ended(newest.status)
        if own is None or not over or not (own.amending or own.adopted):
            return []
        own.amending = own.adopted = False
        at_ns, text = newest.statusTimestamp * _NS_PER_MS, f"the order had ended: {newest.status}"
        return [OrderAmendRejected(own.asset.instrument.id, at_ns, now_ns, client_id, RejectKind.GONE, text)]

    def _ended(self, own: _Own, row: aw.OrderRow, at_ns: int, now_ns: int) -> list[Event]:
        """The end of one version, with the size that it had filled. One that nobody was told of was an amend's: its
        reply is lost, and the amend is told first."""
        instrument, client_id, oid = own.asset.instrument.id, own.client_id, str(row.oid)
        size = None if row.origSz is None else _lots(own.asset, row.origSz)
        events: list[Event] = []
        if self._named(own, row.oid) and size is not None:
            ticks = _ticks(own.asset, row.limitPx)
            events.append(OrderAmended(instrument, at_ns, now_ns, client_id, oid, ticks, size))
        filled = None if size is None else size - _lots(own.asset, row.sz)
        return [*events, OrderCanceled(instrument, at_ns, now_ns, client_id, oid, True, filled)]

    def _of_row(self, row: aw.OrderRow) -> _Own | None:
        """The order of ours that a row is about; one that an earlier run placed is taken up. Raises GridError."""
        asset, client_id = self._coins.get(row.coin), actions.client_id(row.cloid)
        side = _SIDES.get(row.side)
        if asset is None or client_id is None or side is None:
            return None
        own = self._own.get(client_id)
        if own is None:
            kind = {"Ioc": actions.IOC, "Gtc": actions.GTC}.get(row.tif or "", actions.ALO)
            terms = Terms(side, bool(row.reduceOnly), kind)
            own = _Own(asset, client_id, terms, _ticks(asset, row.limitPx), _lots(asset, row.origSz or row.sz))
            own.adopted = True
            self._remember(own)
        return own

    def filled(self, fill: aw.Fill, now_ns: int) -> OrderFilled | None:
        """One fill; None for a market that is not ours. Raises GridError."""
        asset, side = self._coins.get(fill.coin), _SIDES.get(fill.side)
        if asset is None or side is None:
            return None
        client_id = actions.client_id(fill.cloid)
        if client_id is None:
            client_id = self._by_oid.get(fill.oid, FOREIGN)
        return OrderFilled(
            asset.instrument.id,
            fill.time * _NS_PER_MS,
            now_ns,
            client_id,
            str(fill.oid),
            f"{fill.time}-{fill.tid}-{fill.oid}",
            side,
            _ticks(asset, fill.px),
            _lots(asset, fill.sz),
            not fill.crossed,
            *_fees(asset, fill),
        )

    def paid(self, coin: str, time_ms: int, usdc: str, now_ns: int) -> FundingPaid | None:
        """One funding payment; None for a market that is not ours. Raises GridError. What is below an atto is rounded
        against us."""
        asset = self._coins.get(coin)
        if asset is None:
            return None
        received = to_pair(from_text(usdc)[0])
        return FundingPaid(asset.instrument.id, time_ms * _NS_PER_MS, now_ns, received, f"{coin}@{time_ms}")

    def open_orders(self, rows: Iterable[aw.OrderRow]) -> tuple[OpenOrder, ...]:
        """What the account shows of our markets, foreign orders too. Raises GridError."""
        shown: list[OpenOrder] = []
        for row in rows:
            asset, side = self._coins.get(row.coin), _SIDES.get(row.side)
            if asset is None or side is None:
                continue
            own = self._of_row(row)
            if own is not None:
                self._belongs(own, row.oid)
            client_id = None if own is None else own.client_id
            ticks, lots = _ticks(asset, row.limitPx), _lots(asset, row.sz)
            shown.append(OpenOrder(asset.instrument.id, client_id, str(row.oid), side, ticks, lots))
        return tuple(shown)

    def positions(self, held: Iterable[aw.AssetPosition]) -> tuple[tuple[InstrumentId, int], ...]:
        """Raises GridError."""
        found = [(self._coins.get(each.position.coin), each.position.szi) for each in held]
        return tuple((asset.instrument.id, _lots(asset, size)) for asset, size in found if asset is not None)

    def balances(self, rows: Iterable[aw.Balance]) -> tuple[tuple[InstrumentId, int], ...]:
        """Positions of our spot pairs: whole lots of what is held of the base. Raises GridError."""
        totals = {row.coin: row.total for row in rows}
        return tuple(
            (asset.instrument.id, floor_units(totals.get(asset.instrument.base, "0"), asset.size_decimals)[0])
            for asset in self._assets.values()
            if asset.instrument.spot
        )

    def is_spot(self, instrument: InstrumentId) -> bool:
        asset = self._assets.get(instrument)
        return asset is not None and asset.instrument.spot


def refusal(command: OrderCommand, text: str, now_ns: int, kind: RejectKind | None = None) -> Event:
    """The venue has refused one command."""
    kind = kind_of(text) if kind is None else kind
    instrument, client_id = command.instrument, command.client_id
    if isinstance(command, PlaceOrder):
        return OrderRejected(instrument, 0, now_ns, client_id, kind, text)
    if isinstance(command, AmendOrder):
        return OrderAmendRejected(instrument, 0, now_ns, client_id, kind, text)
    return OrderCancelRejected(instrument, 0, now_ns, client_id, kind, text)


def unknown(command: OrderCommand, text: str, now_ns: int) -> CommandOutcomeUnknown:
    operation = OPERATIONS[type(command)]
    return CommandOutcomeUnknown(command.instrument, 0, now_ns, command.client_id, operation, text)


def _fees(asset: Asset, fill: aw.Fill) -> tuple[MoneyPair | None, MoneyPair | None]:
    """Fee in money, and how much was taken out of the base for it: the money is then its value at the fill's price.
    None for a fee in anything else. Rounded against us. Raises GridError."""
    atto, rest = from_text(fill.fee)
    if rest:
        atto += 1
    if fill.feeToken == asset.instrument.quote:
        return to_pair(atto), None
    if not (asset.instrument.spot and fill.feeToken == asset.instrument.base):
        return None, None
    price, one = Decimal(fill.px).as_integer_ratio()
    return to_pair(-(-atto * price // one)), to_pair(atto)


def _ticks(asset: Asset, text: str) -> int:
    return to_units(text, asset.instrument.tick, f"price of {asset.coin}")


def _lots(asset: Asset, text: str) -> int:
    return to_units(text, asset.instrument.lot, f"size of {asset.coin}")
