"""Every message that we have of the venue, with both its ends: what the connector makes of it, and what the simulated
venue takes and sends. A message that is new fails here until it has its place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.hyperliquid import account_wire as aw
from connectors.hyperliquid.connector import IGNORED_USER_CHANNELS
from connectors.hyperliquid.orders import OwnOrders, kind_of
from connectors.hyperliquid.requests import Asset
from connectors.hyperliquid.translate import IGNORED_CHANNELS
from connectors.simulators.hyperliquid import signatures, wire
from mm_daemon.domain.orders import RejectKind
from tests.shared import shared_file
from tests.unit.connectors.hyperliquid.frames import BTC

Decode = Callable[[bytes], Any]


def messages() -> Path:
    return shared_file("venues/hyperliquid/messages/INDEX.json").parent


def names() -> list[str]:
    try:
        folder = messages()
    except pytest.skip.Exception:
        return []
    return sorted(path.name for path in folder.glob("*.json") if path.name != "INDEX.json")


def body(name: str) -> bytes:
    """One line, as it comes over the wire."""
    return json.dumps(json.loads((messages() / name).read_bytes())).encode()


def of(wanted: Any) -> Decode:
    return lambda data: msgspec.json.decode(data, type=wanted)


READ: dict[str, Decode] = {
    # replies to actions
    "rest_exchange_cancel_missing_order_response": aw.decode_reply,
    "rest_exchange_cancel_success_response": aw.decode_reply,
    "rest_exchange_default_ok_response": aw.decode_reply,
    "rest_exchange_err_action_expired_response": aw.decode_reply,
    "rest_exchange_err_cannot_modify_response": aw.decode_reply,
    "rest_exchange_err_cumulative_requests_response": aw.decode_reply,
    "rest_exchange_err_duplicate_nonce_response": aw.decode_reply,
    "rest_exchange_err_must_deposit_response": aw.decode_reply,
    "rest_exchange_err_schedule_cancel_volume_response": aw.decode_reply,
    "rest_exchange_err_unable_to_recover_response": aw.decode_reply,
    "rest_exchange_err_unknown_signer_response": aw.decode_reply,
    "rest_exchange_modify_place_leg_failed_response": aw.decode_reply,
    "rest_exchange_order_err_insufficient_margin_response": aw.decode_reply,
    "rest_exchange_order_err_tick_response": aw.decode_reply,
    "rest_exchange_order_filled_response": aw.decode_reply,
    "rest_exchange_order_ioc_filled_testnet_response": aw.decode_reply,
    "rest_exchange_order_mixed_batch_response": aw.decode_reply,
    "rest_exchange_order_reduce_only_rejected_response": aw.decode_reply,
    "rest_exchange_order_resting_response": aw.decode_reply,
    "rest_exchange_order_waiting_for_trigger_response": aw.decode_reply,
    # answers to reads
    "rest_info_clearinghouseState_cross_btc_long_response": of(aw.ClearinghouseState),
    "rest_info_clearinghouseState_positions_response": of(aw.ClearinghouseState),
    "rest_info_exchangeStatus_response": of(aw.ExchangeStatus),
    "rest_info_frontendOpenOrders_with_tpsl_children_response": of(list[aw.OrderRow]),
    "rest_info_historicalOrders_response": of(list[aw.OrderUpdate]),
    "rest_info_meta_sample_response": of(aw.Meta),
    "rest_info_meta_with_delisted_gap_response": of(aw.Meta),
    "rest_info_openOrders_reduce_only_response": of(list[aw.OrderRow]),
    "rest_info_openOrders_response": of(list[aw.OrderRow]),
    "rest_info_orderStatus_found_response": of(aw.OrderStatus),
    "rest_info_orderStatus_unknown_response": of(aw.OrderStatus),
    "rest_info_spotClearinghouseState_response": of(aw.SpotState),
    "rest_info_spotMeta_sample_response": of(aw.SpotMeta),
    "rest_info_userFills_response": of(list[aw.Fill]),
    "rest_info_userFunding_response": of(list[aw.FundingEntry]),
    "rest_info_userRateLimit_docs_response": of(aw.UserRateLimit),
    "rest_info_userRateLimit_response": of(aw.UserRateLimit),
    "rest_info_userRole_agent_response": of(aw.UserRole),
    # the cassettes of these two hold the SDK's request for the universe, and its answer
    "rest_info_fundingHistory_response": of(aw.Meta),
    "rest_info_l2Book_20_levels_response": of(aw.Meta),
    # the account's streams
    "ws_ack_subscribe_l2Book_fast": aw.decode_acknowledgement,
    "ws_ack_unsubscribe_l2Book_nsigfigs": aw.decode_acknowledgement,
    "ws_orderUpdates_canceled_then_open_after_modify_frame": aw.decode_updates,
    "ws_orderUpdates_open_btc_frame": aw.decode_updates,
    "ws_orderUpdates_open_spot_ack": aw.decode_acknowledgement,
    "ws_orderUpdates_open_spot_frame": aw.decode_updates,
    "ws_post_action_order_resting_response": aw.decode_post,
    "ws_post_action_unknown_wallet_response": aw.decode_post,
    "ws_post_error_429_response": aw.decode_post,
    "ws_post_info_l2Book_unknown_coin_response": aw.decode_post,
    "ws_userEvents_fill_channel_user_ack": aw.decode_acknowledgement,
    "ws_userFills_snapshot_frame": aw.decode_fills,
    "ws_userFundings_snapshot_frame": aw.decode_fundings,
}
"""What the connector reads with the struct it reads it with."""

TAKEN: dict[str, Decode] = {
    "rest_exchange_order_expired_request_testnet": of(wire.ExchangeRequest),
    "rest_exchange_order_ioc_request_testnet": of(wire.ExchangeRequest),
    "rest_info_allMids_request": of(wire.InfoRequest),
    "rest_info_clearinghouseState_positions_request": of(wire.InfoRequest),
    "rest_info_extraAgents_request": of(wire.InfoRequest),
    "rest_info_frontendOpenOrders_with_tpsl_children_request": of(wire.InfoRequest),
    "rest_info_fundingHistory_request": of(wire.InfoRequest),
    "rest_info_historicalOrders_request": of(wire.InfoRequest),
    "rest_info_l2Book_20_levels_request": of(wire.InfoRequest),
    "rest_info_openOrders_request": of(wire.InfoRequest),
    "rest_info_userFills_request": of(wire.InfoRequest),
    "rest_info_userFunding_request": of(wire.InfoRequest),
    "rest_info_userRateLimit_request": of(wire.InfoRequest),
    "ws_ping": of(wire.SocketRequest),
    "ws_post_action_order_request": of(wire.SocketRequest),
    "ws_post_info_l2Book_request": of(wire.SocketRequest),
    "ws_subscribe_l2Book": of(wire.SocketRequest),
    "ws_subscribe_l2Book_fast": of(wire.SocketRequest),
}
"""What clients send, as the simulated venue takes it."""

TRANSLATED = (
    "ws_activeAssetCtx_btc_frame",
    "ws_bbo_btc_frame",
    "ws_error_already_subscribed",
    "ws_error_parse",
    "ws_l2Book_btc_frame",
    "ws_l2Book_delisted_empty_frame",
    "ws_pong",
    "ws_recorded_2025_l2Book_frame",
    "ws_recorded_2025_trades_frame",
    "ws_trades_btc_frame",
)
"""Market data and what is said about the socket itself: `test_translate.py` has them."""

NEVER_ASKED = {
    "rest_info_allMids_response": "best prices come by block",
    "rest_info_extraAgents_response": "the venue refuses a key that is out",
    "rest_info_metaAndAssetCtxs_docs_response": "contexts come by the stream",
    "rest_info_recentTrades_btc_response": "prints come by the stream",
    "http_non_json_errors": "judged by their status: test_rest.py",
    "ws_allMids_frame": "best prices come by block",
    "ws_candle_1m_btc_frame": "made of prints",
    "ws_fill_with_liquidation": "the channel user: fills come by userFills",
    "ws_userEvents_fill_channel_user_frame": "the channel user: fills come by userFills",
    "ws_userEvents_nonUserCancel_frame": "the channel user: orderUpdates tells of it too, with the size",
    "ws_userEvents_fill_channel_user_subscribe": "not subscribed to",
    "ws_orderUpdates_open_spot_subscribe": "its user is no address: a client's own test data",
}
"""What we never ask for, and why."""


def test_every_message_has_its_place() -> None:
    """Read, taken, translated or never asked for: one of them."""
    messages()
    placed = [*READ, *TAKEN, *TRANSLATED, *NEVER_ASKED]
    assert sorted(f"{name}.json" for name in placed) == names()


@pytest.mark.parametrize("name", READ)
def test_message_is_read(name: str) -> None:
    """By the struct that the connector reads it with."""
    assert READ[name](body(f"{name}.json")) is not None


@pytest.mark.parametrize("name", TAKEN)
def test_message_is_taken_by_the_simulated_venue(name: str) -> None:
    """What real clients sent is understood."""
    assert TAKEN[name](body(f"{name}.json")) is not None


def test_channels_that_are_ignored_are_listed() -> None:
    """What comes on an account's socket and is not ours is ignored by name, nothing by accident."""
    assert IGNORED_USER_CHANNELS <= IGNORED_CHANNELS
    channels = {json.loads(body(name)).get("channel") for name in names() if name.startswith("ws_")} - {None}
    ours = {"orderUpdates", "userFills", "userFundings", "post", "subscriptionResponse", "error"}
    market = {"activeAssetCtx", "activeSpotAssetCtx", "bbo", "l2Book", "trades"}
    assert channels <= ours | market | IGNORED_CHANNELS


def test_captured_requests_recover_at_the_simulated_venue() -> None:
    """Two requests that the real test network took: its independent recovery finds one agent for both."""
    signers = {
        signatures.l1_signer(
            of(wire.ExchangeRequest)(body(f"rest_exchange_order_{name}_request_testnet.json")), mainnet=False
        )
        for name in ("expired", "ioc")
    }
    assert len(signers) == 1


def test_modify_is_read_as_the_documents_have_it() -> None:
    """The old version's end with its filled size, then the new one under the same id."""
    frame = aw.decode_updates(body("ws_orderUpdates_canceled_then_open_after_modify_frame.json"))
    orders = OwnOrders([Asset.of(BTC, 0, 5)])
    assert [orders.updated(row, 1) for row in frame.data] == [[], []]  # somebody else's client id
    assert [row.status for row in frame.data] == ["canceled", "open"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("order_err_insufficient_margin", RejectKind.INSUFFICIENT_MARGIN),
        ("order_err_tick", RejectKind.INVALID),
        ("order_reduce_only_rejected", RejectKind.REDUCE_ONLY),
        ("err_cannot_modify", RejectKind.GONE),
        ("modify_place_leg_failed", RejectKind.PLACE_LEG_FAILED),
        ("err_cumulative_requests", RejectKind.RATE_LIMITED),
        ("err_must_deposit", RejectKind.OTHER),
        ("cancel_missing_order", RejectKind.GONE),
    ],
)
def test_refusals_as_they_were_captured(name: str, kind: RejectKind) -> None:
    """Sorted by the beginning of their words."""
    reply = aw.decode_reply(body(f"rest_exchange_{name}_response.json"))
    text = reply.response
    if not isinstance(text, str):
        assert text.data is not None
        (status,) = text.data.statuses
        assert isinstance(status, aw.Status)
        text = status.error or ""
    assert kind_of(text) is kind
