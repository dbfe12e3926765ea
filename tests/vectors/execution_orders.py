"""Execution vectors about orders: the ledger, the worst case, the outbox. Names are translated, nothing is computed."""

from collections.abc import Callable, Mapping
from typing import Any

from mm_daemon.core.batching import command_class
from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.core.order_table import LedgerChange
from mm_daemon.core.outbox import Outbox
from mm_daemon.core.planner import pair_levels
from mm_daemon.domain.capabilities import AmendQuantity, Bucket, BucketKind, Capabilities, CommandClass
from mm_daemon.domain.decisions import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    DropCode,
    PlaceOrder,
    Reason,
)
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    CommandSent,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderExpired,
    OrderFilled,
    OrderRejected,
)
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId, Operation, Purpose, RejectKind, Side
from mm_daemon.risk.checks import within_position_limits, worst_case
from tests.approval import approved, fold

_VENUE = Venue("vector")
_INSTRUMENT = InstrumentId("vector:XYZ")
_WHY = (Reason.NEW_QUOTE,)
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_REJECTS = {kind.value: kind for kind in RejectKind}


class _Ledger:
    """Drives an `OrderLedger` by a vector's events, as the core would."""

    def __init__(self, case: Mapping[str, Any]) -> None:
        quantity = AmendQuantity(case["amend_qty"])
        fresh = quantity is AmendQuantity.FRESH
        capabilities = Capabilities(amend=True, amend_quantity=quantity, amend_new_venue_id=fresh)
        self.ledger = OrderLedger({_VENUE: capabilities})
        self.position = case.get("position", 0)
        self.flags: list[str] = []
        self._sides: dict[int, Side] = {}

    def step(self, event: list[Any], now_ns: int) -> list[Any]:
        word, client_id, *values = event
        change = self._take(word, ClientOrderId(client_id), values, now_ns)
        if change is not None:
            self.position += change.fill_lots
            self.flags += [flag for flag in change.flags if flag not in self.flags]
        order = self.ledger.get(ClientOrderId(client_id))
        assert order is not None
        return [order.phase.value, order.exposure, self.position]

    def _take(self, word: str, cid: ClientOrderId, values: list[Any], now_ns: int) -> LedgerChange | None:
        ledger = self.ledger
        if word == "place":
            side, ticks, lots = values
            self._sides[cid] = _SIDES[side]
            ledger.queue(PlaceOrder(_INSTRUMENT, cid, _SIDES[side], 0, ticks, lots, _WHY), now_ns)
        elif word in ("amend", "cancel"):
            command: Command = CancelOrder(_INSTRUMENT, cid, _WHY)
            if word == "amend":
                command = AmendOrder(_INSTRUMENT, cid, values[0], values[1], _WHY)
            ledger.queue(command, now_ns)
            ledger.released(command, now_ns)
        elif word == "conflated":
            ledger.dropped(CancelOrder(_INSTRUMENT, cid, _WHY), DropCode.CONFLATED, now_ns)
            order = ledger.get(cid)
            assert order is not None
            place = PlaceOrder(_INSTRUMENT, cid, order.side, 0, order.ticks, order.lots, _WHY)
            ledger.dropped(place, DropCode.CONFLATED, now_ns)
        elif word == "proven_dead":
            return ledger.prove_dead(cid, now_ns)
        else:
            return ledger.apply(_event(word, cid, values, self._sides[cid], now_ns))
        return None


def _event(word: str, cid: ClientOrderId, values: list[Any], side: Side, now_ns: int) -> OrderEvent:
    head = (_INSTRUMENT, now_ns, now_ns, cid)
    if word == "sent":
        return CommandSent(*head, Operation(values[0]) if values else Operation.PLACE)
    if word == "accepted":
        return OrderAccepted(*head, values[0])
    if word == "rejected":
        return OrderRejected(*head, _reject_kind(values))
    if word == "fill":
        venue_order_id, key, lots = values
        return OrderFilled(*head, venue_order_id, key, side, 100, lots, True)
    if word == "unknown":
        return CommandOutcomeUnknown(*head, Operation(values[0]))
    if word == "amended":
        return OrderAmended(*head, *values)
    if word == "amend_rejected":
        return OrderAmendRejected(*head, _reject_kind(values))
    if word == "canceled":
        venue_order_id, final, cum, *rest = values
        return OrderCanceled(*head, venue_order_id or "", final, cum, bool(rest and rest[0]))
    if word == "cancel_rejected":
        return OrderCancelRejected(*head, _reject_kind(values))
    if word == "expired":
        return OrderExpired(*head, values[0] if values else None)
    raise KeyError(f"ledger event {word!r}")


def _reject_kind(values: list[Any]) -> RejectKind:
    return _REJECTS.get(values[0], RejectKind.OTHER) if values else RejectKind.OTHER


def ledger(case: Mapping[str, Any]) -> dict[str, Any]:
    driven = _Ledger(case)
    steps = [driven.step(event, now_ns) for now_ns, event in enumerate(case["events"], start=1)]
    return {"steps": steps, "duplicates": driven.ledger.duplicates, "flags": driven.flags}


def worst(case: Mapping[str, Any]) -> dict[str, Any]:
    exposure = {"buy": 0, "sell": 0}
    for side, lots, *_ in case["orders"]:
        exposure[side] += lots
    new_side, new_lots = case["new"]
    new = {"buy": 0, "sell": 0, new_side: new_lots}
    longest, shortest = worst_case(case["position"], exposure["buy"], exposure["sell"], new["buy"], new["sell"])
    limit = case["max_position"]
    least = case.get("min_position", -limit)
    ok = within_position_limits(_SIDES[new_side], longest, shortest, limit, least)
    return {"long": longest, "short": shortest, "ok": ok}


def outbox(case: Mapping[str, Any]) -> dict[str, Any]:
    costs = {CommandClass(name): cost for name, cost in case["costs"].items()}
    # A bucket of which `tokens` are usable: the outbox never uses the last tenth.
    bucket = Bucket(
        name="tokens",
        kind=BucketKind.TOKEN,
        capacity=-(-case["tokens"] * 10 // 9),
        period_ms=60_000,
        costs=costs,
        reserve=case["reserve"],
    )
    box = Outbox(Capabilities(buckets=(bucket,)), 1 << 60, fold)
    conflated: list[list[Any]] = []
    offers = [(name, number, _command(name, number)) for name, number in case["offers"]]
    numbers = {id(command): number for _, number, command in offers}  # a cancel_all carries no number of its own

    def named(command: Command) -> list[Any]:
        number = numbers.get(id(command)) if isinstance(command, CancelAll) else command.client_id
        return [command_class(command).value, number]

    for now_ns, (_, _, command) in enumerate(offers):
        conflated += [named(drop.command) for drop in box.offer(approved(command), now_ns)]
    released, _ = box.release(len(offers), 0)
    return {
        "released": [named(item.command) for item in released],
        "waiting": [named(command) for command in box.commands()],
        "conflated": conflated,
        "tokens_left": box.left("tokens"),
    }


def _command(name: str, number: Any) -> Command:
    if name == "cancel_all":
        return CancelAll(_VENUE, _WHY)
    cid = ClientOrderId(number)
    if name == "cancel":
        return CancelOrder(_INSTRUMENT, cid, _WHY)
    if name == "amend":
        return AmendOrder(_INSTRUMENT, cid, 101, 1, _WHY)
    purpose = Purpose.FLATTEN if name == "reduce" else Purpose.QUOTE
    return PlaceOrder(_INSTRUMENT, cid, Side.BUY, 0, 100, 1, _WHY, purpose=purpose)


def pairs(case: Mapping[str, Any]) -> dict[str, Any]:
    working = [(ClientOrderId(number), ticks) for number, ticks in case["working"]]
    targets = [(level, ticks) for level, ticks in case["targets"]]
    paired, surplus, places = pair_levels(_SIDES[case["side"]], working, targets)
    named = [[client_id, level, "move" if moves else "keep"] for client_id, level, moves in paired]
    return {"pairs": named, "cancel": surplus, "place": places}


ADAPTERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "ledger": ledger,
    "worst_case": worst,
    "outbox": outbox,
    "pair_levels": pairs,
}
