"""Orders through ccxt: commands to the arguments of its methods, its orders and trades to events.

`OrderBookkeeping` keeps, of each order of ours, its name at the venue and what was last told of it. An outcome comes
as reply and by the stream, in either order, and venues stamp both with milliseconds: a report is news when it is newer
than what was told, or as new and as we asked for.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors.ccxt.contracts import Contract
from connectors.ccxt.dialects import Dialect
from connectors.ccxt.fees import FeeNotPriced, FeePrices, Pair, charged_amount, valued
from connectors.ccxt.legs import Legs, hedged_params
from connectors.ccxt.outcomes import Outcome
from mm_daemon.domain.decisions import OPERATIONS, AmendOrder, CancelOrder, OrderCommand, PlaceOrder
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import (
    ChargedIn,
    CommandOutcomeUnknown,
    FundingPaid,
    OpenOrder,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderFilled,
    OrderRejected,
    OrderStatus,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.money import MoneyPair, from_text, to_pair
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side, TimeInForce

Row = Mapping[str, Any]

_KEPT = 8192
_NS_PER_MS = 1_000_000
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_WORDS = {Side.BUY: "buy", Side.SELL: "sell"}
_ENDED = ("closed", "canceled", "expired", "rejected")
_CLIENT_ID_KEYS = ("c", "clientOrderId", "clOrdId", "orderLinkId", "clientOid", "cliOrdId", "client_oid", "text")
_AMEND_FAILED = "-1"
"""OKX, on the stream: an amend that was taken and then could not be done."""


class Known:
    """One order of ours: its name at the venue, and what was last told of it. `asked` is where it shall be."""

    __slots__ = ("accepted", "asked", "contract", "ended", "lots", "side", "ticks", "told_ms", "venue_id")

    def __init__(self, contract: Contract, side: Side, ticks: int, lots: int) -> None:
        self.contract = contract
        self.side = side
        self.ticks = ticks
        self.lots = lots
        self.asked = (ticks, lots)
        self.venue_id = ""
        self.told_ms = 0
        self.accepted = False
        self.ended = False


class OrderBookkeeping:
    """The last few thousand orders of one venue, by our id and by the venue's."""

    def __init__(
        self,
        contracts: Iterable[Contract],
        prefix: str,
        dialect: Dialect,
        legs: Legs | None = None,
        prices: FeePrices | None = None,
    ) -> None:
        """`legs` in two-way position mode; `prices` of other currencies, for fees."""
        self.legs = legs
        self._prices = prices
        self.contracts: Mapping[InstrumentId, Contract] = {each.instrument.id: each for each in contracts}
        self.by_symbol: Mapping[str, Contract] = {each.unified: each for each in self.contracts.values()}
        self._prefix = prefix
        self._negated_fee_key = dialect.negated_fee_key
        self._fee_currency_key = dialect.fee_currency_key
        self._spelt = re.compile(rf"^{prefix}([0-9]{{1,18}})$")
        self._known: dict[ClientOrderId, Known] = {}
        self._by_venue_id: dict[str, ClientOrderId | None] = {}

    # Names

    def spell(self, client_id: ClientOrderId) -> str:
        return f"{self._prefix}{client_id}"

    def read_id(self, text: object) -> ClientOrderId | None:
        """The order of ours that a venue's client id names; None: it is not ours."""
        found = self._spelt.match(text) if isinstance(text, str) else None
        return ClientOrderId(int(found[1])) if found else None

    def known(self, client_id: ClientOrderId) -> Known | None:
        return self._known.get(client_id)

    def alive(self) -> list[ClientOrderId]:
        return [client_id for client_id, known in self._known.items() if not known.ended]

    def note_name(self, venue_id: str, client_id: ClientOrderId | None) -> None:
        """Whose order a venue's id is; None: not ours."""
        if not venue_id:
            return
        self._by_venue_id[venue_id] = client_id
        if len(self._by_venue_id) > _KEPT:
            del self._by_venue_id[next(iter(self._by_venue_id))]

    def is_named(self, venue_id: str) -> bool:
        return venue_id in self._by_venue_id

    def owner(self, row: Row) -> ClientOrderId | None:
        """Whose order a trade or an order is about; None: not ours, or not known."""
        client_id = self.read_id(row.get("clientOrderId"))
        info = row.get("info")
        if client_id is None and isinstance(info, dict):
            client_id = next((id_ for key in _CLIENT_ID_KEYS if (id_ := self.read_id(info.get(key))) is not None), None)
        return client_id if client_id is not None else self._by_venue_id.get(str(row.get("order") or ""))

    # Commands

    def sent(self, command: OrderCommand) -> None:
        """A command is about to leave."""
        if isinstance(command, PlaceOrder):
            self._known[command.client_id] = Known(
                self.contracts[command.instrument], command.side, command.ticks, command.lots
            )
            if len(self._known) > _KEPT:
                del self._known[next(iter(self._known))]
        elif isinstance(command, AmendOrder) and (known := self._known.get(command.client_id)) is not None:
            known.asked = (command.ticks, command.lots)

    def place_item(self, command: PlaceOrder, params: Mapping[str, object]) -> dict[str, Any]:
        """An element of `create_orders`, and the arguments of `create_order`."""
        contract = self.contracts[command.instrument]
        wanted: dict[str, object] = {**params, "clientOrderId": self.spell(command.client_id)}
        if command.post_only:
            wanted["postOnly"] = True
        elif command.time_in_force is TimeInForce.IOC:
            wanted["timeInForce"] = "IOC"
        if self.legs is not None:
            wanted |= hedged_params(closes=self.legs.closes(command.client_id))
        elif command.reduce_only:
            wanted["reduceOnly"] = True
        return {
            "symbol": contract.unified,
            "type": "limit",
            "side": _WORDS[command.side],
            "amount": contract.amount(command.lots),
            "price": contract.price(command.ticks),
            "params": wanted,
        }

    def amend_item(self, command: AmendOrder, params: Mapping[str, object]) -> dict[str, Any] | None:
        """An element of `edit_orders`; None when the order's name or side at the venue is not known."""
        known = self._known.get(command.client_id)
        if known is None or not known.venue_id:
            return None
        return {
            "id": known.venue_id,
            "symbol": known.contract.unified,
            "type": "limit",
            "side": _WORDS[known.side],
            "amount": known.contract.amount(command.lots),
            "price": known.contract.price(command.ticks),
            "params": dict(params),
        }

    # Outcomes

    def refusal(self, command: OrderCommand, outcome: Outcome, now_ns: int) -> OrderEvent:
        """The venue has refused a command, and done nothing; or nobody knows."""
        instrument, client_id, text = command.instrument, command.client_id, outcome.text
        if outcome.kind is None:
            return CommandOutcomeUnknown(instrument, 0, now_ns, client_id, OPERATIONS[type(command)], text)
        if isinstance(command, AmendOrder):
            if outcome.no_change:
                return self._amended(command, now_ns)
            return OrderAmendRejected(instrument, 0, now_ns, client_id, outcome.kind, text)
        if isinstance(command, CancelOrder):
            return OrderCancelRejected(instrument, 0, now_ns, client_id, outcome.kind, text)
        self._known.pop(client_id, None)
        return OrderRejected(instrument, 0, now_ns, client_id, outcome.kind, text)

    def _amended(self, command: AmendOrder, now_ns: int) -> OrderAmended:
        """The order is where it was to be moved."""
        known = self._known[command.client_id]
        known.ticks, known.lots = command.ticks, command.lots
        return OrderAmended(
            command.instrument, 0, now_ns, command.client_id, known.venue_id, command.ticks, command.lots
        )

    def replied(self, command: OrderCommand, row: Row, now_ns: int, *, acks_only: bool) -> list[OrderEvent]:
        """The reply to a command that was not refused. `acks_only`: it says no more than that; what came of an amend
        or a cancel is told by the stream. Raises GridError."""
        status = row.get("status")
        if isinstance(command, PlaceOrder) and status in (None, "open"):
            return self._accepted(command.client_id, str(row.get("id") or ""), _at_ms(row), now_ns)
        if isinstance(command, CancelOrder) and status not in _ENDED:
            return []  # it is being cancelled: the stream tells
        if isinstance(command, AmendOrder) and status in (None, "open"):
            known = self._known.get(command.client_id)
            if known is None:
                return []
            self._rename(known, command.client_id, str(row.get("id") or ""))
            if acks_only:
                return []
            if known.ended or (known.ticks, known.lots) == (command.ticks, command.lots):
                return []  # told by the stream
            known.told_ms = max(known.told_ms, _at_ms(row))
            return [self._amended(command, now_ns)]
        return self.reported(row, now_ns, client_id=command.client_id)

    def reported(
        self, row: Row, now_ns: int, *, client_id: ClientOrderId | None = None, again: bool = False
    ) -> list[OrderEvent]:
        """What a report of an order says; nothing when it is no news, or not ours. `again`: a question wants its
        answer. Raises GridError."""
        client_id = client_id if client_id is not None else self.owner(row)
        contract = self.by_symbol.get(str(row.get("symbol")))
        venue_id, at_ms = str(row.get("id") or ""), _at_ms(row)
        if client_id is None:
            self.note_name(venue_id, None)
            return []
        if contract is None:
            known = self._known.get(client_id)
            if known is None:
                return []
            contract = known.contract
        known = self._known.get(client_id)
        if known is None:
            known = self._adopt(client_id, contract, row)
        self._rename(known, client_id, venue_id)
        if row.get("status") in _ENDED:
            return self._ended(known, client_id, row, now_ns, again=again)
        if known.ended or at_ms < known.told_ms:
            return []
        if again:
            return self._stands(known, client_id, row, now_ns)
        info = row.get("info")
        if isinstance(info, dict) and info.get("amendResult") == _AMEND_FAILED:
            text = str(info.get("msg") or "the venue could not amend it")
            return [OrderAmendRejected(contract.instrument.id, 0, now_ns, client_id, RejectKind.OTHER, text)]
        newer = at_ms > known.told_ms
        events = self._accepted(client_id, venue_id, at_ms, now_ns)
        return events + self._moved(known, client_id, row, now_ns, newer=newer)

    def _stands(self, known: Known, client_id: ClientOrderId, row: Row, now_ns: int) -> list[OrderEvent]:
        """The answer to a question after an order that is open."""
        contract, at_ms = known.contract, _at_ms(row)
        known.ticks, known.lots = contract.ticks(row.get("price")), contract.lots(row.get("amount"))
        known.told_ms = max(known.told_ms, at_ms)
        filled, at_ns = contract.lots(row.get("filled") or 0), at_ms * _NS_PER_MS
        instrument, name = contract.instrument.id, known.venue_id
        return [OrderStatus(instrument, at_ns, now_ns, client_id, name, known.ticks, known.lots, filled)]

    def _moved(self, known: Known, client_id: ClientOrderId, row: Row, now_ns: int, *, newer: bool) -> list[OrderEvent]:
        """Price or size differ from what was told."""
        if row.get("price") is None or row.get("amount") is None:
            return []
        ticks, lots, at_ms = known.contract.ticks(row["price"]), known.contract.lots(row["amount"]), _at_ms(row)
        if (ticks, lots) == (known.ticks, known.lots) or (not newer and (ticks, lots) != known.asked):
            return []
        known.ticks, known.lots, known.told_ms = ticks, lots, at_ms
        instrument = known.contract.instrument.id
        return [OrderAmended(instrument, at_ms * _NS_PER_MS, now_ns, client_id, known.venue_id, ticks, lots)]

    def _ended(self, known: Known, client_id: ClientOrderId, row: Row, now_ns: int, *, again: bool) -> list[OrderEvent]:
        """An order that is over. That it is filled is told by its fills; only a question is answered by it."""
        if known.ended and not again:
            return []
        status, at_ms, instrument = row.get("status"), _at_ms(row), known.contract.instrument.id
        filled = known.contract.lots(row["filled"]) if row.get("filled") is not None else None
        known.ended, known.told_ms = True, max(known.told_ms, at_ms)
        whole = known.contract.lots(row["amount"]) if row.get("amount") is not None else known.lots
        if status == "closed" and not again and (filled is None or filled >= whole):
            return []  # ccxt says closed of orders that ended with a part unfilled, too
        if status == "rejected" and not filled:
            text = "the venue ended it as rejected"
            return [OrderRejected(instrument, at_ms * _NS_PER_MS, now_ns, client_id, RejectKind.OTHER, text)]
        at_ns = at_ms * _NS_PER_MS
        return [OrderCanceled(instrument, at_ns, now_ns, client_id, known.venue_id, filled_lots=filled)]

    def _accepted(self, client_id: ClientOrderId, venue_id: str, at_ms: int, now_ns: int) -> list[OrderEvent]:
        known = self._known[client_id]
        self._rename(known, client_id, venue_id)
        known.told_ms = max(known.told_ms, at_ms)
        if known.ended or known.accepted:
            return []
        known.accepted = True
        return [OrderAccepted(known.contract.instrument.id, at_ms * _NS_PER_MS, now_ns, client_id, known.venue_id)]

    def _rename(self, known: Known, client_id: ClientOrderId, venue_id: str) -> None:
        if venue_id:
            known.venue_id = venue_id
            self.note_name(venue_id, client_id)

    def _adopt(self, client_id: ClientOrderId, contract: Contract, row: Row) -> Known:
        """An order of ours that this process did not send. Raises GridError."""
        side = _SIDES.get(str(row.get("side")))
        if side is None:
            raise GridError(f"order {row.get('id')}: {row.get('side')!r} is no side")
        known = Known(contract, side, contract.ticks(row.get("price")), contract.lots(row.get("amount")))
        self._known[client_id] = known
        return known

    # Account

    def filled(self, row: Row, now_ns: int) -> OrderFilled | None:
        """A trade of ours; None on a symbol that is not ours. A fill of an order that is not ours has the client id 0,
        which no order of ours has. Raises GridError, or FeeNotPriced."""
        contract, info = self.by_symbol.get(str(row.get("symbol"))), row.get("info")
        side = _SIDES.get(str(row.get("side")))
        if contract is None or (isinstance(info, dict) and info.get("matchSize") == ""):
            return None  # KuCoin's reports of orders, which ccxt takes for trades when they name the last one
        if side is None or row.get("id") is None:
            raise GridError(f"trade of {contract.instrument.id}: no side or no id")
        client_id, venue_id = self.owner(row), str(row.get("order") or "")
        if client_id is not None:
            self.note_name(venue_id, client_id)
        fee, charged = self._fee(row, contract)
        return OrderFilled(
            contract.instrument.id,
            int(row.get("timestamp") or 0) * _NS_PER_MS,
            now_ns,
            client_id if client_id is not None else ClientOrderId(0),
            venue_id,
            str(row["id"]),
            side,
            contract.ticks(row.get("price")),
            contract.lots(row.get("amount")),
            row.get("takerOrMaker") == "maker",
            fee,
            charged=charged,
        )

    def fee_pair(self, row: Row) -> Pair | None:
        """The fee's currency and that of settlement, of a trade of ours whose fee is not in the latter."""
        contract, fee, info = self.by_symbol.get(str(row.get("symbol"))), row.get("fee"), row.get("info")
        if contract is None or not isinstance(fee, dict) or fee.get("cost") is None:
            return None
        settled_in, currency = contract.instrument.quote, fee.get("currency")
        if self._fee_currency_key is not None and isinstance(info, dict):
            currency = info.get(self._fee_currency_key) or currency
        return None if currency in (None, settled_in) else (str(currency), settled_in)

    def _fee(self, row: Row, contract: Contract) -> tuple[MoneyPair | None, ChargedIn | None]:
        """What it is worth, None when the venue named none; and how that was counted, in another currency."""
        fee, info = row.get("fee"), row.get("info")
        if not isinstance(fee, dict) or fee.get("cost") is None:
            return None, None
        negated = self._negated_fee_key is not None and isinstance(info, dict) and self._negated_fee_key in info
        atto = charged_amount(fee["cost"], contract.instrument.id, negated=negated)
        pair = self.fee_pair(row)
        if pair is None or not atto:
            return to_pair(atto), None
        if self._prices is None:
            raise FeeNotPriced(pair)
        return valued(atto, pair[0], self._prices.price(pair))

    def paid(self, row: Row, now_ns: int) -> FundingPaid | None:
        """A funding payment, positive when received. Raises GridError."""
        contract = self.by_symbol.get(str(row.get("symbol")))
        if contract is None:
            return None
        at_ns = int(row.get("timestamp") or 0) * _NS_PER_MS
        atto, _ = from_text(str(row.get("amount")))
        key = str(row.get("id") or f"{contract.unified}@{at_ns}")
        return FundingPaid(contract.instrument.id, at_ns, now_ns, to_pair(atto), key)

    def open_order(self, row: Row) -> OpenOrder | None:
        """None on a symbol that is not ours. Raises GridError."""
        contract, side = self.by_symbol.get(str(row.get("symbol"))), _SIDES.get(str(row.get("side")))
        if contract is None or side is None or row.get("status") not in (None, "open"):
            return None
        client_id, venue_id = self.owner(row), str(row.get("id") or "")
        self.note_name(venue_id, client_id)
        if client_id is not None:
            known = self._known.get(client_id) or self._adopt(client_id, contract, row)
            self._rename(known, client_id, venue_id)
        lots, filled = contract.lots(row.get("amount")), contract.lots(row.get("filled") or 0)
        ticks = contract.ticks(row.get("price"))
        return OpenOrder(contract.instrument.id, client_id, venue_id, side, ticks, lots - filled)

    def position(self, row: Row) -> tuple[InstrumentId, int] | None:
        """Net lots. ccxt gives the count without its sign. Raises GridError."""
        contract = self.by_symbol.get(str(row.get("symbol")))
        if contract is None or row.get("contracts") is None:
            return None
        lots, side = abs(contract.lots(row["contracts"])), row.get("side")
        if lots and side not in ("long", "short"):
            raise GridError(f"position of {contract.instrument.id}: {side!r} is no side")
        return contract.instrument.id, -lots if side == "short" else lots


def _at_ms(row: Row) -> int:
    """When an order last changed, as far as the venue says."""
    return max(int(row.get(key) or 0) for key in ("lastUpdateTimestamp", "lastTradeTimestamp", "timestamp"))


def by_client(rows: Sequence[Row], batch: Sequence[OrderCommand], kept: OrderBookkeeping) -> list[Row | None]:
    """The row of a batch's reply that belongs to each command: by our id where it is named, else by its place where
    there are as many rows as commands; None: the reply does not name it."""
    named = {client_id: row for row in rows if (client_id := kept.owner(row) or _by_id(row, kept)) is not None}
    found: list[Row | None] = []
    for place, command in enumerate(batch):
        row = named.get(command.client_id)
        if row is None and len(rows) == len(batch):
            other = rows[place]
            row = other if kept.owner(other) is None and _by_id(other, kept) is None else None
        found.append(row)
    return found


def _by_id(row: Row, kept: OrderBookkeeping) -> ClientOrderId | None:
    return kept.owner({"order": row.get("id")})
