"""Every message that we have of the venue, with its place: what the connector makes of it, leaves aside on purpose, or
what it sends and the simulated venue takes. A message that is new fails here until it has its place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.lighter import account_streams, wire
from connectors.lighter.connector import IGNORED_WORDS, MARKET_CHANNELS
from connectors.lighter.orders import kind_of
from connectors.lighter.sending import SENT_TYPES
from connectors.lighter.translate import IGNORED_TYPES, LighterTranslator, head
from connectors.simulators.lighter.signing import messages as hashes
from mm_daemon.domain.orders import RejectKind
from tests.shared import shared_file

Decode = Callable[[bytes], Any]


def _of(wanted: Any) -> Decode:
    return lambda data: msgspec.json.decode(data, type=wanted)


READ: dict[str, Decode] = {
    "rest_account_active_orders": _of(wire.Orders),
    "rest_account_by_index": _of(wire.Accounts),
    "rest_account_limits": _of(wire.Limits),
    "rest_apikeys": _of(wire.Keys),
    "rest_error_fat_finger": wire.decode_error,
    "rest_error_invalid_nonce": wire.decode_error,
    "rest_error_rate_limit": wire.decode_error,
    "rest_next_nonce": _of(wire.NextNonce),
    "rest_order_books": _of(wire.Contracts),
    "rest_recent_trades_null_list": _of(wire.Trades),
    "rest_sendtx_accepted_quota": wire.decode_sent,
    "rest_sendtxbatch_accepted": wire.decode_sent,
    "ws_account_all_orders_canceled": wire.decode_orders,
    "ws_account_all_orders_canceled_margin_not_allowed": wire.decode_orders,
    "ws_account_all_orders_canceled_not_enough_liquidity": wire.decode_orders,
    "ws_account_all_orders_canceled_reduce_only": wire.decode_orders,
    "ws_account_all_orders_filled": wire.decode_orders,
    "ws_account_all_orders_open": wire.decode_orders,
    "ws_account_all_orders_snapshot_empty": wire.decode_orders,
    "ws_account_all_orders_snapshot_open": wire.decode_orders,
    "ws_account_all_positions_update": wire.decode_positions,
    "ws_account_all_trades_snapshot_empty_list": wire.decode_account_trades,
    "ws_account_all_trades_update": wire.decode_account_trades,
    "ws_account_tx_failed": wire.decode_transactions,
    "ws_error_already_subscribed": wire.decode_error,
    "ws_error_bare_with_type": wire.decode_error,
    "ws_error_not_subscribed": wire.decode_error,
    "ws_market_stats_snapshot_one_market": wire.decode_stats,
    "ws_market_stats_update_all": wire.decode_stats,
    "ws_order_book_delta": wire.decode_book,
    "ws_order_book_snapshot": wire.decode_book,
    "ws_sendtx_accepted": wire.decode_sent,
    "ws_sendtx_rejected": wire.decode_sent,
    "ws_trade_update": wire.decode_trades,
    "ws_user_stats_snapshot_flat": wire.decode_user_stats,
    "ws_user_stats_snapshot_with_position": wire.decode_user_stats,
}
"""What the connector reads, with the decoder that it reads it with."""
SEQUENCES = ("ws_sequence_book_continuous", "ws_sequence_book_update_before_snapshot")
"""Played in `test_translate`."""
BY_WORD = {
    "ws_connected": "connected",
    "ws_ping_from_server": "ping",
    "ws_unsubscribed_ack": "unsubscribed",
}
"""Frames of which the type says all."""
IGNORED_FRAMES = (
    "ws_account_all_assets_snapshot",
    "ws_account_market_update",
    "ws_account_orders_update",
    "ws_candle_update",
    "ws_ticker_snapshot_empty_market",
    "ws_ticker_update",
)
"""Of channels that are not asked for: others tell the same."""
NEVER_READ = (
    "rest_funding_rates",
    "rest_order_book_depth",
    "rest_order_book_details",
    "rest_order_book_orders",
)
"""Answers to reads that are never made: the books come by the stream, and so does funding, in a unit that is known."""
SENT = (
    "ws_pong_from_client",
    "ws_sendtx_request",
    "ws_sendtxbatch_request",
    "ws_subscribe_private",
    "ws_subscribe_public",
    "ws_unsubscribe",
)
"""What a client says; what ours says is compared in `test_sending` and by the simulated venue."""


def _folder() -> Path:
    return shared_file("venues/lighter/messages/ws_connected.json").parent


def _body(name: str) -> bytes:
    """One line, as it comes over the wire."""
    return json.dumps(json.loads((_folder() / f"{name}.json").read_bytes())["message"]).encode()


def test_every_message_has_its_place() -> None:
    """And only one."""
    placed = [*READ, *SEQUENCES, *BY_WORD, *IGNORED_FRAMES, *NEVER_READ, *SENT]
    assert sorted(placed) == sorted(path.stem for path in _folder().glob("*.json"))


@pytest.mark.parametrize("name", READ)
def test_message_is_read(name: str) -> None:
    """With something in it that the struct knows."""
    read = READ[name](_body(name))
    assert set(read.__struct_fields__) & set(json.loads(_body(name)))


@pytest.mark.parametrize("name", IGNORED_FRAMES)
def test_message_is_left_aside_on_purpose(name: str) -> None:
    """Its type is on a list, and on none of those that are handled."""
    kind = head(_body(name)).type
    assert kind in IGNORED_TYPES | account_streams.IGNORED_TYPES
    assert kind not in LighterTranslator({}).handlers
    assert kind.partition("/")[2] not in (*account_streams.CHANNELS, *MARKET_CHANNELS)


@pytest.mark.parametrize("name", BY_WORD)
def test_frame_is_known_by_its_type(name: str) -> None:
    """A ping is answered, an acknowledgement counted, a greeting left aside."""
    word = head(_body(name)).type
    assert word == BY_WORD[name]
    assert (word in IGNORED_WORDS) == (word != "ping")


def test_refusals_and_quota_mean_what_they_say() -> None:
    """The captured codes, in the words of all venues; the quota is a number."""
    assert kind_of(wire.decode_error(_body("rest_error_fat_finger")).code) is RejectKind.INVALID
    assert kind_of(wire.decode_error(_body("rest_error_rate_limit")).code) is RejectKind.RATE_LIMITED
    assert kind_of(wire.decode_error(_body("ws_error_bare_with_type")).code) is RejectKind.INVALID
    accepted = wire.decode_sent(_body("rest_sendtx_accepted_quota"))
    assert (accepted.code, accepted.volume_quota_remaining) == (200, 10_780)
    batch = wire.decode_sent(_body("rest_sendtxbatch_accepted"))
    assert isinstance(batch.tx_hash, list) and len(batch.tx_hash) == 2
    assert head(_body("ws_sendtx_accepted")).type in SENT_TYPES


def test_captured_requests_are_whole_transactions() -> None:
    """The one as an object, those of a batch as texts inside a text: their keys are the venue's, in its order."""
    one = json.loads(_body("ws_sendtx_request"))["data"]
    assert tuple(one["tx_info"]) == hashes.info_keys(one["tx_type"])
    batch = json.loads(_body("ws_sendtxbatch_request"))["data"]
    for kind, text in zip(json.loads(batch["tx_types"]), json.loads(batch["tx_infos"]), strict=True):
        assert tuple(json.loads(text)) == hashes.info_keys(kind)
