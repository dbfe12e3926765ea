"""Our orders at Lighter: what a command becomes, and what reports, trades and records make of it."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from connectors.lighter import transactions as tx
from connectors.lighter import wire
from connectors.lighter.orders import OwnOrders, kind_of
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, PlaceOrder, Reason
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import (
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderExpired,
    OrderRejected,
    OrderStatus,
)
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.money import from_pair
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side, TimeInForce
from tests.shared import shared_file

ACCOUNT = 12_345
ETH = Instrument(
    venue=Venue("lighter"), symbol="ETH", base="ETH", quote="USDC", tick=Decimal("0.01"), lot=Decimal("0.0001")
)
WHY = (Reason.NEW_QUOTE,)
PLACE = PlaceOrder(ETH.id, ClientOrderId(42), Side.SELL, 0, 235_274, 50, WHY)
NOW_NS = 1_790_000_000_000_000_000
ROW: dict[str, Any] = {
    "order_index": 281_476_929_510_110,
    "client_order_index": 42,
    "market_index": 0,
    "initial_base_amount": "0.0050",
    "price": "2352.74",
    "remaining_base_amount": "0.0050",
    "filled_base_amount": "0.0000",
    "is_ask": True,
    "status": "open",
    "transaction_time": 1_777_941_383_576_735,
}


def orders() -> OwnOrders:
    return OwnOrders({0: ETH}, ACCOUNT, 86_400)


def reported(own: OwnOrders, *, again: bool = False, later_us: int = 0, **changes: Any) -> list[OrderEvent]:
    row = msgspec.convert(ROW | changes, wire.Order)
    row.transaction_time += later_us
    return own.reported(row, NOW_NS, again=again)


def _captured(name: str) -> Any:
    return json.loads(shared_file(f"venues/lighter/messages/{name}.json").read_bytes())["message"]


# Commands


def test_quote_is_a_post_only_order_with_an_expiry_of_its_own() -> None:
    """The venue wants five minutes to thirty days, and never -1."""
    made = orders().transaction(PLACE, NOW_NS)
    assert isinstance(made, tx.CreateOrder)
    assert (made.market, made.client_index, made.base, made.price, made.ask) == (0, 42, 50, 235_274, True)
    assert (made.time_in_force, made.expiry_ms) == (tx.POST_ONLY, 1_790_000_000_000 + 86_400_000)


def test_immediate_order_has_no_expiry() -> None:
    """The venue refuses one that has."""
    hedge = msgspec.structs.replace(PLACE, post_only=False, time_in_force=TimeInForce.IOC, reduce_only=True)
    made = orders().transaction(hedge, NOW_NS)
    assert isinstance(made, tx.CreateOrder)
    assert (made.time_in_force, made.expiry_ms, made.reduce_only) == (tx.IOC, 0, True)


def test_modify_names_the_new_total_and_cancel_the_clients_index() -> None:
    """Both go by our own number, so that they need not wait for the venue's."""
    own = orders()
    modify = own.transaction(AmendOrder(ETH.id, ClientOrderId(42), 235_000, 60, WHY), NOW_NS)
    assert modify == tx.ModifyOrder(market=0, index=42, base=60, price=235_000)
    assert own.transaction(CancelOrder(ETH.id, ClientOrderId(42), WHY), NOW_NS) == tx.CancelOrder(market=0, index=42)


def test_what_the_wire_cannot_carry_is_refused_here() -> None:
    """A price of 2**32 would be signed as another one."""
    for bad in ({"ticks": 1 << 32}, {"lots": 0}, {"lots": 1 << 48}, {"client_id": ClientOrderId(1 << 48)}):
        with pytest.raises(GridError):
            orders().transaction(msgspec.structs.replace(PLACE, **bad), NOW_NS)


# Reports


def test_life_of_an_order_is_told_once() -> None:
    """Open, the same again, a part filled, another price, and the end: only what is news."""
    own = orders()
    (accepted,) = reported(own)
    assert isinstance(accepted, OrderAccepted) and accepted.venue_order_id == "281476929510110"
    assert accepted.ts_venue_ns == 1_777_941_383_576_735_000
    assert reported(own) == []
    assert reported(own, filled_base_amount="0.0020", remaining_base_amount="0.0030", later_us=1) == []
    (amended,) = reported(own, price="2352.70", later_us=2)
    assert isinstance(amended, OrderAmended) and (amended.ticks, amended.lots) == (235_270, 50)
    canceled: Any = {"status": "canceled", "filled_base_amount": "0.0020", "remaining_base_amount": "0.0000"}
    (ended,) = reported(own, price="2352.70", later_us=3, **canceled)
    assert isinstance(ended, OrderCanceled) and ended.final and ended.filled_lots == 20
    assert reported(own, price="2352.70", later_us=3, **canceled) == []


def test_report_that_is_older_than_another_is_no_news() -> None:
    """It would take the order back to where it was."""
    own = orders()
    reported(own, later_us=5)
    reported(own, price="2352.70", later_us=9)
    assert reported(own, later_us=7) == []


def test_canceled_order_shows_nothing_remaining_and_its_fills_are_not_computed_from_that() -> None:
    """Initial less remaining would be a whole fill."""
    own = orders()
    reported(own)
    message = _captured("ws_account_all_orders_canceled")
    row = msgspec.convert(message["orders"]["0"][0], wire.Order)
    (ended,) = own.reported(row, NOW_NS)
    assert isinstance(ended, OrderCanceled) and ended.filled_lots == 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("canceled-post-only", RejectKind.POST_ONLY_CROSS),
        ("canceled-reduce-only", RejectKind.REDUCE_ONLY),
        ("canceled-margin-not-allowed", RejectKind.INSUFFICIENT_MARGIN),
        ("canceled-position-not-allowed", RejectKind.REDUCE_ONLY),
        ("canceled-invalid-balance", RejectKind.INSUFFICIENT_MARGIN),
    ],
)
def test_admitted_order_that_never_stood_is_refused(status: str, kind: RejectKind) -> None:
    """Code 200 was not execution; once it stood, the same word is a cancel."""
    (refused,) = reported(orders(), status=status)
    assert isinstance(refused, OrderRejected) and refused.kind is kind
    own = orders()
    reported(own)
    (ended,) = reported(own, status=status, later_us=1)
    assert isinstance(ended, OrderCanceled)


@pytest.mark.parametrize("status", ["canceled-self-trade", "canceled-not-enough-liquidity", "canceled-of-tomorrow"])
def test_any_other_end_is_a_cancel(status: str) -> None:
    """Also one that nobody knows yet."""
    (ended,) = reported(orders(), status=status, filled_base_amount="0.0010")
    assert isinstance(ended, OrderCanceled) and ended.filled_lots == 10


def test_expired_order_is_told_as_such() -> None:
    """With what was filled of it."""
    own = orders()
    reported(own)
    (ended,) = reported(own, status="canceled-expired", filled_base_amount="0.0010", later_us=1)
    assert isinstance(ended, OrderExpired) and ended.filled_lots == 10


def test_filled_order_is_told_by_its_trades_alone() -> None:
    """The report says that it stood, if nothing has said so before."""
    own = orders()
    (accepted,) = reported(own, status="filled", filled_base_amount="0.0050")
    assert isinstance(accepted, OrderAccepted)
    assert reported(own, status="filled", filled_base_amount="0.0050") == []
    (ended,) = reported(own, status="filled", filled_base_amount="0.0050", again=True)
    assert isinstance(ended, OrderCanceled) and ended.filled_lots == 50


def test_question_after_an_order_gets_all_of_it() -> None:
    """Although it was told before."""
    own = orders()
    reported(own)
    (status,) = reported(own, again=True, filled_base_amount="0.0020")
    assert isinstance(status, OrderStatus)
    assert (status.ticks, status.lots, status.filled_lots) == (235_274, 50, 20)


def test_orders_of_others_and_of_other_markets_are_nothing() -> None:
    """Those without a client index are found by snapshots, as foreign."""
    assert reported(orders(), client_order_index=0) == []
    assert reported(orders(), market_index=9) == []
    foreign, ours = orders().open_orders(
        [msgspec.convert(ROW | {"client_order_index": 0}, wire.Order), msgspec.convert(ROW, wire.Order)]
    )
    assert (foreign.client_id, ours.client_id, ours.remaining_lots) == (None, 42, 50)


# Trades


def test_fill_of_ours_has_our_side_and_the_makers_fee() -> None:
    """Fees are millionths of the notional."""
    own = OwnOrders({0: ETH}, 1234, 86_400)
    message = _captured("ws_account_all_trades_update")
    (fill,) = own.filled(msgspec.convert(message["trades"]["0"][0], wire.Trade), NOW_NS)
    assert (fill.client_id, fill.side, fill.ticks, fill.lots, fill.maker) == (
        7_001_011_966,
        Side.BUY,
        235_273,
        1336,
        False,
    )
    notional = Decimal("2352.73") * Decimal("0.1336")
    assert fill.fee is not None and from_pair(fill.fee) == int(notional * 196 * 10**12)
    assert (fill.fill_key, fill.ts_venue_ns) == ("19209006902-bid", 1_777_941_384_181_586_000)


def test_fee_that_is_left_out_is_nothing() -> None:
    """Zero fees are omitted."""
    own, message = OwnOrders({0: ETH}, 1234, 86_400), _captured("ws_account_all_trades_update")
    row = {name: value for name, value in message["trades"]["0"][0].items() if not name.endswith("_fee")}
    (fill,) = own.filled(msgspec.convert(row, wire.Trade), NOW_NS)
    assert fill.fee == (0, 0)


def test_trade_with_ourselves_is_two_fills() -> None:
    """With keys of their own."""
    own, message = OwnOrders({0: ETH}, 1234, 86_400), _captured("ws_account_all_trades_update")
    row = message["trades"]["0"][0] | {"ask_account_id": 1234, "ask_client_id": 5}
    asked, bid = own.filled(msgspec.convert(row, wire.Trade), NOW_NS)
    assert (asked.side, asked.maker, bid.side, bid.maker) == (Side.SELL, True, Side.BUY, False)
    assert asked.fill_key != bid.fill_key


def test_liquidation_bears_no_client_index_and_is_counted() -> None:
    """Its position is found by reconciliation; the count says why."""
    own, message = OwnOrders({0: ETH}, 1234, 86_400), _captured("ws_account_all_trades_update")
    row = message["trades"]["0"][0] | {"bid_client_id": 0, "type": "liquidation"}
    assert own.filled(msgspec.convert(row, wire.Trade), NOW_NS) == []
    assert own.foreign_fills == 1


def test_position_is_unsigned_and_a_missing_market_is_flat() -> None:
    """`sign` says which way."""
    message = _captured("ws_account_all_positions_update")
    row = msgspec.convert(message["positions"]["0"], wire.Position)
    assert orders().positions([row]) == ((ETH.id, 15_000),)
    row.sign = -1
    assert orders().positions([row]) == ((ETH.id, -15_000),)
    assert orders().positions([]) == ((ETH.id, 0),)


def test_payment_of_funding_keeps_its_sign_and_its_number() -> None:
    """Seconds become nanoseconds, the exact amount stays."""
    row = wire.Payment(timestamp=1_700_000_000, market_id=0, funding_id=2001, change="-0.001")
    paid = orders().paid(row, NOW_NS)
    assert paid is not None and from_pair(paid.amount) == -(10**15)
    assert (paid.payment_key, paid.ts_venue_ns) == ("2001", 1_700_000_000 * 10**9)


# Refusals and records


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (21600, RejectKind.GONE),
        (21739, RejectKind.INSUFFICIENT_MARGIN),
        (21740, RejectKind.REDUCE_ONLY),
        (21706, RejectKind.INVALID),
        (21728, RejectKind.INVALID),
        (21733, RejectKind.INVALID),
        (21601, RejectKind.HALTED),
        (23000, RejectKind.RATE_LIMITED),
        (21104, RejectKind.OTHER),
        (99_999, RejectKind.OTHER),
    ],
)
def test_codes_in_the_words_of_all_venues(code: int, kind: RejectKind) -> None:
    """One that is not known is `other`."""
    assert kind_of(code) is kind


def test_refusal_of_what_was_filled_says_so() -> None:
    """Gone, or filled: the venue's code does not tell."""
    own, cancel = orders(), CancelOrder(ETH.id, ClientOrderId(42), WHY)
    refused = own.refused(cancel, 21600, "order is not active", NOW_NS)
    assert isinstance(refused, OrderCancelRejected) and refused.kind is RejectKind.GONE
    reported(own, status="filled", filled_base_amount="0.0050")
    refused = own.refused(cancel, 21600, "order is not active", NOW_NS)
    assert isinstance(refused, OrderCancelRejected) and refused.kind is RejectKind.FILLED


def test_failed_transaction_is_found_by_its_hash() -> None:
    """No order tells of it: its record does, with the venue's code inside two layers of text."""
    own, message = orders(), _captured("ws_account_tx_failed")
    row = msgspec.convert(message["txs"][0], wire.Transaction)
    assert own.recorded(row, NOW_NS) == []  # nobody's
    own.sent(PLACE, tx.Signed(14, "{}", row.hash, 101, 4), NOW_NS)
    (refused,) = own.recorded(row, NOW_NS)
    assert isinstance(refused, OrderRejected) and refused.kind is RejectKind.INSUFFICIENT_MARGIN
    assert "not enough margin" in refused.text


def test_failed_modify_leaves_the_order_as_it_was() -> None:
    """The amend is refused, nothing else is said."""
    own = orders()
    own.sent(AmendOrder(ETH.id, ClientOrderId(42), 1, 1, WHY), tx.Signed(17, "{}", "ab", 1, 4), NOW_NS)
    row = wire.Transaction(hash="ab", status=0, event_info='{"ae":"{\\"code\\":21600,\\"message\\":\\"gone\\"}"}')
    (refused,) = own.recorded(row, NOW_NS)
    assert isinstance(refused, OrderAmendRejected) and refused.kind is RejectKind.GONE
    assert own.recorded(wire.Transaction(hash="ab", status=2), NOW_NS) == []


def test_record_without_words_is_a_failure_all_the_same() -> None:
    """Its kind is not known then."""
    own = orders()
    own.sent(PLACE, tx.Signed(14, "{}", "ab", 1, 4), NOW_NS)
    (refused,) = own.recorded(wire.Transaction(hash="ab", status=0, event_info="no JSON"), NOW_NS)
    assert isinstance(refused, OrderRejected) and refused.kind is RejectKind.OTHER


def test_nothing_is_concluded_from_an_order_that_the_venue_no_longer_shows() -> None:
    """Only a reduce-only order that never stood can have vanished."""
    own = orders()
    own.sent(PLACE, tx.Signed(14, "{}", "aa", 1, 4), NOW_NS)
    own.sent(
        msgspec.structs.replace(PLACE, client_id=ClientOrderId(43), reduce_only=True),
        tx.Signed(14, "{}", "bb", 2, 4),
        NOW_NS,
    )
    assert own.vanished("aa", NOW_NS) == own.vanished("unknown", NOW_NS) == []
    (gone,) = own.vanished("bb", NOW_NS)
    assert isinstance(gone, OrderRejected) and gone.kind is RejectKind.REDUCE_ONLY
    reported(own, client_order_index=43)
    assert own.vanished("bb", NOW_NS) == []
