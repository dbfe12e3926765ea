"""The simulated Lighter over its sockets: admission and execution, nonces, quota, codes, tokens, books."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
import pytest

from connectors.lighter import transactions as tx
from connectors.simulators.faults import FaultKind
from connectors.simulators.lighter.server import LighterVenue
from connectors.simulators.lighter.settings import LighterVenueSettings
from mm_daemon.domain.errors import ConfigError
from mm_daemon.ports.simulator import SimulatorContext
from mm_daemon.runtime.clock import Clock
from tests.lighter import ACCOUNT, KEY_INDEX, QUIET, Control, PythonSigner, lighter_venue

_WAIT_S = 5.0
_MINUTE_MS = 60_000


class Ear:
    """One connection and everything that came over it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    async def say(self, **message: Any) -> None:
        await self.socket.send_str(msgspec.json.encode(message).decode())

    async def until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next frame that fits. Fails when the line ends or nothing comes."""
        async with asyncio.timeout(_WAIT_S):
            while True:
                frame = await self.socket.receive()
                assert frame.type is aiohttp.WSMsgType.TEXT, f"the line ended with {frame.type}"
                self.frames.append(msgspec.json.decode(frame.data))
                if fits(self.frames[-1]):
                    return self.frames[-1]

    async def of(self, kind: str) -> dict[str, Any]:
        return await self.until(lambda frame: frame.get("type") == kind)

    async def subscribed(self, channel: str, token: str = "") -> dict[str, Any]:
        await self.say(type="subscribe", channel=channel, **({"auth": token} if token else {}))
        return await self.of(f"subscribed/{channel.partition('/')[0]}")

    async def ended(self) -> None:
        """Until the line is cut."""
        async with asyncio.timeout(_WAIT_S):
            while (await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass


@asynccontextmanager
async def listening(control: Control, query: str = "") -> AsyncIterator[Ear]:
    async with control.session.ws_connect(control.ws_url + query) as socket:
        ear = Ear(socket)
        await ear.of("connected")
        yield ear


def expiry_ms(control: Control, minutes: int = 60) -> int:
    return control.clock.now_ns() // 1_000_000 + minutes * _MINUTE_MS


def limit(
    control: Control, client_index: int, *, ticks: int = 290_000, lots: int = 50, **changes: Any
) -> tx.CreateOrder:
    order = tx.CreateOrder(
        market=0, client_index=client_index, base=lots, price=ticks, ask=False, expiry_ms=expiry_ms(control)
    )
    return msgspec.structs.replace(order, **changes)


async def send(control: Control, transaction: tx.Transaction, nonce: int, **keys: Any) -> dict[str, Any]:
    return await control.send(control.signer.signed(transaction, nonce, KEY_INDEX, **keys))


async def order_of(ear: Ear, client_index: int, status: str) -> dict[str, Any]:
    def fits(frame: dict[str, Any]) -> bool:
        rows = frame.get("orders", {}).get("0", []) if frame.get("type") == "update/account_all_orders" else []
        return any(row["client_order_index"] == client_index and row["status"] == status for row in rows)

    frame = await ear.until(fits)
    row: dict[str, Any] = next(row for row in frame["orders"]["0"] if row["client_order_index"] == client_index)
    return row


# Admission and execution


async def test_admitted_order_is_told_by_the_stream_alone() -> None:
    """The answer names the hash that was signed; the order's life comes over the private channel."""
    async with lighter_venue() as control, listening(control) as ear:
        assert (await ear.subscribed(f"account_all_orders/{ACCOUNT}", control.token()))["orders"] == {}
        signed = control.signer.signed(limit(control, 7), 0, KEY_INDEX)
        reply = await control.send(signed)
        assert (reply["code"], reply["tx_hash"]) == (200, signed.tx_hash)
        row = await order_of(ear, 7, "open")
        assert row["order_index"] >= 1 << 48 and row["owner_account_index"] == ACCOUNT
        assert (row["price"], row["initial_base_amount"], row["is_ask"]) == ("2900.00", "0.050", False)
        record = await control.read("tx", by="hash", value=signed.tx_hash)
        assert (record["status"], record["nonce"]) == (2, 0)


async def test_post_only_order_that_would_take_is_admitted_and_then_canceled() -> None:
    """Code 200 is not execution."""
    async with lighter_venue() as control, listening(control) as ear:
        await ear.subscribed(f"account_all_orders/{ACCOUNT}", control.token())
        assert (await send(control, limit(control, 7, ticks=310_000), 0))["code"] == 200
        row = await order_of(ear, 7, "canceled-post-only")
        assert (row["remaining_base_amount"], row["filled_base_amount"]) == ("0.000", "0.000")
        assert (await control.read("nextNonce", account_index=ACCOUNT, api_key_index=KEY_INDEX))["nonce"] == 1


async def test_taker_waits_for_its_delay_and_what_follows_on_its_key_waits_too() -> None:
    """Keys are worked through in order; another key is not held up."""
    async with lighter_venue(taker_delay_ms=400) as control, listening(control) as ear:
        await ear.subscribed(f"account_all_orders/{ACCOUNT}", control.token())
        taker = limit(control, 1, ticks=310_000, time_in_force=tx.IOC, expiry_ms=0)
        taken = await send(control, taker, 0)
        behind = await send(control, limit(control, 2), 1)
        assert behind["predicted_execution_time_ms"] >= taken["predicted_execution_time_ms"]
        other = control.signer.signed(limit(control, 3), 0, KEY_INDEX + 1)
        await control.send(other)
        await order_of(ear, 3, "open")
        assert not [frame for frame in ear.frames if '"client_order_index":1' in str(frame)]
        await order_of(ear, 1, "filled")
        await order_of(ear, 2, "open")


async def test_immediate_order_fills_and_both_sides_of_the_print_are_told() -> None:
    """Trades carry ids of both sides, fees in millionths, and the position follows."""
    async with lighter_venue() as control, listening(control) as ear:
        for channel in ("account_all_trades", "account_all_positions", "account_all_orders"):
            await ear.subscribed(f"{channel}/{ACCOUNT}", control.token())
        taker = limit(control, 1, ticks=310_000, lots=10, time_in_force=tx.IOC, expiry_ms=0)
        assert (await send(control, taker, 0))["code"] == 200
        (trades,) = (await ear.of("update/account_all_trades"))["trades"].values()
        assert sum(float(row["size"]) for row in trades) == pytest.approx(0.010)
        assert {(row["bid_client_id"], row["bid_account_id"]) for row in trades} == {(1, ACCOUNT)}
        assert {(row["is_maker_ask"], row["taker_fee"], row["maker_fee"]) for row in trades} == {(True, 280, 40)}
        positions = (await ear.of("update/account_all_positions"))["positions"]
        assert (positions["0"]["position"], positions["0"]["sign"]) == ("0.010", 1)


async def test_zero_fees_are_left_out_of_trades() -> None:
    """As at the venue."""
    free = msgspec.structs.replace(QUIET, maker_fee_bps=0.0, taker_fee_bps=0.0)
    async with lighter_venue(symbol_settings=free) as control:
        await send(control, limit(control, 1, ticks=310_000, time_in_force=tx.IOC, expiry_ms=0), 0)
        (row, *_) = (await control.read("recentTrades", market_id=0, limit=1))["trades"]
        assert not {"maker_fee", "taker_fee"} & set(row)


async def test_cancel_names_the_filled_part_and_nothing_remains() -> None:
    """`remaining_base_amount` is zero, so the filled part cannot be computed from it."""
    async with lighter_venue() as control, listening(control) as ear:
        await ear.subscribed(f"account_all_orders/{ACCOUNT}", control.token())
        best = round(float((await control.read("orderBookOrders", market_id=0, limit=1))["bids"][0]["price"]) * 100)
        await send(control, limit(control, 1, ticks=best, lots=30), 0)
        await order_of(ear, 1, "open")
        await control.fill(1, 10)
        await send(control, tx.CancelOrder(market=0, index=1), 1)
        row = await order_of(ear, 1, "canceled")
        assert (row["filled_base_amount"], row["remaining_base_amount"]) == ("0.010", "0.000")


async def test_modify_keeps_the_index_and_sets_the_total() -> None:
    """By the client's index or by the venue's."""
    async with lighter_venue() as control, listening(control) as ear:
        await ear.subscribed(f"account_all_orders/{ACCOUNT}", control.token())
        await send(control, limit(control, 1), 0)
        first = await order_of(ear, 1, "open")
        await send(control, tx.ModifyOrder(market=0, index=first["order_index"], base=70, price=291_000), 1)
        second = await order_of(ear, 1, "open")
        assert second["order_index"] == first["order_index"]
        assert (second["price"], second["initial_base_amount"]) == ("2910.00", "0.070")


async def test_reduce_only_order_without_a_position_vanishes() -> None:
    """Admitted, and nobody is ever told of it; its record says that it was carried out."""
    async with lighter_venue() as control, listening(control) as ear:
        await ear.subscribed(f"account_all_orders/{ACCOUNT}", control.token())
        vanishing = limit(control, 1, reduce_only=True)
        assert (await send(control, vanishing, 0))["code"] == 200
        await send(control, limit(control, 2), 1)
        await order_of(ear, 2, "open")
        assert '"client_order_index": 1' not in str(ear.frames)
        active = await control.read("accountActiveOrders", token=control.token(), account_index=ACCOUNT)
        assert [row["client_order_index"] for row in active["orders"]] == [2]


async def test_orders_beyond_the_margin_are_admitted_and_canceled() -> None:
    """The venue looks at the margin when it carries out."""
    async with lighter_venue(deposit=Decimal(10), max_leverage=1) as control, listening(control) as ear:
        await ear.subscribed(f"account_all_orders/{ACCOUNT}", control.token())
        assert (await send(control, limit(control, 1), 0))["code"] == 200
        await order_of(ear, 1, "canceled-margin-not-allowed")


async def test_own_resting_order_expires_when_another_of_ours_would_meet_it() -> None:
    """The venue's default for self trades."""
    async with lighter_venue() as control, listening(control) as ear:
        await ear.subscribed(f"account_all_orders/{ACCOUNT}", control.token())
        ask = round(float((await control.read("orderBookOrders", market_id=0, limit=1))["asks"][0]["price"]) * 100)
        await send(control, limit(control, 1, ticks=ask, ask=True), 0)
        await order_of(ear, 1, "open")
        await send(control, limit(control, 2, ticks=ask, time_in_force=tx.IOC, expiry_ms=0), 1)
        await order_of(ear, 1, "canceled-self-trade")


# Nonces, signatures, codes


async def test_nonces_go_one_by_one_and_refusals_use_none() -> None:
    """A hole, a repetition, and a refused transaction: the next one is still the same."""
    async with lighter_venue() as control:
        assert (await send(control, limit(control, 1), 1))["code"] == 21104
        assert (await send(control, limit(control, 1, base=1), 0))["code"] == 21706
        assert (await send(control, limit(control, 1), 0))["code"] == 200
        assert (await send(control, limit(control, 2), 0))["code"] == 21104
        assert (await send(control, limit(control, 2), 1))["code"] == 200


async def test_skipped_nonce_may_leave_holes_and_never_goes_back() -> None:
    """With attribute 4."""
    async with lighter_venue() as control:
        assert (await send(control, limit(control, 1), 500, attributes={"4": 1}))["code"] == 200
        assert (await send(control, limit(control, 2), 499, attributes={"4": 1}))["code"] == 21104
        assert (await send(control, limit(control, 2), 501))["code"] == 200


async def test_what_was_signed_by_somebody_else_or_for_another_chain_is_refused() -> None:
    """The hash is made anew from the fields, and the signature is checked against it."""
    async with lighter_venue() as control:
        clock, secrets = control.clock, control.venue.secrets
        order = limit(control, 1)
        stranger = PythonSigner({KEY_INDEX: secrets[KEY_INDEX] + 1}, clock.now_ns)
        mainnet = PythonSigner(secrets, clock.now_ns, chain_id=304)
        for signer in (stranger, mainnet):
            assert (await control.send(signer.signed(order, 0, KEY_INDEX)))["code"] == 21120
        good = control.signer.signed(order, 0, KEY_INDEX)
        changed = msgspec.structs.replace(good, tx_info=good.tx_info.replace('"BaseAmount":50', '"BaseAmount":51'))
        assert (await control.send(changed))["code"] == 21120
        assert (await control.send(good))["code"] == 200


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"market": 9}, 21602),
        ({"base": 1}, 21706),
        ({"expiry_ms": 0}, 21711),
        ({"expiry_ms": 1_000}, 21711),
        ({"time_in_force": 0}, 21711),
        ({"time_in_force": 3}, 21704),
        ({"order_type": 1}, 21704),
        ({"order_type": 2}, 21703),
        ({"price": 100}, 21706),
        ({"price": 30_000, "base": 500}, 21733),
    ],
    ids=str,
)
async def test_bad_orders_are_refused_by_code(changes: dict[str, Any], code: int) -> None:
    """Before anything is done."""
    async with lighter_venue() as control:
        assert (await send(control, limit(control, 1, **changes), 0))["code"] == code


async def test_client_index_is_refused_while_its_order_is_known() -> None:
    """The same order is already there."""
    async with lighter_venue() as control:
        await send(control, limit(control, 1), 0)
        assert (await send(control, limit(control, 1), 1))["code"] == 21728


@pytest.mark.parametrize(
    "transaction",
    [tx.CancelOrder(market=0, index=5), tx.ModifyOrder(market=0, index=5, base=50, price=290_000)],
    ids=["cancel", "modify"],
)
async def test_order_that_is_not_there_is_named(transaction: tx.Transaction) -> None:
    """Neither cancelled nor modified."""
    async with lighter_venue() as control:
        assert (await send(control, transaction, 0))["code"] == 21600


async def test_batch_is_admitted_whole_or_not_at_all() -> None:
    """One code for all; nonces in a row; one key; not too many."""
    async with lighter_venue() as control:
        signed = [control.signer.signed(limit(control, 1 + n), n, KEY_INDEX) for n in range(3)]
        holes = [signed[0], control.signer.signed(limit(control, 9), 5, KEY_INDEX)]
        assert (await control.send(*holes, batch=True))["code"] == 21105
        two_keys = [signed[0], control.signer.signed(limit(control, 9), 0, KEY_INDEX + 1)]
        assert (await control.send(*two_keys, batch=True))["code"] == 21121
        assert (await control.send(*signed * 20, batch=True))["code"] == 21514
        reply = await control.send(*signed, batch=True)
        assert reply["code"] == 200 and reply["tx_hash"] == [each.tx_hash for each in signed]
        active = await control.read("accountActiveOrders", token=control.token(), account_index=ACCOUNT)
        assert len(active["orders"]) == 3


async def test_scheduled_cancel_all_is_at_least_five_minutes_ahead_and_one_at_a_time() -> None:
    """Abort first, then set anew; it fires at its time."""
    clock = Clock()
    async with lighter_venue(clock=clock) as control:
        now_ms = clock.now_ns() // 1_000_000
        soon = tx.CancelAllOrders(when=tx.SCHEDULED, time_ms=now_ms + _MINUTE_MS)
        later = tx.CancelAllOrders(when=tx.SCHEDULED, time_ms=now_ms + 6 * _MINUTE_MS)
        assert (await send(control, soon, 0))["code"] == 21714
        assert (await send(control, later, 0))["code"] == 200
        assert (await send(control, later, 1))["code"] == 21712
        assert (await send(control, tx.CancelAllOrders(when=tx.ABORT), 1))["code"] == 200
        assert (await send(control, later, 2))["code"] == 200
        await send(control, limit(control, 1), 3)
        (account,) = (await control.read("account", by="index", value=ACCOUNT))["accounts"]
        assert account["cancel_all_time"] == later.time_ms and account["total_order_count"] == 1
        await control.fault(FaultKind.CLOCK_STEP, ms=7 * _MINUTE_MS)
        (account,) = (await control.read("account", by="index", value=ACCOUNT))["accounts"]
        assert account["cancel_all_time"] == 0 and account["total_order_count"] == 0


# Quota and limits


async def test_quota_runs_dry_and_cancels_cost_none() -> None:
    """The free transaction comes first, then the quota; cancels leave it as it is."""
    async with lighter_venue(quota=1) as control:
        free = await send(control, limit(control, 1), 0)
        assert free["message"] == '{"ratelimit": "didn\'t use volume quota"}' and free["code"] == 200
        paid = await send(control, limit(control, 2), 1)
        assert (paid["volume_quota_remaining"], paid["code"]) == (0, 200)
        assert (await send(control, limit(control, 3), 2))["code"] == 23000
        assert (await send(control, tx.CancelOrder(market=0, index=1), 2))["code"] == 200


async def test_trading_earns_quota() -> None:
    """One for so many dollars."""
    async with lighter_venue(quota=10, usd_per_quota=10) as control:
        taker = limit(control, 1, ticks=310_000, lots=100, time_in_force=tx.IOC, expiry_ms=0)
        await send(control, taker, 0)
        reply = await send(control, limit(control, 2), 1)
        assert reply["volume_quota_remaining"] == 10 + 30 - 1


async def test_transactions_a_minute_are_counted() -> None:
    """A refusal for the rate uses no nonce."""
    async with lighter_venue(transactions_per_minute=2) as control:
        assert [(await send(control, limit(control, 1 + n), n))["code"] for n in range(3)] == [200, 200, 23000]
        assert (await control.read("nextNonce", account_index=ACCOUNT, api_key_index=KEY_INDEX))["nonce"] == 2


# Tokens and channels


async def test_private_reads_and_channels_want_a_token_of_the_account() -> None:
    """None, a forged one, one that has ended, and one too far ahead."""
    async with lighter_venue() as control, listening(control) as ear:
        good = control.token()
        forged = good[:-2] + ("00" if good[-2:] != "00" else "01")
        for token in ("", forged, control.token(ahead_s=-5), control.token(ahead_s=10 * 3600)):
            reply = await control.read("accountActiveOrders", token=token, account_index=ACCOUNT)
            assert reply["code"] == 20013
            await ear.say(type="subscribe", channel=f"account_all_orders/{ACCOUNT}", auth=token)
            assert (await ear.until(lambda frame: "error" in frame))["error"]["code"] == 30012
        assert (await control.read("accountActiveOrders", token=good, account_index=ACCOUNT))["code"] == 200


async def test_channel_ends_without_a_word_when_its_token_does() -> None:
    """Whoever does not renew is told nothing more."""
    async with lighter_venue() as control, listening(control) as ear:
        await ear.subscribed(f"account_all_orders/{ACCOUNT}", control.token(ahead_s=2))
        await control.fault(FaultKind.CLOCK_STEP, ms=3000)
        await send(control, msgspec.structs.replace(limit(control, 1), expiry_ms=expiry_ms(control, 90)), 0)
        await ear.say(type="unsubscribe", channel=f"account_all_orders/{ACCOUNT}")
        assert (await ear.until(lambda frame: "error" in frame))["error"]["code"] == 30002
        assert not [frame for frame in ear.frames if frame.get("type") == "update/account_all_orders"]


async def test_channels_are_subscribed_once_and_unsubscribed_by_name() -> None:
    """Twice is 30003; what does not exist is 30005."""
    async with lighter_venue() as control, listening(control) as ear:
        assert (await ear.subscribed("order_book/0"))["channel"] == "order_book:0"
        await ear.say(type="subscribe", channel="order_book/0")
        error = (await ear.until(lambda frame: "error" in frame))["error"]
        assert error == {"code": 30003, "message": "Already Subscribed to : order_book:0"}
        await ear.say(type="unsubscribe", channel="order_book/0")
        assert (await ear.of("unsubscribed"))["channel"] == "order_book:0"
        await ear.say(type="subscribe", channel="order_book/77")
        assert (await ear.until(lambda frame: "error" in frame))["error"]["code"] == 30005
        await ear.say(type="nonsense")
        assert (await ear.until(lambda frame: "error" in frame))["error"]["code"] == 30001
        await ear.socket.send_str("{")
        assert (await ear.until(lambda frame: "error" in frame))["error"]["code"] == 30000
        await ear.say(type="ping")
        await ear.of("pong")


async def test_book_chains_by_nonces_and_offsets_only_grow() -> None:
    """Each update begins where the one before ended; offsets have holes and are each connection's own."""
    async with lighter_venue() as control, listening(control) as ear, listening(control) as other:
        frame, offsets = await ear.subscribed("order_book/0"), []
        assert frame["order_book"]["begin_nonce"] == 0
        nonce = frame["order_book"]["nonce"]
        for _ in range(5):
            book = (await ear.of("update/order_book"))["order_book"]
            assert book["begin_nonce"] == nonce < book["nonce"]
            nonce = book["nonce"]
            offsets.append(book["offset"])
        assert offsets == sorted(set(offsets))
        theirs = (await other.subscribed("order_book/0"))["order_book"]["offset"]
        assert not frame["order_book"]["offset"] <= theirs <= offsets[-1]


@pytest.mark.parametrize(
    "channel",
    [
        *("ticker/0", "trade/0", "market_stats/0", "market_stats/all", "height"),
        *(f"account_all{what}/{ACCOUNT}" for what in ("", "_trades", "_positions", "_assets")),
        *(f"{name}/{ACCOUNT}" for name in ("user_stats", "account_tx", "notification")),
        *(f"{name}/0/{ACCOUNT}" for name in ("account_market", "account_orders")),
    ],
)
async def test_every_channel_begins_with_a_snapshot(channel: str) -> None:
    """Of its own kind."""
    async with lighter_venue() as control, listening(control) as ear:
        assert (await ear.subscribed(channel, control.token()))["channel"]


async def test_read_only_connection_has_market_data_alone() -> None:
    """Private channels and transactions are refused."""
    async with lighter_venue() as control, listening(control, "?readonly=true") as ear:
        await ear.subscribed("order_book/0")
        await ear.say(type="subscribe", channel=f"account_all_orders/{ACCOUNT}", auth=control.token())
        assert (await ear.until(lambda frame: "error" in frame))["error"]["code"] == 30006


async def test_silent_connection_is_pinged_and_dropped() -> None:
    """Whoever says nothing for too long."""
    async with lighter_venue(idle_s=0.5, ping_s=0.2) as control, listening(control) as ear:
        await ear.of("ping")
        await ear.ended()


async def test_shutdown_is_announced_before_the_line_is_cut() -> None:
    """As at a deployment."""
    async with lighter_venue() as control, listening(control) as ear:
        await control.fault(FaultKind.RESTART, ms=100)
        assert (await ear.of("shutdown"))["close_in_ms"] == 100
        await ear.ended()


async def test_transactions_over_the_socket_echo_their_id() -> None:
    """One, a batch with its doubly written texts, and a refusal."""
    async with lighter_venue() as control, listening(control) as ear:
        signed = [control.signer.signed(limit(control, 1 + n), n, KEY_INDEX) for n in range(3)]
        info = msgspec.json.decode(signed[0].tx_info)
        await ear.say(type="jsonapi/sendtx", data={"id": "a", "tx_type": 14, "tx_info": info})
        reply = await ear.of("jsonapi/sendtx")
        assert (reply["id"], reply["code"], reply["tx_hash"]) == ("a", 200, signed[0].tx_hash)
        infos = msgspec.json.encode([each.tx_info for each in signed[1:]]).decode()
        await ear.say(type="jsonapi/sendtxbatch", data={"id": "b", "tx_types": "[14,14]", "tx_infos": infos})
        reply = await ear.of("jsonapi/sendtxbatch")
        assert (reply["id"], reply["tx_hash"]) == ("b", [each.tx_hash for each in signed[1:]])
        await ear.say(type="jsonapi/sendtx", data={"id": "c", "tx_type": 14, "tx_info": info})
        refused = await ear.of("jsonapi/sendtx")
        assert (refused["id"], refused["code"]) == ("c", 21104)


async def test_lost_reply_was_carried_out_all_the_same() -> None:
    """The line is cut instead of the answer; the record is there by its hash."""
    async with lighter_venue() as control:
        signed = control.signer.signed(limit(control, 1), 0, KEY_INDEX)
        await control.fault(FaultKind.LOSE_REPLY, on="sendTx")
        with pytest.raises(aiohttp.ClientError):
            await control.send(signed)
        assert (await control.read("tx", by="hash", value=signed.tx_hash))["status"] == 2


async def test_empty_list_of_trades_is_null() -> None:
    """As captured from the venue."""
    async with lighter_venue() as control:
        reply = await control.read("trades", token=control.token(), account_index=ACCOUNT, sort_by="timestamp", limit=9)
        assert reply["trades"] is None


async def test_trades_are_read_in_pages() -> None:
    """The cursor goes on where the page ended, newest first, each once."""
    async with lighter_venue() as control:
        for n in range(5):
            taker = limit(control, 1 + n, ticks=310_000, lots=5, time_in_force=tx.IOC, expiry_ms=0)
            await send(control, taker, n)
        seen: list[int] = []
        cursor: dict[str, str] = {}
        while True:
            page = await control.read(
                "trades", token=control.token(), account_index=ACCOUNT, sort_by="timestamp", limit=2, **cursor
            )
            seen += [row["trade_id"] for row in page["trades"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert len(seen) >= 5 and seen == sorted(set(seen), reverse=True)


def test_steps_that_are_no_powers_of_ten_are_refused() -> None:
    """The venue has decimals, not steps."""
    context = SimulatorContext(host="127.0.0.1", port=0, seed=1, symbols=("ETH",), now_ns=lambda: 0)
    half = msgspec.structs.replace(QUIET, tick=Decimal("0.5"))
    with pytest.raises(ConfigError, match=r"tick 0\.5 of ETH must be"):
        LighterVenue(context, LighterVenueSettings(symbols={"ETH": half}))
