"""The simulated Hyperliquid's blocks, orders and accounts, on virtual time and without a socket."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from coincurve import PrivateKey
from Crypto.Hash import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.simulators.hyperliquid import wire
from connectors.simulators.hyperliquid.accounts import USDC, Nonces, Position
from connectors.simulators.hyperliquid.exchange import Exchange
from connectors.simulators.hyperliquid.info import Info
from connectors.simulators.hyperliquid.market import money, number
from connectors.simulators.hyperliquid.settings import CoinSettings, HyperliquidVenueSettings
from mm_daemon.domain.orders import Side

START_NS = 1_790_000_000_000_000_000
BLOCK_NS = 70_000_000
QUIET = CoinSettings(volatility=0.0, trades_per_second=0.0, impact_bps=0.0, join_chance=0.0, pull_chance=0.0)


def _hash(*parts: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=b"".join(parts)).digest()


def signed(key: bytes, action: dict[str, Any], nonce: int, **more: Any) -> wire.ExchangeRequest:
    """A request as a client makes it, by the documents' nine steps."""
    data = msgspec.msgpack.encode(action) + nonce.to_bytes(8, "big")
    vault, expires = more.get("vaultAddress"), more.get("expiresAfter")
    data += b"\x00" if vault is None else b"\x01" + bytes.fromhex(vault[2:])
    data += b"" if expires is None else b"\x00" + expires.to_bytes(8, "big")
    agent = _hash(_hash(b"Agent(string source,bytes32 connectionId)"), _hash(b"b"), _hash(data))
    domain = bytes.fromhex("d79297fcdf2ffcd4ae223d01edaa2ba214ff8f401d7c9300d995d17c82aa4040")
    signature = PrivateKey(key).sign_recoverable(_hash(b"\x19\x01", domain, agent), hasher=None)
    rsv = {"r": f"0x{signature[:32].hex()}", "s": f"0x{signature[32:64].hex()}", "v": 27 + signature[64]}
    body = {"action": action, "nonce": nonce, "signature": rsv, **more}
    return msgspec.json.decode(msgspec.json.encode(body), type=wire.ExchangeRequest)


class Desk:
    """An exchange with quiet coins, its first two accounts, and a way to act in blocks."""

    def __init__(self, **keys: Any) -> None:
        made = HyperliquidVenueSettings(coins={"BTC": QUIET, "ETH": QUIET}, **keys)
        self.exchange = Exchange(("BTC", "ETH"), made, 1, START_NS)
        self.now_ns = START_NS
        self.btc = self.exchange.by_coin["BTC"]
        self.info = Info(self.exchange, lambda: self.now_ns // 1_000_000)
        self.users = list(self.exchange.accounts)
        self.said: list[Any] = []
        self._nonce = START_NS // 1_000_000
        self.block()

    def block(self, count: int = 1) -> None:
        self.now_ns += count * BLOCK_NS
        self.said += self.exchange.advance(self.now_ns)

    def send(self, action: dict[str, Any], user: int = 0, **more: Any) -> list[Any]:
        """Hand in an action for the next block; the list that its reply will be in."""
        self._nonce += 1
        replies: list[Any] = []
        self.exchange.submit(signed(self.exchange.keys[user], action, self._nonce, **more), replies.append)
        return replies

    def act(self, action: dict[str, Any], user: int = 0, **more: Any) -> Any:
        """The reply after the next block."""
        replies = self.send(action, user, **more)
        self.block()
        (reply,) = replies
        return reply

    def status(self, action: dict[str, Any], user: int = 0) -> Any:
        reply = self.act(action, user)
        assert reply["status"] == "ok", reply
        return reply["response"]["data"]["statuses"][0]

    @property
    def bid(self) -> int:
        return self.btc.book.best(Side.BUY) // 10

    @property
    def ask(self) -> int:
        return self.btc.book.best(Side.SELL) // 10

    def heard(self, channel: str, user: int = 0) -> list[Any]:
        return [said.data for said in self.said if said.key == (channel, self.users[user])]


def order(price: int, size: str = "0.001", *, buy: bool = True, tif: str = "Alo", **more: Any) -> dict[str, Any]:
    row = {"a": 0, "b": buy, "p": str(price), "s": size, "r": False, "t": {"limit": {"tif": tif}}, **more}
    return {"type": "order", "orders": [row], "grouping": "na"}


def test_post_only_orders_come_before_cancels_and_cancels_before_takers() -> None:
    """Whatever the order of arrival: a quote sent last stands before the taker of the same block."""
    desk = Desk()
    old = desk.status(order(desk.bid - 500))["resting"]["oid"]
    price = desk.bid + (desk.ask - desk.bid) // 2
    taker = desk.send(order(price, buy=False, tif="Ioc"), user=1)
    cancel = desk.send({"type": "cancel", "cancels": [{"a": 0, "o": old}]})
    quote = desk.send(order(price))
    assert not taker and not cancel and not quote  # nothing happens before the block
    desk.block()
    assert quote[0]["response"]["data"]["statuses"][0]["resting"]
    assert cancel[0]["response"]["data"]["statuses"] == ["success"]
    assert taker[0]["response"]["data"]["statuses"][0]["filled"]["avgPx"] == str(price)
    (fills,) = desk.heard("userFills")
    assert (fills["fills"][0].crossed, fills["fills"][0].px) == (False, f"{price}.0")


def test_an_address_never_trades_with_itself() -> None:
    """Its resting order goes, with its own status, and the taker goes on to what stands behind."""
    desk = Desk()
    price = desk.ask - 1
    mine = desk.status(order(price, "0.01", buy=False))["resting"]["oid"]
    taken = desk.status(order(desk.ask + 5, tif="Ioc"))
    assert float(taken["filled"]["avgPx"]) > price
    assert desk.exchange.accounts[desk.users[0]].find(mine).status == "selfTradeCanceled"  # type: ignore[union-attr]
    assert {"nonUserCancel": [{"coin": "BTC", "oid": mine}]} in desk.heard("userEvents")


def test_a_modified_order_is_another_one() -> None:
    """New oid, at the back of the queue; the stream tells the end of the old one and the new one."""
    desk = Desk()
    cloid = "0x" + "ab" * 16
    oid = desk.status(order(desk.bid - 10, c=cloid))["resting"]["oid"]
    row = order(desk.bid - 20, c=cloid)["orders"][0]
    fresh = desk.status({"type": "batchModify", "modifies": [{"oid": cloid, "order": row}]})["resting"]["oid"]
    assert fresh != oid
    rows = desk.heard("orderUpdates")[-1]
    assert [(row["order"]["oid"], row["status"]) for row in rows] == [(oid, "canceled"), (fresh, "open")]
    answer = desk.act({"type": "modify", "oid": oid, "order": row})
    assert answer == {"status": "err", "response": "Cannot modify canceled or filled order"}


def test_reducing_orders_never_exceed_the_position() -> None:
    """The older one goes when both are more than the position, and all go when it is closed."""
    desk = Desk()
    desk.status(order(desk.ask, "0.01", tif="Ioc"))
    high = desk.ask + 1000
    first, second = (desk.status(order(high, size, buy=False, r=True)) for size in ("0.004", "0.008"))
    del first
    account = desk.exchange.accounts[desk.users[0]]
    assert list(account.orders) == [second["resting"]["oid"]]
    desk.status(order(desk.bid, "0.01", buy=False, tif="Ioc"))
    assert not account.orders


def test_margin_is_wanted_at_placement_and_when_a_resting_order_matches() -> None:
    """A maker whose money has gone meanwhile loses its order instead of trading."""
    desk = Desk(deposit=1000)
    refused = desk.status(order(desk.bid, "10"))
    assert refused["error"] == "Insufficient margin to place order. asset=0"
    price = desk.bid + 1
    oid = desk.status(order(price, "0.1"))["resting"]["oid"]
    account = desk.exchange.accounts[desk.users[0]]
    account.usdc = USDC
    desk.act(order(price, "0.1", buy=False, tif="Ioc"), user=1)
    assert account.find(oid).status == "marginCanceled"  # type: ignore[union-attr]


def test_a_batch_is_not_atomic_and_too_far_is_one_error_for_all() -> None:
    """Each order has its status; what follows from the payload alone is said once."""
    desk = Desk()
    good, tiny = order(desk.bid - 1)["orders"][0], order(desk.bid - 2, "0.0001")["orders"][0]
    reply = desk.act({"type": "order", "orders": [good, tiny], "grouping": "na"})
    one, two = reply["response"]["data"]["statuses"]
    assert "resting" in one and two == {"error": "Order must have minimum value of $10. asset=0"}
    far = order(3 * desk.ask, buy=False)["orders"][0]
    reply = desk.act({"type": "order", "orders": [good, far], "grouping": "na"})
    assert reply["status"] == "err" and "reference price" in reply["response"]


def test_what_is_not_the_shortest_text_is_signed_for_somebody_else() -> None:
    """The venue hashes its own writing of a number: trailing zeros name an address nobody knows."""
    desk = Desk()
    replies = desk.send(order(desk.bid - 1, "0.0010"))
    assert replies[0]["status"] == "err"
    assert replies[0]["response"].startswith("User or API Wallet 0x")
    assert desk.users[0] not in replies[0]["response"]


def test_a_noop_with_the_same_nonce_shuts_the_other_out() -> None:
    """Whichever is first in the block is the only one; noops are in the first class."""
    desk = Desk()
    key, nonce = desk.exchange.keys[0], desk.now_ns // 1_000_000
    taker: list[Any] = []
    noop: list[Any] = []
    desk.exchange.submit(signed(key, order(desk.ask, tif="Ioc"), nonce), taker.append)
    desk.exchange.submit(signed(key, {"type": "noop"}, nonce), noop.append)
    desk.block()
    assert noop[0]["status"] == "ok"
    assert taker[0]["response"] == f"Invalid nonce: duplicate nonce {nonce}"


def test_partly_taken_order_rests_with_what_remains() -> None:
    """A Gtc order that took a part: its rest is shown with the original size beside it."""
    desk = Desk()
    lots = desk.btc.book.lots_at(Side.SELL, desk.btc.book.best(Side.SELL))
    reply = desk.status(order(desk.ask, desk.btc.size(lots + 100), tif="Gtc"))
    (shown,) = desk.info.read(wire.InfoRequest("openOrders", user=desk.users[0]))
    assert shown["oid"] == reply["resting"]["oid"]
    assert (shown["sz"], shown["origSz"]) == ("0.001", wire.shortest(desk.btc.size(lots + 100)))


@given(nonces=st.lists(st.integers(0, 400), min_size=1, max_size=300))
@settings(max_examples=50)
def test_nonces_are_used_once_and_not_below_the_hundred_highest(nonces: list[int]) -> None:
    """For any order of arrival."""
    kept = Nonces()
    taken: set[int] = set()
    for nonce in nonces:
        highest = sorted(taken)[-100:]
        wanted = nonce not in taken and (len(highest) < 100 or nonce > highest[0])
        assert (kept.problem(nonce, 100) is None) == wanted
        if wanted:
            taken.add(nonce)


@given(
    trades=st.lists(
        st.tuples(st.sampled_from(list(Side)), st.integers(1, 10**6), st.integers(1, 10**4)), min_size=1, max_size=30
    )
)
def test_profit_is_what_was_paid_and_what_is_held(trades: list[tuple[Side, int, int]]) -> None:
    """Realised and unrealised profit are the cash flow, to a rounding of 1e-12 a trade."""
    position, profit, cash = Position(5), 0, 0
    for side, ticks, lots in trades:
        profit += position.trade(side, ticks, lots)
        cash -= side * ticks * lots * 10**6
    mark = 12345
    total = profit + (position.unrealised(mark) if position.lots else 0)
    assert abs(total - (cash + position.lots * mark * 10**6)) <= len(trades)


@pytest.mark.parametrize(
    ("units", "decimals", "text"), [(0, 2, "0.0"), (600000, 1, "60000.0"), (12345, 3, "12.345"), (-50, 1, "-5.0")]
)
def test_numbers_are_shown_as_the_venue_shows_them(units: int, decimals: int, text: str) -> None:
    """One decimal at least, no zeros behind it."""
    assert number(units, decimals) == text


def test_one_seed_is_one_history_of_the_others() -> None:
    """Two exchanges of one seed tell the same market, another seed another."""

    def history(seed: int) -> list[Any]:
        exchange = Exchange(("BTC",), HyperliquidVenueSettings(), seed, START_NS)
        said = exchange.advance(START_NS + 20_000_000_000)
        return [each for each in said if each.key[0] in ("bbo", "trades")]

    assert history(1) == history(1)
    assert history(1) != history(2)


def test_the_others_trade_with_quotes_at_the_touch() -> None:
    """In a usual market a quote inside the spread is taken before long, as a maker, with its fee."""
    desk = Desk()
    exchange = Exchange(("BTC",), HyperliquidVenueSettings(), 1, START_NS)
    desk.exchange, desk.btc = exchange, exchange.by_coin["BTC"]
    desk.block()
    desk.status(order((desk.bid + desk.ask) // 2, "0.001"))
    desk.block(1500)
    fills = [fill for data in desk.heard("userFills") for fill in data["fills"]]
    assert fills and not any(fill.crossed for fill in fills)
    notional = sum(float(fill.px) * float(fill.sz) for fill in fills)
    assert sum(float(fill.fee) for fill in fills) == pytest.approx(0.00015 * notional, rel=1e-4)
    prices = desk.heard("bbo", 0) or [said.data for said in desk.said if said.key == ("bbo", "BTC")]
    assert all(float(row["bbo"][0]["px"]) < float(row["bbo"][1]["px"]) for row in prices)
    assert all(float(row["bbo"][0]["px"]).is_integer() for row in prices)  # five figures: whole prices at 60,000


def test_fees_and_funding_are_charged_as_they_are_shown() -> None:
    """To the last decimal on the wire, so that an account is what its rows add up to."""
    desk = Desk()
    price = desk.bid + (desk.ask - desk.bid) // 2
    desk.status(order(price, "0.00017"))
    desk.status(order(price, "0.00017", buy=False, tif="Ioc"), user=1)
    before = HyperliquidVenueSettings().deposit
    for number_of, user in enumerate(desk.users[:2]):
        account = desk.exchange.accounts[user]
        (fill,) = [fill for data in desk.heard("userFills", number_of) for fill in data["fills"]]
        assert account.usdc == (before - Decimal(fill.fee)) * USDC  # nothing is realised by an opening trade
        had = account.usdc
        received = account.pay_funding(desk.btc, 12_345_679)
        assert received and account.usdc - had == received == Decimal(money(received)) * USDC
