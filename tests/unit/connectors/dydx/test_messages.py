"""Every sample of what the venue says is read, or is named here as one that is not ours to read."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from connectors.dydx import answers, tx, wire
from connectors.dydx.numbers import Grid
from connectors.dydx.orders import OwnOrders
from connectors.dydx.own import Market
from connectors.dydx.translate import DydxTranslator
from mm_daemon.domain.decisions import PlaceOrder, Reason
from mm_daemon.domain.events import (
    BookDelta,
    Event,
    FundingUpdate,
    MarkPriceUpdate,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    PublicTrade,
    VenueTime,
)
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side
from tests.shared import SHARED, shared_file

_FOLDER = "venues/dydx/messages"
OWNER = "dydx1mc26alh7vhf52rthhjqzx97vks4jghujmvydae"
BTC = Instrument(venue=Venue("dydx"), symbol="BTC-USD", base="BTC", quote="USD", tick=Decimal(1), lot=Decimal("0.0001"))
GRID = Grid(
    clob_pair_id=0,
    atomic_resolution=-10,
    quantum_conversion_exponent=-9,
    step_base_quantums=1_000_000,
    subticks_per_tick=100_000,
)

_SENT_BY_US = {
    "ws_client_subscribe_block_height",
    "ws_client_subscribe_orderbook",
    "ws_client_subscribe_subaccount",
    "ws_client_unsubscribe_trades",
}
"""What clients say; that ours says it is `test_connector.py`'s."""
_BREAKING = {
    "ws_error_already_subscribed",
    "ws_error_invalid_channel",
    "ws_error_invalid_subscription_id",
    "ws_error_per_connection_limit",
    "ws_error_too_many_subscribes_then_close_1008",
}
"""After these a subscription of ours is missing: the connection is given up."""
_SAYS_NOTHING = {
    "ws_connected",
    "ws_unsubscribed",
    "ws_orderbook_subscribed",  # told once the link is up, or at once behind that
    "ws_trades_subscribed",  # the past
    "ws_subaccounts_subscribed",  # the account is read by REST
    "ws_subaccounts_subscribed_unknown_account",
    "ws_subaccounts_positions_after_funding",
    "ws_subaccounts_trading_reward",
    "ws_subaccounts_transfer_deposit",
    "ws_subaccounts_long_term_order_open",  # not ours
    "ws_subaccounts_long_term_order_canceled",
    "ws_subaccounts_order_best_effort_canceled_replaced",  # the version before, of an order that was moved
    "ws_subaccounts_order_cancel_of_unknown_order",
    "ws_subaccounts_order_best_effort_canceled_ioc_remainder",  # of an order that is not ours here
}


def names(prefix: str) -> list[str]:
    folder = SHARED / _FOLDER
    return sorted(path.stem for path in folder.glob(f"{prefix}*.json")) if folder.exists() else []


def sample(name: str) -> Any:
    return msgspec.json.decode(shared_file(f"{_FOLDER}/{name}.json").read_bytes())


def translator() -> DydxTranslator:
    """One whose link is up, with a book, and two working orders of ours: those of the samples."""
    subaccount = tx.Subaccount(OWNER)
    market = Market(BTC, GRID, subaccount)
    orders = OwnOrders([market], subaccount)
    orders.height = 66_624_119
    for client_id, side, ticks, until in ((1, Side.BUY, 89946, 135), (2, Side.SELL, 89958, 136)):
        place = PlaceOrder(BTC.id, ClientOrderId(client_id), side, 0, ticks, 123, (Reason.NEW_QUOTE,))
        order, _ = orders.place(place)
        order.until = order.version_until = 66_624_000 + until
    made = DydxTranslator(BTC.venue, [BTC], orders)
    made.translate(msgspec.json.encode(sample("ws_connected")), 1)
    made.translate(msgspec.json.encode(sample("ws_orderbook_subscribed")), 1)
    assert made.show_books(1)
    return made


def heard(name: str) -> tuple[DydxTranslator, list[Event]]:
    """What one sample says; the messages before it are not missed."""
    made, message = translator(), sample(name)
    made.ids.pending = 64
    return made, list(made.translate(msgspec.json.encode(message), 2))


@pytest.mark.parametrize("name", [name for name in names("ws_") if name not in _SENT_BY_US])
def test_every_message_of_the_socket_is_understood(name: str) -> None:
    made, events = heard(name)
    breaking = name in _BREAKING
    assert (made.broken is not None) is breaking
    assert dict(made.problems) == ({"refused": 1} if breaking else {})
    if not breaking and name not in _SAYS_NOTHING and name != "ws_orderbook_crossed_ask_removed_later":
        assert events, name


def _one(name: str, kind: type[Event]) -> Any:
    (found,) = [event for event in heard(name)[1] if isinstance(event, kind)]
    return found


def test_what_the_samples_say() -> None:
    """A few of each kind, number by number."""
    assert _one("ws_orderbook_update_bid", BookDelta).bids == ((89946, 5123),)
    assert _one("ws_orderbook_level_removed", BookDelta).asks == ((89958, 0),)
    crossing = _one("ws_orderbook_crossing_bid", BookDelta)
    assert crossing.bids == ((89961, 123),) and crossing.asks == ((89958, 0), (89961, 0))
    trades = [event for event in heard("ws_trades_update")[1] if isinstance(event, PublicTrade)]
    assert [(trade.aggressor, trade.ticks, trade.lots) for trade in trades] == [
        (Side.BUY, 89958, 1),
        (Side.SELL, 89946, 365),
    ]
    assert trades[0].trade_id < trades[1].trade_id < 1 << 63
    assert _one("ws_markets_oracle_prices", MarkPriceUpdate).mark_half_ticks == 179838
    assert _one("ws_markets_trading_partial", FundingUpdate).rate_e12 == -1431818
    assert _one("ws_block_height_update", VenueTime).height == 66_624_121
    fill = _one("ws_subaccounts_fill_maker_partial", OrderFilled)
    assert (fill.client_id, fill.side, fill.ticks, fill.lots, fill.maker) == (2, Side.SELL, 89958, 50, True)
    assert fill.fee == (-1, 10**18 - 49_477 * 10**12)
    accepted = _one("ws_subaccounts_order_best_effort_opened", OrderAccepted)
    assert accepted.client_id == 1 and accepted.venue_order_id == "ef299f77-d589-5518-8bf3-24e95b2f328e"


@pytest.mark.parametrize(
    "name",
    [
        "ws_subaccounts_order_best_effort_canceled_user",
        "ws_subaccounts_order_best_effort_canceled_post_only_cross",
        "ws_subaccounts_order_best_effort_canceled_undercollateralized",
        "ws_subaccounts_order_canceled_expired",
    ],
)
def test_what_the_feed_calls_cancelled_is_not_final(name: str) -> None:
    """It may fill until its last block has passed, which REST is asked about (FACTS 12)."""
    canceled = _one(name, OrderCanceled)
    assert (canceled.client_id, canceled.final, canceled.filled_lots) == (1, False, None)


_REST: Mapping[str, Callable[[Any], Any]] = {
    "rest_perpetual_markets": lambda body: msgspec.convert(body, wire.Markets, strict=False),
    "rest_orderbook": lambda body: msgspec.convert(body, wire.Book, strict=False),
    "rest_subaccount": lambda body: msgspec.convert(body, wire.SubaccountReply, strict=False),
    "rest_orders": lambda body: msgspec.convert(body, list[wire.OrderRow], strict=False),
    "rest_order_by_id": lambda body: msgspec.convert(body, wire.OrderRow, strict=False),
    "rest_fills": lambda body: msgspec.convert(body, wire.Fills, strict=False),
    "rest_height": lambda body: msgspec.convert(body, wire.HeightReply, strict=False),
    "rest_time": lambda body: msgspec.convert(body, wire.Time, strict=False),
}
_REST_REFUSALS = {
    "rest_error_geoblocked",
    "rest_error_rate_limited",
    "rest_error_validation",
    "rest_order_not_found",
    "rest_subaccount_not_found",
}
"""Judged by their status: `test_connector.py`."""
_REST_NEVER_ASKED = {
    "rest_address",  # the subaccount is asked for alone
    "rest_asset_positions",  # part of the subaccount
    "rest_perpetual_positions_open",
    "rest_historical_funding",  # the coming rate is told by v4_markets
    "rest_trades",  # the stream begins with them
}


@pytest.mark.parametrize("name", names("rest_"))
def test_every_answer_of_the_indexer_is_read_or_never_asked_for(name: str) -> None:
    if name in _REST_REFUSALS:
        assert sample(name)["status"] >= 400
        return
    if name in _REST_NEVER_ASKED:
        return
    prefix = max((each for each in _REST if name.startswith(each)), key=len, default="")
    assert _REST[prefix](sample(name)["body"]) is not None


_NODE_KINDS = {
    "node_broadcast_authenticator_failed": RejectKind.OTHER,
    "node_broadcast_block_rate_limit": RejectKind.RATE_LIMITED,
    "node_broadcast_cancel_already_exists": RejectKind.GONE,
    "node_broadcast_fok_deprecated": RejectKind.OTHER,
    "node_broadcast_gtb_in_past": RejectKind.OTHER,
    "node_broadcast_gtb_too_far": RejectKind.OTHER,
    "node_broadcast_invalid_replacement": RejectKind.OTHER,
    "node_broadcast_order_fully_filled": RejectKind.FILLED,
    "node_broadcast_order_is_canceled": RejectKind.GONE,
    "node_broadcast_post_only_would_cross": RejectKind.POST_ONLY_CROSS,
    "node_broadcast_reduce_only_not_ioc": RejectKind.REDUCE_ONLY,
    "node_broadcast_reduce_only_would_increase": RejectKind.REDUCE_ONLY,
    "node_broadcast_sequence_mismatch": RejectKind.OTHER,
    "node_broadcast_stateful_cancel_does_not_exist": RejectKind.GONE,
    "node_broadcast_stateful_equity_tier": RejectKind.OTHER,
    "node_broadcast_subticks_not_multiple": RejectKind.INVALID,
}


@pytest.mark.parametrize("name", names("node_broadcast_"))
def test_every_answer_to_a_broadcast_has_its_kind(name: str) -> None:
    reply = msgspec.convert(sample(name)["cometbft_broadcast_tx_sync"], wire.TxReply, strict=False)
    if reply.result is None:
        assert reply.error is not None and "already exists in cache" in reply.error.data
        return
    if name == "node_broadcast_ok":
        assert answers.taken(reply.result)
        return
    assert not answers.taken(reply.result)
    assert answers.refusal(reply.result)[0] is _NODE_KINDS[name]
    assert answers.key_refused(reply.result) is (name == "node_broadcast_authenticator_failed")
    assert answers.height_refused(reply.result) is ("_gtb_" in name)
    assert answers.limited(reply.result) is (name == "node_broadcast_block_rate_limit")


def test_the_node_tells_height_and_account_number() -> None:
    assert msgspec.convert(sample("node_abci_info")["body"], wire.AbciReply, strict=False).result is not None
    account = msgspec.convert(sample("node_account_query")["body"], wire.AccountReply, strict=False)
    assert account.info.account_number == 73


def test_nothing_of_the_samples_is_forgotten() -> None:
    """`node_block_rate_limits` and `node_equity_tiers` are for people: limits are settings, tiers stateful orders'."""
    shared_file(f"{_FOLDER}/ws_connected.json")
    read = {*names("ws_"), *names("rest_"), *names("node_broadcast_")}
    read |= {"node_abci_info", "node_account_query", "node_block_rate_limits", "node_equity_tiers"}
    assert set(names("")) == read
