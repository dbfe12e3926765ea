"""Replies, streams and fills of Hyperliquid as events of the house."""

from typing import Any

import msgspec
import pytest

from connectors.hyperliquid import account_wire as aw
from connectors.hyperliquid import actions
from connectors.hyperliquid.orders import FOREIGN, OwnOrders, ended, kind_of, rejected
from connectors.hyperliquid.requests import Asset
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, PlaceOrder, Reason
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderRejected,
    OrderStatus,
)
from mm_daemon.domain.orders import ClientOrderId, Operation, Purpose, RejectKind, Side, TimeInForce
from tests.shared import shared_file
from tests.unit.connectors.hyperliquid.frames import BTC

CID = ClientOrderId(77)
WHY = (Reason.NEW_QUOTE,)
PLACE = PlaceOrder(BTC.id, CID, Side.BUY, 0, 830_000, 1000, WHY)
AMEND = AmendOrder(BTC.id, CID, 830_100, 900, WHY)
CANCEL = CancelOrder(BTC.id, CID, WHY)


def own(*commands: PlaceOrder | AmendOrder | CancelOrder) -> OwnOrders:
    """Orders after these commands were sent, one batch each."""
    made = OwnOrders([Asset.of(BTC, 0, 5, 40)])
    for command in commands:
        _, refused = made.requested([command], 1)
        assert not refused
    return made


def reply(*statuses: Any, kind: str = "order") -> aw.Reply:
    body = {"status": "ok", "response": {"type": kind, "data": {"statuses": list(statuses)}}}
    return aw.decode_reply(msgspec.json.encode(body))


def refusal(text: str) -> aw.Reply:
    return aw.decode_reply(msgspec.json.encode({"status": "err", "response": text}))


def update(
    oid: int, status: str, *, sz: str = "0.01", px: str = "83000.0", orig: str = "0.01", **more: Any
) -> aw.OrderUpdate:
    row = {"coin": "BTC", "side": "B", "limitPx": px, "sz": sz, "oid": oid, "timestamp": 5, "origSz": orig}
    body = {"order": {**row, "cloid": actions.cloid(CID), **more}, "status": status, "statusTimestamp": 6}
    return msgspec.convert(body, aw.OrderUpdate)


def only(events: list[Event]) -> Event:
    (event,) = events
    return event


def test_quotes_and_takers_never_share_an_action() -> None:
    """The venue would run the quotes with the takers, behind the cancels."""
    taker = PlaceOrder(
        BTC.id, ClientOrderId(78), Side.SELL, 0, 830_000, 10, WHY, False, True, TimeInForce.IOC, Purpose.HEDGE
    )
    asked, refused = own().requested([PLACE, taker, PLACE], 1)
    assert not refused
    kinds = [[row.t.limit.tif for row in action.orders] for action, _ in asked if isinstance(action, actions.Place)]
    assert kinds == [["Alo", "Alo"], ["Ioc"]]
    assert [part for _, part in asked] == [[PLACE, PLACE], [taker]]


def test_an_order_of_nothing_is_refused_here() -> None:
    """It never reaches the venue, which might read it as the whole position."""
    asked, refused = own().requested([msgspec.structs.replace(PLACE, lots=0), PLACE], 1)
    assert [part for _, part in asked] == [[PLACE]]
    event = only(refused)
    assert isinstance(event, OrderRejected) and event.kind is RejectKind.INVALID


def test_amend_says_the_whole_order_again() -> None:
    """Side, kind and client id as they were placed; the target is named by our own id."""
    ((action, _),), _ = own(PLACE).requested([AMEND], 1)
    assert isinstance(action, actions.BatchModify)
    (row,) = action.modifies
    assert (row.oid, row.order.c) == (actions.cloid(CID), actions.cloid(CID))
    assert (row.order.b, row.order.p, row.order.s, row.order.t) == (True, "83010", "0.009", actions.ALO)
    event = only(OwnOrders([Asset.of(BTC, 0, 5)]).requested([AMEND], 1)[1])
    assert isinstance(event, OrderAmendRejected) and event.kind is RejectKind.GONE


def test_cancels_are_sent_by_our_id_and_marked_as_fast() -> None:
    """`f` is true, for the venue puts only those ahead of others; where it is not wanted it is not there."""
    ((action, _),), _ = own(PLACE).requested([CANCEL], 1)
    assert msgspec.to_builtins(action) == {
        "type": "cancelByCloid",
        "cancels": [{"asset": 0, "cloid": actions.cloid(CID)}],
        "f": True,
    }
    ((action, _),), _ = OwnOrders([Asset.of(BTC, 0, 5)], fast_cancels=False).requested([CANCEL], 1)
    assert "f" not in msgspec.to_builtins(action)


def test_modify_is_one_story_whatever_comes_first() -> None:
    """Old version cancelled, new one open, reply: in any order the amend is told and the old id ends with its fills."""
    gone, fresh = update(500, "canceled", sz="0.004"), update(501, "open", px="83010.0", sz="0.009", orig="0.009")
    answer = reply({"resting": {"oid": 501}})
    for order in ("gfr", "fgr", "rgf", "grf", "frg", "rfg"):
        orders = own(PLACE)
        orders.replied([PLACE], reply({"resting": {"oid": 500}}), 2)
        orders.requested([AMEND], 3)
        told: list[Event] = []
        for step in order:
            told += {
                "g": lambda made=orders: made.updated(gone, 4),
                "f": lambda made=orders: made.updated(fresh, 4),
                "r": lambda made=orders: made.replied([AMEND], answer, 4),
            }[step]()
        amends = [event for event in told if isinstance(event, OrderAmended)]
        assert {(event.venue_order_id, event.ticks, event.lots) for event in amends} == {("501", 830_100, 900)}, order
        ends = [event for event in told if isinstance(event, OrderCanceled)]
        assert [(event.venue_order_id, event.filled_lots, event.final) for event in ends] == [("500", 600, True)]


def test_one_error_stands_for_the_whole_batch() -> None:
    """Fanned out to every command, in the house's words."""
    other = msgspec.structs.replace(PLACE, client_id=ClientOrderId(78))
    told = own(PLACE, other).replied([PLACE, other], refusal("Price must be divisible by tick size."), 2)
    assert [(event.client_id, event.kind) for event in told if isinstance(event, OrderRejected)] == [
        (CID, RejectKind.INVALID),
        (ClientOrderId(78), RejectKind.INVALID),
    ]


def test_used_nonce_leaves_the_outcome_open() -> None:
    """Another copy of the same bytes may have been taken; a nonce that is too low was taken by nobody."""
    event = only(own(PLACE).replied([PLACE], refusal("Invalid nonce: duplicate nonce 5"), 2))
    assert isinstance(event, CommandOutcomeUnknown) and event.operation is Operation.PLACE
    event = only(own(PLACE).replied([PLACE], refusal("Invalid nonce: nonce too low 5 < 6"), 2))
    assert isinstance(event, OrderRejected)


def test_missing_status_leaves_the_outcome_open() -> None:
    """Nothing is guessed."""
    assert isinstance(only(own(PLACE).replied([PLACE], reply(), 2)), CommandOutcomeUnknown)
    assert isinstance(only(own(PLACE).replied([PLACE], reply({}), 2)), CommandOutcomeUnknown)


def test_success_of_a_cancel_waits_for_the_stream() -> None:
    """Only the stream names the size that was filled before; the reply alone would hide a fill on its way."""
    orders = own(PLACE, CANCEL)
    assert orders.replied([CANCEL], reply("success", kind="cancel"), 2) == []
    event = only(orders.updated(update(500, "canceled", sz="0.007"), 3))
    assert isinstance(event, OrderCanceled) and event.filled_lots == 300
    text = "Order was never placed, already canceled, or filled. asset=0"
    event = only(orders.replied([CANCEL], reply({"error": text}, kind="cancel"), 2))
    assert isinstance(event, OrderCancelRejected) and event.kind is RejectKind.GONE


def test_order_that_only_reduces_is_cut_in_silence() -> None:
    """The stream shows the smaller size, which becomes the order's."""
    orders = own(msgspec.structs.replace(PLACE, reduce_only=True))
    told = orders.updated(update(500, "open", sz="0.004", orig="0.004", reduceOnly=True), 3)
    assert [type(event) for event in told] == [OrderAccepted, OrderAmended]
    assert isinstance(told[1], OrderAmended) and told[1].lots == 400


def test_older_news_of_an_order_change_nothing() -> None:
    """A version that was replaced is not open again."""
    orders = own(PLACE)
    orders.updated(update(501, "open"), 3)
    assert orders.updated(update(500, "open"), 4) == []


def test_order_of_an_earlier_life_is_taken_up() -> None:
    """Its side and kind are those that the venue shows, so that it can be amended."""
    orders = own()
    (shown,) = orders.open_orders([update(500, "open", side="A", tif="Gtc", reduceOnly=True).order])
    assert (shown.client_id, shown.side, shown.ticks, shown.remaining_lots) == (CID, Side.SELL, 830_000, 1000)
    ((action, _),), _ = orders.requested([AMEND], 1)
    assert isinstance(action, actions.BatchModify)
    (row,) = action.modifies
    assert (row.order.b, row.order.r, row.order.t) == (False, True, actions.GTC)


def test_foreign_orders_and_fills_are_shown_as_such() -> None:
    """Somebody's hand: no id of ours, and the fill moves the position all the same."""
    orders = own()
    row = update(9, "open", cloid=None).order
    assert orders.updated(update(9, "open", cloid="0x" + "12" * 16), 3) == []
    (shown,) = orders.open_orders([row])
    assert shown.client_id is None
    fill = aw.Fill("BTC", "83000.0", "0.01", "A", 7, 9, True, "0.1", "USDC", 11)
    told = orders.filled(fill, 8)
    assert told is not None
    assert (told.client_id, told.side, told.lots, told.maker) == (FOREIGN, Side.SELL, 1000, False)


def test_fill_without_a_client_id_is_found_by_its_order() -> None:
    """Older frames leave the cloid out."""
    orders = own(PLACE)
    orders.replied([PLACE], reply({"resting": {"oid": 500}}), 2)
    told = orders.filled(aw.Fill("BTC", "83000.0", "0.01", "B", 7, 500, False, "-0.0000001", "USDC", 11), 8)
    assert told is not None
    assert (told.client_id, told.fill_key, told.maker) == (CID, "7-11-500", True)
    assert told.fee == (-1, 10**18 - 10**11)
    other = orders.filled(aw.Fill("BTC", "83000.0", "0.01", "B", 7, 500, False, "1", "HYPE", 11), 8)
    assert other is not None and other.fee is None


@pytest.mark.parametrize(
    ("status", "event"),
    [
        ("filled", OrderCanceled),
        ("marginCanceled", OrderCanceled),
        ("badAloPxRejected", OrderRejected),
        ("open", OrderStatus),
    ],
)
def test_question_is_answered_by_the_orders_fate(status: str, event: type[Event]) -> None:
    """What ended names its filled size; what is unknown says nothing."""
    orders = own(PLACE)
    answer = aw.OrderStatus("order", update(500, status, sz="0.0" if status == "filled" else "0.01"))
    *_, told = orders.answered(answer, 3)
    assert isinstance(told, event)
    if status == "filled":
        assert isinstance(told, OrderCanceled) and told.filled_lots == 1000
    assert orders.answered(aw.OrderStatus("unknownOid"), 3) == []


def test_every_status_of_the_venue_has_a_meaning() -> None:
    """By its ending, as the list grows."""
    facts = shared_file("venues/hyperliquid/FACTS.md").read_text("utf-8")
    line = next(line for line in facts.splitlines() if "badAloPxRejected" in line and "scheduledCancel" in line)
    words = {word.strip(",;.:()*") for word in line.replace(";", " ").replace(",", " ").split()}
    statuses = {word for word in words if word.endswith(("Canceled", "Rejected")) or word == "scheduledCancel"}
    statuses = {word for word in statuses if word[0].islower()}
    assert len(statuses) > 20
    assert all(ended(word) != rejected(word) for word in statuses)
    assert ended("canceled") and rejected("rejected")
    assert not ended("open") and not ended("filled") and not rejected("triggered")


def test_every_error_text_of_the_documents_is_sorted() -> None:
    """Nothing that the core treats in a way of its own falls under other."""
    assert kind_of("L1 error: Insufficient margin to place order. asset=4") is RejectKind.INSUFFICIENT_MARGIN
    assert kind_of("Error placing new order during modify: Post only order would") is RejectKind.PLACE_LEG_FAILED
    assert kind_of("Cannot modify canceled or filled order") is RejectKind.GONE
    assert kind_of("Order has zero size.") is RejectKind.INVALID
    assert kind_of("Too many cumulative requests sent (2 > 1)") is RejectKind.RATE_LIMITED
    assert kind_of("something new") is RejectKind.OTHER


def test_amend_in_doubt_is_over_when_its_order_has_ended() -> None:
    """A modify finds nothing any more, whenever it arrives: told once, and only where an amend may be on its way."""
    orders = own(PLACE)
    ended_now = update(500, "filled", sz="0.0")
    orders.answered(aw.OrderStatus("order", ended_now), 3)
    assert orders.after_its_end(CID, ended_now, 3) == []
    orders.requested([AMEND], 4)
    assert orders.after_its_end(CID, update(500, "open"), 5) == []
    event = only(orders.after_its_end(CID, ended_now, 5))
    assert isinstance(event, OrderAmendRejected) and event.kind is RejectKind.GONE
    assert orders.after_its_end(CID, ended_now, 6) == []
    earlier = own()
    earlier.answered(aw.OrderStatus("order", ended_now), 3)
    assert isinstance(only(earlier.after_its_end(CID, ended_now, 3)), OrderAmendRejected)
