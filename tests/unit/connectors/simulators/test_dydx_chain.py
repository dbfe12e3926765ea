"""The simulated chain's rules, as FACTS tells them: each with the code the real one answers."""

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.dydx import tx
from connectors.dydx.keys import Signer
from connectors.simulators.dydx.accounts import Permission
from connectors.simulators.dydx.chain import Answer, Chain
from connectors.simulators.dydx.news import Said
from connectors.simulators.dydx.settings import DydxVenueSettings
from connectors.simulators.dydx.state import Trouble
from mm_daemon.domain.orders import Side
from tests.dydx import QUIET

START_NS = 1_790_000_000 * 10**9
BLOCK_NS = 500_000_000
BTC, ETH = 0, 1
LOT, TICK = 1_000_000, 100_000
WINDOW = 20


class Desk:
    """Two traders at a chain: what they send, and what each block tells."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("markets", {"BTC-USD": QUIET, "ETH-USD": QUIET})
        self.chain = Chain(("BTC-USD", "ETH-USD"), DydxVenueSettings(**settings), 1, START_NS)
        self.now_ns = START_NS
        self.signers = [Signer(key) for key in self.chain.keys]
        self.turn = 0
        self.said: list[Said] = []

    @property
    def next(self) -> int:
        return self.chain.next_height

    def touch(self, side: Side) -> int:
        return self.chain.markets[BTC].book.best(side)

    def builder(self, trader: int = 0, **changes: Any) -> tx.TxBuilder:
        """Each transaction of its own bytes: the memo counts."""
        self.turn += 1
        keys = {"chain_id": "localdydxprotocol", "account_number": 73 + trader, "memo": str(self.turn), **changes}
        return tx.TxBuilder(self.signers[trader], **keys)

    def order_id(self, client_id: int, trader: int = 0, number: int = 0, **keys: Any) -> tx.OrderId:
        return tx.OrderId(tx.Subaccount(self.signers[trader].address, number), client_id, keys.pop("pair", BTC), **keys)

    def place(self, client_id: int, way: Side, ticks: int, lots: int = 10, **keys: Any) -> Answer:
        """A post-only order until ten blocks from now, unless `keys` say else."""
        trader = keys.pop("trader", 0)
        order = self.order(client_id, way, ticks, lots, trader=trader, **keys)
        return self.send(tx.PLACE, tx.place(order), trader)

    def order(self, client_id: int, way: Side, ticks: int, lots: int = 10, **keys: Any) -> tx.Order:
        identity = {name: keys.pop(name) for name in ("trader", "number", "flags", "pair") if name in keys}
        terms: dict[str, Any] = {
            "side": tx.OrderSide.BUY if way is Side.BUY else tx.OrderSide.SELL,
            "quantums": lots * LOT,
            "subticks": ticks * TICK,
            "tif": tx.OrderTif.POST_ONLY,
        }
        if not identity.get("flags"):
            terms["good_til_block"] = self.next + 10
        return tx.Order(id=self.order_id(client_id, **identity), **{**terms, **keys})

    def cancel(self, client_id: int, until: int | None = None, *, trader: int = 0) -> Answer:
        until = self.next + 10 if until is None else until
        return self.send(tx.CANCEL, tx.cancel(self.order_id(client_id, trader), good_til_block=until), trader)

    def batch(self, pairs: list[tuple[int, list[int]]], until: int | None = None) -> Answer:
        until = self.next + 10 if until is None else until
        message = tx.batch_cancel(tx.Subaccount(self.signers[0].address), pairs, until)
        return self.send(tx.BATCH_CANCEL, message)

    def send(self, type_url: str, message: bytes, trader: int = 0, **changes: Any) -> Answer:
        return self.broadcast(self.builder(trader, **changes).raw(tx.any_of(type_url, message)))

    def broadcast(self, raw: bytes) -> Answer:
        answer = self.chain.broadcast(raw, self.now_ns)
        self.said += self.chain.advance(self.now_ns)
        return answer

    def block(self, count: int = 1) -> None:
        for _ in range(count):
            self.now_ns = self.chain._next_block_ns
            self.said += self.chain.advance(self.now_ns)

    def told(self, trader: int = 0) -> list[dict[str, Any]]:
        """Orders on a trader's feed since this was last asked."""
        name = f"{self.signers[trader].address}/0"
        rows = [row for said in self.said if said.id == name for row in said.contents.get("orders", ())]
        self.said.clear()
        return rows

    def statuses(self, trader: int = 0) -> list[tuple[str, str]]:
        return [
            (row["status"], row.get("removalReason", "").removeprefix("ORDER_REMOVAL_REASON_"))
            for row in self.told(trader)
        ]

    def resting(self, client_id: int, trader: int = 0) -> int:
        """Lots of an order that stand in the node's book."""
        found = [each for each in self.chain.orders.values() if each.uuid == str(self.order_id(client_id, trader).uuid)]
        return found[0].left if found and found[0].resting else 0


@pytest.fixture
def desk() -> Iterator[Desk]:
    yield Desk()


def code(answer: Answer) -> tuple[str, int]:
    return answer.codespace, answer.code


# Placing


def test_a_post_only_order_rests_and_is_told_at_once(desk: Desk) -> None:
    answer = desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5)
    assert code(answer) == ("", 0)
    (row,) = desk.told()
    assert row["status"] == "BEST_EFFORT_OPENED" and row["id"] == str(desk.order_id(1).uuid)
    assert "totalFilled" not in row and row["postOnly"] and row["timeInForce"] == "GTT"
    assert desk.resting(1) == 10


def test_a_resting_order_is_never_open_and_expires_with_its_block(desk: Desk) -> None:
    """It may match up to and including its last block; it is told one block later."""
    until = desk.next + 2
    desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5, good_til_block=until)
    desk.block(2)
    assert desk.resting(1) == 10
    desk.block()
    assert desk.chain.height == until and desk.resting(1) == 0
    assert desk.statuses() == [("BEST_EFFORT_OPENED", "")]
    desk.block()
    assert desk.statuses() == [("CANCELED", "EXPIRED")]


@pytest.mark.parametrize(("ahead", "want"), [(-1, 10), (0, 0), (WINDOW, 0), (WINDOW + 1, 11)])
def test_the_block_window(desk: Desk, ahead: int, want: int) -> None:
    answer = desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5, good_til_block=desk.next + ahead)
    assert answer.code == want
    assert desk.cancel(99, desk.next + ahead).code == want


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({"quantums": 0}, 4),
        ({"good_til_block": 0}, 5),
        ({"good_til_block": None}, 5),
        ({"subticks": 0}, 6),
        ({"pair": 77}, 8),
        ({"subticks": TICK * 500_000 + 1}, 12),
        ({"quantums": LOT + 1}, 12),
        ({"side": 0}, 12),
        ({"tif": tx.OrderTif.FILL_OR_KILL}, 48),
        ({"reduce_only": True}, 9003),
        ({"reduce_only": True, "tif": tx.OrderTif.IOC}, 2001),
        ({"condition": 1}, 6000),
    ],
)
def test_what_an_order_may_not_be(desk: Desk, changes: dict[str, Any], want: int) -> None:
    assert code(desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5, **changes)) == ("clob", want)
    assert desk.told() == []


def test_post_only_that_meets_others_is_refused_without_a_word_on_the_feed(desk: Desk) -> None:
    assert code(desk.place(1, Side.BUY, desk.touch(Side.SELL))) == ("clob", 2003)
    assert desk.told() == []


def test_post_only_that_meets_only_ones_own_removes_those_and_rests(desk: Desk) -> None:
    """The trap: it is not refused, and the older quote is gone."""
    bid, ask = desk.touch(Side.BUY), desk.touch(Side.SELL)
    assert ask - bid > 3
    desk.place(1, Side.SELL, bid + 2)
    desk.told()
    assert desk.place(2, Side.BUY, bid + 2).code == 0
    assert desk.statuses() == [("BEST_EFFORT_OPENED", ""), ("BEST_EFFORT_CANCELED", "SELF_TRADE_ERROR")]
    assert desk.resting(1) == 0 and desk.resting(2) == 10


def test_accepted_here_and_refused_there(desk: Desk) -> None:
    """Another node's book stands otherwise: code 0, opened, and cancelled at once."""
    desk.chain.troubles[Trouble.LATE_POST_ONLY] = 1
    assert desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5).code == 0
    reason = "POST_ONLY_WOULD_CROSS_MAKER_ORDER"
    assert desk.statuses() == [("BEST_EFFORT_OPENED", ""), ("BEST_EFFORT_CANCELED", reason)]
    assert desk.resting(1) == 0


def test_ioc_leaves_nothing_and_answers_nought(desk: Desk) -> None:
    ask = desk.touch(Side.SELL)
    lots = desk.chain.markets[BTC].book.lots_at(Side.SELL, ask)
    assert desk.place(1, Side.BUY, ask, lots + 7, tif=tx.OrderTif.IOC).code == 0
    assert desk.statuses()[-1] == ("BEST_EFFORT_CANCELED", "IMMEDIATE_OR_CANCEL_WOULD_REST_ON_BOOK")
    desk.block()
    (row,) = desk.told()
    assert row["status"] == "CANCELED" and row["totalFilled"] == f"{lots / 10_000:g}"


def test_a_taker_without_collateral_answers_nought_and_nothing_rests() -> None:
    desk = Desk(deposit=1)
    assert desk.place(1, Side.BUY, desk.touch(Side.SELL), 10_000, tif=tx.OrderTif.GTT).code == 0
    assert desk.statuses() == [("BEST_EFFORT_OPENED", ""), ("BEST_EFFORT_CANCELED", "UNDERCOLLATERALIZED")]
    assert desk.resting(1) == 0


def test_an_order_too_large_rests_until_it_is_touched() -> None:
    desk = Desk(deposit=1)
    assert desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5, 10_000).code == 0
    desk.told()
    assert desk.resting(1) == 10_000
    order = next(iter(desk.chain.orders.values()))
    desk.chain.hit(order, 10_000)
    desk.block()
    assert desk.statuses() == [("BEST_EFFORT_CANCELED", "UNDERCOLLATERALIZED")]
    assert desk.chain.subaccounts[desk.signers[0].address, 0].fills == []


# Replacing


def test_a_replacement_is_told_as_a_death_and_a_birth(desk: Desk) -> None:
    bid = desk.touch(Side.BUY)
    desk.place(1, Side.BUY, bid - 5)
    assert desk.place(1, Side.BUY, bid - 4, 20, good_til_block=desk.next + 11).code == 0
    opened, canceled, again = desk.told()
    assert (opened["status"], canceled["status"]) == ("BEST_EFFORT_OPENED", "BEST_EFFORT_CANCELED")
    assert canceled["removalReason"] == "ORDER_REMOVAL_REASON_REPLACED"
    assert again["status"] == "BEST_EFFORT_OPENED" and again["goodTilBlock"] == str(desk.next + 11)
    assert desk.resting(1) == 20


@pytest.mark.parametrize(
    "changes",
    [{"side": tx.OrderSide.SELL}, {"tif": tx.OrderTif.GTT}, {"good_til_block": 66_624_121 + 9}],
)
def test_what_a_replacement_may_not_change(desk: Desk, changes: dict[str, Any]) -> None:
    bid = desk.touch(Side.BUY)
    desk.place(1, Side.BUY, bid - 5)
    terms = {"good_til_block": desk.next + 11, **changes}
    assert desk.place(1, Side.BUY, bid - 5 if "side" not in changes else bid + 50, **terms).code == 20
    assert desk.resting(1) == 10


def test_equal_expiry_is_decided_by_hashes_and_the_indexer_hears_nothing(desk: Desk) -> None:
    """It works half the time; when it does the feed still shows the order before."""
    bid, until = desk.touch(Side.BUY), desk.next + 10
    taken = refused = 0
    for client_id in range(1, 30):
        desk.place(client_id, Side.BUY, bid - 50, good_til_block=until)
        desk.told()
        answer = desk.place(client_id, Side.BUY, bid - 51, good_til_block=until)
        assert desk.told() == []
        taken, refused = taken + (answer.code == 0), refused + (answer.code == 20)
    assert taken and refused and taken + refused == 29


def test_filled_lots_carry_over_and_the_size_is_the_total(desk: Desk) -> None:
    bid = desk.touch(Side.BUY)
    desk.place(1, Side.BUY, bid - 5)
    desk.chain.hit(next(iter(desk.chain.orders.values())), 4)
    assert desk.place(1, Side.BUY, bid - 6, 10, good_til_block=desk.next + 11).code == 0
    assert desk.resting(1) == 6
    desk.block()
    (row,) = [row for row in desk.told() if "totalFilled" in row]
    assert row["totalFilled"] == "0.0004" and row["status"] == "OPEN"
    assert desk.place(1, Side.BUY, bid - 7, 4, good_til_block=desk.next + 12).code == 24


def test_the_id_of_a_filled_order_is_used_up(desk: Desk) -> None:
    bid = desk.touch(Side.BUY)
    desk.place(1, Side.BUY, bid - 5)
    desk.chain.hit(next(iter(desk.chain.orders.values())), 10)
    desk.block()
    assert desk.statuses()[-1] == ("FILLED", "")
    assert desk.place(1, Side.BUY, bid - 5, good_til_block=desk.next + 11).code == 24


# Cancelling


def test_cancel_before_place_wins(desk: Desk) -> None:
    until = desk.next + 10
    assert desk.cancel(1, until).code == 0
    (row,) = desk.told()
    assert set(row) == {
        "id",
        "subaccountId",
        "clientId",
        "clobPairId",
        "status",
        "orderFlags",
        "ticker",
        "removalReason",
    }
    assert desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5, good_til_block=until).code == 7
    assert desk.cancel(1, until).code == 9
    assert desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5, good_til_block=until + 1).code == 0


def test_a_cancel_that_ends_before_its_order_does_nothing_and_says_it_did(desk: Desk) -> None:
    desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5, good_til_block=desk.next + 10)
    assert desk.cancel(1, desk.next + 9).code == 0
    assert desk.statuses() == [("BEST_EFFORT_OPENED", ""), ("BEST_EFFORT_CANCELED", "USER_CANCELED")]
    assert desk.resting(1) == 10
    assert desk.cancel(1, desk.next + 10).code == 0
    assert desk.resting(1) == 0


def test_a_cancelled_order_that_was_matched_before_fills(desk: Desk) -> None:
    desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5)
    desk.chain.hit(next(iter(desk.chain.orders.values())), 4)
    assert desk.cancel(1).code == 0
    desk.block()
    last = desk.told()[-1]
    assert (last["status"], last["totalFilled"]) == ("BEST_EFFORT_CANCELED", "0.0004")


def test_another_proposer_fills_what_this_node_has_cancelled(desk: Desk) -> None:
    desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5)
    desk.cancel(1)
    desk.chain.hit(next(iter(desk.chain.orders.values())), 10, cancelled=True)
    desk.block()
    assert desk.statuses()[-1] == ("FILLED", "")


def test_a_match_that_no_block_holds_never_was(desk: Desk) -> None:
    desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5)
    order = next(iter(desk.chain.orders.values()))
    desk.chain.hit(order, 10)
    assert desk.resting(1) == 0
    desk.chain.troubles[Trouble.DROP_MATCHES] = 1
    desk.block()
    assert desk.resting(1) == 10 and order.filled == order.committed == 0
    assert not any(said.channel == "v4_trades" for said in desk.said)


def test_a_batch_answers_nought_whatever_it_did(desk: Desk) -> None:
    bid = desk.touch(Side.BUY)
    desk.place(1, Side.BUY, bid - 5)
    desk.place(2, Side.BUY, bid - 6)
    desk.told()
    assert desk.batch([(BTC, [1, 2])], desk.next + WINDOW + 1).code == 0
    assert desk.told() == [] and desk.resting(1) and desk.resting(2)
    assert desk.batch([(BTC, [1, 2, 3])]).code == 0
    assert [status for status, _ in desk.statuses()] == ["BEST_EFFORT_CANCELED"] * 3
    assert not desk.resting(1) and not desk.resting(2)


@pytest.mark.parametrize(
    "pairs",
    [[], [(BTC, [])], [(BTC, [1]), (BTC, [2])], [(BTC, [1, 1])], [(BTC, list(range(60))), (ETH, list(range(60)))]],
)
def test_a_batch_of_the_wrong_shape_is_refused(desk: Desk, pairs: list[tuple[int, list[int]]]) -> None:
    assert desk.batch(pairs).code == 45


# Who may


def test_a_signature_is_for_one_chain_one_account_and_one_key(desk: Desk) -> None:
    message = tx.place(desk.order(1, Side.BUY, desk.touch(Side.BUY) - 5))
    for changes in ({"chain_id": "dydx-mainnet-1"}, {"account_number": 74}):
        assert code(desk.send(tx.PLACE, message, **changes)) == ("sdk", 4)
    assert code(desk.send(tx.PLACE, message, trader=1)) == ("sdk", 8)
    raw = bytearray(desk.builder().raw(tx.any_of(tx.PLACE, message)))
    raw[-1] ^= 1
    assert code(desk.broadcast(bytes(raw))) == ("sdk", 4)


def test_the_sequence_of_a_short_term_message_does_not_count(desk: Desk) -> None:
    message = tx.place(desk.order(1, Side.BUY, desk.touch(Side.BUY) - 5))
    assert desk.send(tx.PLACE, message, sequence=12345).code == 0


def test_the_same_bytes_twice_are_known(desk: Desk) -> None:
    raw = desk.builder().raw(tx.any_of(tx.PLACE, tx.place(desk.order(1, Side.BUY, desk.touch(Side.BUY) - 5))))
    assert desk.broadcast(raw).code == 0
    again = desk.broadcast(raw)
    assert code(again) == ("sdk", 19) and again.cached


def test_short_term_messages_stand_alone(desk: Desk) -> None:
    messages = [tx.any_of(tx.PLACE, tx.place(desk.order(each, Side.BUY, desk.touch(Side.BUY) - 5))) for each in (1, 2)]
    assert code(desk.broadcast(desk.builder().build(*messages).raw)) == ("sdk", 18)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"\x0a\x05abc", bytes(range(256))])
def test_bytes_that_are_no_transaction(desk: Desk, raw: bytes) -> None:
    assert code(desk.broadcast(raw)) == ("sdk", 2)


def test_a_permissioned_key_signs_for_the_owner_until_it_is_taken_away(desk: Desk) -> None:
    owner, bid = desk.signers[0].address, desk.touch(Side.BUY)
    key = Signer(b"\x07" * 32)
    number = desk.chain.permit(owner, Permission(key.public_key, (0,), (BTC,)))

    def send(client_id: int, *, authenticators: tuple[int, ...], pair: int = BTC) -> tuple[str, int]:
        desk.turn += 1
        builder = tx.TxBuilder(
            key,
            chain_id="localdydxprotocol",
            account_number=73,
            memo=str(desk.turn),
            authenticators=authenticators,
        )
        order = desk.order(client_id, Side.BUY, bid - 5, pair=pair)
        return code(desk.broadcast(builder.raw(tx.any_of(tx.PLACE, tx.place(order)))))

    assert send(1, authenticators=(number,)) == ("", 0)
    assert send(2, authenticators=(number + 1,)) == ("accountplus", 1)
    assert send(3, authenticators=(number,), pair=ETH) == ("accountplus", 104)
    assert send(4, authenticators=()) == ("sdk", 8)
    desk.told()
    desk.chain.revoke(owner, number)
    desk.block()
    assert desk.statuses() == [("BEST_EFFORT_CANCELED", "EXPIRED")] and desk.resting(1) == 0


# Limits


def test_places_and_cancels_count_in_five_blocks_and_a_batch_counts_two() -> None:
    desk = Desk(short_term_per_5_blocks=4)
    bid = desk.touch(Side.BUY)
    assert desk.place(1, Side.BUY, bid - 5).code == 0
    assert desk.cancel(1).code == 0
    assert desk.batch([(BTC, [1])]).code == 0
    answer = desk.place(2, Side.BUY, bid - 5)
    assert answer.code == 5001 and answer.log.startswith("Rate of 5 exceeds configured block rate limit")
    desk.block(4)
    assert desk.place(2, Side.BUY, bid - 5).code == 5001
    desk.block(5)
    assert desk.place(2, Side.BUY, bid - 5).code == 0


# Stateful orders


def long_term(desk: Desk, client_id: int, **keys: Any) -> bytes:
    now_s = desk.chain.block_ns // 10**9
    terms = {"flags": tx.OrderFlags.LONG_TERM, "good_til_time": now_s + 60, **keys}
    return tx.place(desk.order(client_id, Side.BUY, desk.touch(Side.BUY) - 5, **terms))


def test_a_long_term_order_is_there_after_its_block_and_takes_the_accounts_sequence(desk: Desk) -> None:
    assert desk.send(tx.PLACE, long_term(desk, 1), sequence=1).code == 32
    assert desk.send(tx.PLACE, long_term(desk, 1), sequence=0).code == 0
    assert desk.told() == []
    desk.block()
    (row,) = desk.told()
    assert row["status"] == "OPEN" and row["orderFlags"] == "64" and row["createdAtHeight"] == str(desk.chain.height)
    identity = desk.order_id(1, flags=tx.OrderFlags.LONG_TERM)
    soon, late = (desk.chain.block_ns // 10**9 + seconds for seconds in (10, 120))
    early = tx.cancel(identity, good_til_time=soon)
    assert desk.send(tx.CANCEL, early, sequence=1).code == 29
    assert desk.send(tx.CANCEL, tx.cancel(identity, good_til_time=late), sequence=2).code == 0
    desk.block()
    assert desk.statuses() == [("CANCELED", "USER_CANCELED")]
    assert desk.send(tx.CANCEL, tx.cancel(identity, good_til_time=late), sequence=3).code == 3006


def test_times_serve_as_sequences_once(desk: Desk) -> None:
    now_ms = desk.chain.block_ns // 10**6
    assert desk.send(tx.PLACE, long_term(desk, 1), sequence=now_ms).code == 0
    assert desk.send(tx.PLACE, long_term(desk, 2), sequence=now_ms).code == 32
    assert desk.send(tx.PLACE, long_term(desk, 2), sequence=now_ms + 31_000).code == 32
    assert desk.chain.owners[desk.signers[0].address].sequence == 0


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({"tif": tx.OrderTif.IOC}, 3002),
        ({"good_til_time": 0}, 3001),
        ({"good_til_time": 1}, 3003),
        ({"good_til_time": START_NS // 10**9 + 96 * 86_400}, 3004),
        ({"quantums": 10**13}, 3007),
    ],
)
def test_what_a_long_term_order_may_not_be(desk: Desk, changes: dict[str, Any], want: int) -> None:
    assert desk.send(tx.PLACE, long_term(desk, 1, **changes), sequence=0).code == want


def test_what_waits_for_its_block_counts_already(desk: Desk) -> None:
    """A second place of an id is refused, a cancel of it is taken: placed, cancelled, and never in the book."""
    identity, now_s = desk.order_id(1, flags=tx.OrderFlags.LONG_TERM), desk.chain.block_ns // 10**9
    assert desk.send(tx.PLACE, long_term(desk, 1), sequence=0).code == 0
    assert desk.send(tx.PLACE, long_term(desk, 1), sequence=1).code == 3005
    too_far = tx.cancel(identity, good_til_time=now_s + 96 * 86_400)
    assert desk.send(tx.CANCEL, too_far, sequence=2).code == 3004
    cancel = tx.cancel(identity, good_til_time=now_s + 94 * 86_400)
    assert desk.send(tx.CANCEL, cancel, sequence=3).code == 0
    assert desk.send(tx.CANCEL, cancel, sequence=4).code == 3008
    desk.block()
    assert desk.statuses() == [("OPEN", ""), ("CANCELED", "USER_CANCELED")]
    desk.block()
    assert not [order for order in desk.chain.orders.values() if order.resting]


def test_a_transaction_that_waits_beyond_its_time_never_lands(desk: Desk) -> None:
    """Its time is 30 s before the block at most."""
    now_ms = desk.chain.block_ns // 10**6
    assert desk.send(tx.PLACE, long_term(desk, 1), sequence=now_ms - 29_000).code == 0
    assert desk.send(tx.PLACE, long_term(desk, 2), sequence=now_ms - 27_000).code == 0
    desk.chain.halt(desk.now_ns + 2 * 10**9)
    desk.block()
    assert [row["clientId"] for row in desk.told()] == ["2"]


def test_what_the_book_gives_up_is_over_with_the_next_block_and_the_feed_does_not_say_it(desk: Desk) -> None:
    """A post-only order that would cross once it reaches the book."""
    crossing = long_term(desk, 1, subticks=(desk.touch(Side.SELL) + 5) * TICK)
    assert desk.send(tx.PLACE, crossing, sequence=0).code == 0
    desk.block()
    assert desk.statuses() == [("OPEN", ""), ("BEST_EFFORT_CANCELED", "POST_ONLY_WOULD_CROSS_MAKER_ORDER")]
    (order,) = [each for each in desk.chain.orders.values() if not each.id.short_term]
    desk.block()
    assert desk.statuses() == [] and order.status == "CANCELED"
    assert desk.chain.hit(order, 1, cancelled=True) == 0


def test_a_long_term_order_ends_with_its_time(desk: Desk) -> None:
    """What has filled stays; the feed tells the end without it."""
    until = desk.chain.block_ns // 10**9 + 2
    assert desk.send(tx.PLACE, long_term(desk, 1, good_til_time=until), sequence=0).code == 0
    desk.block()
    (order,) = [each for each in desk.chain.orders.values() if not each.id.short_term]
    desk.chain.hit(order, 4)
    desk.block(2)
    assert order.status == "OPEN" and order.committed == 4
    desk.told()
    while desk.chain.block_ns // 10**9 < until:
        desk.block()
    (row,) = desk.told()
    assert (row["status"], row["removalReason"]) == ("CANCELED", "ORDER_REMOVAL_REASON_EXPIRED")
    assert "totalFilled" not in row and order.rest()["totalFilled"] == "0.0004" and not order.resting


def test_a_poor_account_has_few_stateful_orders() -> None:
    desk = Desk(deposit=10)
    assert desk.send(tx.PLACE, long_term(desk, 1, quantums=LOT), sequence=0).code == 10001


def test_two_stateful_orders_a_block(desk: Desk) -> None:
    answers = [desk.send(tx.PLACE, long_term(desk, each), sequence=each).code for each in range(3)]
    assert answers == [0, 0, 5001]


def test_a_conditional_order_waits_for_the_oracle(desk: Desk) -> None:
    market = desk.chain.markets[BTC]
    order = long_term(
        desk,
        1,
        flags=tx.OrderFlags.CONDITIONAL,
        condition=2,
        trigger_subticks=(market.oracle_ticks - 100) * TICK,
        tif=tx.OrderTif.GTT,
    )
    assert desk.send(tx.PLACE, order, sequence=0).code == 0
    desk.block()
    assert desk.statuses() == [("UNTRIGGERED", "")]
    market.flow.price.push(-200.0)
    desk.block(2)
    assert desk.statuses() == [("OPEN", "")]


# Money


def test_fees_are_rounded_towards_the_protocol_and_funding_waits_for_the_next_update() -> None:
    desk = Desk(funding_period_s=1, maker_fee_ppm=-11, funding_rate_ppm=10.0)
    subaccount = desk.chain.subaccounts[desk.signers[0].address, 0]
    bid = desk.touch(Side.BUY)
    desk.place(1, Side.BUY, bid - 5, 10)
    desk.chain.hit(next(iter(desk.chain.orders.values())), 5)
    desk.block()
    worth = (bid - 5) * 5 / 10_000
    (fill,) = subaccount.fills
    assert float(fill["fee"]) == pytest.approx(-worth * 11e-6, abs=1e-6) and float(fill["fee"]) >= -worth * 11e-6
    usdc = subaccount.usdc
    desk.block(3)
    assert subaccount.payments and subaccount.usdc == usdc
    paid = sum(float(row["payment"]) for row in subaccount.payments)
    assert paid < 0
    desk.chain.hit(next(iter(desk.chain.orders.values())), 5)
    desk.block()
    assert float(subaccount.usdc) == pytest.approx(float(usdc) - worth + worth * 11e-6 + paid, abs=1e-5)


def test_a_market_that_is_not_active_takes_nothing_or_post_only(desk: Desk) -> None:
    market, bid = desk.chain.markets[BTC], desk.touch(Side.BUY)
    desk.chain.set_status(market, "POST_ONLY")
    assert desk.place(1, Side.BUY, bid - 5).code == 0
    assert desk.place(2, Side.BUY, bid - 5, tif=tx.OrderTif.IOC).code == 34
    desk.chain.set_status(market, "PAUSED")
    assert desk.place(3, Side.BUY, bid - 5).code == 34


def test_the_indexer_may_never_hear_of_an_order_that_fills(desk: Desk) -> None:
    desk.chain.troubles[Trouble.UNTOLD] = 1
    desk.place(1, Side.BUY, desk.touch(Side.BUY) - 5)
    assert desk.told() == []
    desk.chain.hit(next(iter(desk.chain.orders.values())), 10)
    desk.block()
    assert desk.statuses() == [("FILLED", "")]


def test_a_chain_that_halts_makes_no_block_and_none_up_afterwards() -> None:
    """An order that waits for its last block lives longer for it."""
    desk = Desk()
    height = desk.chain.height
    desk.chain.halt(START_NS + 10 * BLOCK_NS)
    desk.chain.advance(START_NS + 10 * BLOCK_NS - 1)
    assert desk.chain.height == height
    desk.chain.advance(START_NS + 10 * BLOCK_NS)
    assert desk.chain.height == height + 1
    desk.chain.advance(START_NS + 11 * BLOCK_NS)
    assert desk.chain.height == height + 2
