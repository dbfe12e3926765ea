"""Spot pairs and builders' dexes of the simulated Hyperliquid, on virtual time and without a socket."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from connectors.simulators.hyperliquid import spot, wire
from connectors.simulators.hyperliquid.exchange import Exchange
from connectors.simulators.hyperliquid.info import Info, NoSuch
from connectors.simulators.hyperliquid.settings import CoinSettings, HyperliquidVenueSettings
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.orders import Side
from tests.unit.connectors.simulators.test_hyperliquid_exchange import BLOCK_NS, QUIET, START_NS, signed

COINS = ("BTC", "PURR/USDC", "HYPE/USDC", "xyz:GOLD", "abc:OIL", "abc:GAS")
PURR, HYPE = 10_000, 10_107


class Desk:
    """An exchange with quiet markets of each kind, and a way to act in blocks."""

    def __init__(self, held: int = 1000, market: CoinSettings = QUIET, **keys: Any) -> None:
        pair = msgspec.structs.replace(market, held=Decimal(held))
        coins = {coin: pair if "/" in coin else QUIET for coin in COINS}
        made = HyperliquidVenueSettings(coins=coins, **keys)
        self.exchange = Exchange(COINS, made, 1, START_NS)
        self.now_ns = START_NS
        self.hype = self.exchange.by_coin["@107"]
        self.info = Info(self.exchange, lambda: self.now_ns // 1_000_000, unified=made.unified)
        self.user = next(iter(self.exchange.accounts))
        self.said: list[Any] = []
        self._nonce = START_NS // 1_000_000
        self.block()

    def block(self, count: int = 1) -> None:
        self.now_ns += count * BLOCK_NS
        self.said += self.exchange.advance(self.now_ns)

    def status(self, asset: int, price: str, size: str, *, buy: bool = True, tif: str = "Gtc", **more: Any) -> Any:
        """The status of one order after the next block."""
        self._nonce += 1
        row = {"a": asset, "b": buy, "p": price, "s": size, "r": False, "t": {"limit": {"tif": tif}}, **more}
        replies: list[Any] = []
        action = {"type": "order", "orders": [row], "grouping": "na"}
        self.exchange.submit(signed(self.exchange.keys[0], action, self._nonce), replies.append)
        self.block()
        (reply,) = replies
        assert reply["status"] == "ok", reply
        return reply["response"]["data"]["statuses"][0]

    def read(self, kind: str, **keys: Any) -> Any:
        return self.info.read(wire.InfoRequest(kind, user=self.user, **keys))

    def balances(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Total and hold by token."""
        rows = self.read("spotClearinghouseState")["balances"]
        return {row["coin"]: (Decimal(row["total"]), Decimal(row["hold"])) for row in rows}

    def best(self, side: Side) -> str:
        return wire.shortest(self.hype.price(self.hype.book.best(side)))


def test_pairs_are_named_and_numbered_as_the_venue_does() -> None:
    """One by its tokens, the others by their index; tokens by theirs; prices with 8 decimals less those of sizes."""
    desk = Desk()
    meta = desk.read("spotMeta")
    assert [(row["name"], row["index"], row["tokens"]) for row in meta["universe"]] == [
        ("PURR/USDC", 0, [1, 0]),
        ("@107", 107, [2, 0]),
    ]
    assert [(row["name"], row["index"], row["szDecimals"]) for row in meta["tokens"]] == [
        ("USDC", 0, 8),
        ("PURR", 1, 0),
        ("HYPE", 2, 2),
    ]
    assert (desk.exchange.markets[PURR].price_decimals, desk.exchange.markets[HYPE].price_decimals) == (8, 6)
    same, contexts = desk.read("spotMetaAndAssetCtxs")
    assert same == meta and [context["coin"] for context in contexts] == ["PURR/USDC", "@107"]
    assert {"BTC", "PURR/USDC", "@107"} <= desk.read("allMids").keys()
    assert [row["name"] for row in desk.read("meta")["universe"]] == ["BTC", "MATIC"]
    assert desk.read("l2Book", coin="@107")["coin"] == "@107" and desk.read("l2Book", coin="HYPE/USDC") is None


@pytest.mark.parametrize("symbols", [("HYPE/USDT",), ("@x",), ("HYPE/USDC", "@107"), ("/USDC",)])
def test_pairs_that_cannot_be_are_refused(symbols: tuple[str, ...]) -> None:
    """At the start, with what was written."""
    with pytest.raises(ConfigError, match="--symbols: "):
        spot.pairs(symbols)


def test_a_purchase_pays_in_what_was_bought_and_a_sale_in_money() -> None:
    """Balances move by exactly what the fills say; the base is kept to eight decimals, rounded against the account."""
    desk = Desk()
    before = desk.balances()
    assert before == {"USDC": (100_000, 0), "PURR": (1000, 0), "HYPE": (1000, 0)}
    desk.status(HYPE, desk.best(Side.SELL), "1.23", tif="Ioc")
    bought = desk.read("userFills")[0]
    assert (bought.coin, bought.dir, bought.crossed) == ("@107", "Buy", True)
    assert (bought.feeToken, bought.startPosition) == ("HYPE", "1000.0")
    assert bought.fee == "0.000861"  # 7 bps
    desk.status(HYPE, desk.best(Side.BUY), "0.5", buy=False, tif="Ioc")
    sold = desk.read("userFills")[0]
    assert (sold.dir, sold.feeToken, sold.startPosition) == ("Sell", "USDC", "1001.229139")
    proceeds = Decimal(sold.px) * Decimal(sold.sz)
    assert Decimal(sold.fee) == (proceeds * Decimal("0.0007")).quantize(Decimal("1e-8"), rounding="ROUND_UP")
    after = desk.balances()
    assert after["HYPE"] == (1000 + Decimal("1.23") - Decimal("0.000861") - Decimal("0.5"), 0)
    assert after["USDC"] == (100_000 - Decimal(bought.px) * Decimal(bought.sz) + proceeds - Decimal(sold.fee), 0)
    assert desk.read("clearinghouseState")["marginSummary"]["accountValue"] == "100000.0"
    assert desk.read("clearinghouseState")["assetPositions"] == []
    (told,) = [said.data for said in desk.said if said.key == ("userFills", desk.user)][-1]["fills"]
    assert told == sold


def test_open_orders_hold_what_they_would_cost_and_no_more_can_be_ordered() -> None:
    """Quote of bids, base of asks; an end gives it back."""
    desk = Desk(held=10, spot_deposit=Decimal(1000))
    bid = desk.status(HYPE, "30", "20")["resting"]["oid"]
    desk.status(HYPE, "50", "7.5", buy=False)
    assert desk.balances()["USDC"] == (1000, 600) and desk.balances()["HYPE"] == (10, Decimal("7.5"))
    assert desk.status(HYPE, "31", "13")["error"] == "Insufficient spot balance asset=10107"
    assert desk.status(HYPE, "51", "2.51", buy=False)["error"] == "Insufficient spot balance asset=10107"
    account = desk.exchange.accounts[desk.user]
    desk.exchange.floor.cancel(account, account.orders[bid], "canceled", 1)
    assert "resting" in desk.status(HYPE, "31", "13")
    statuses = [row["status"] for row in desk.read("historicalOrders")]
    assert statuses.count("insufficientSpotBalanceRejected") == 2
    assert [row["coin"] for row in desk.read("openOrders")] == ["@107", "@107"]


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"price": "39.0001"}, "Price must be divisible by tick size."),
        ({"size": "1.001"}, "Order has invalid size."),
        ({"size": "0.25"}, "Order must have minimum value of 10 USDC."),
        ({"r": True}, "Reduce only order would increase position."),
    ],
)
def test_orders_are_refused_by_the_rules_of_spot(order: dict[str, Any], words: str) -> None:
    """Five figures, the base's decimals, ten of the quote, and nothing to reduce."""
    row = {"price": "39", "size": "1", **order}
    found = Desk().status(HYPE, row.pop("price"), row.pop("size"), **row)
    assert found["error"] == f"{words} asset=10107"


def test_every_balance_is_the_sum_of_the_fills() -> None:
    """Through many trades of both sides, as maker and as taker, to the last unit."""
    desk = Desk(market=CoinSettings(volatility=0.5, trades_per_second=20.0, join_chance=0.5))
    for turn in range(60):
        buy = turn % 2 == 0
        best = desk.best(Side.BUY if buy else Side.SELL)
        taken = desk.best(Side.SELL if buy else Side.BUY)
        desk.status(HYPE, best, "3.21", buy=buy)
        desk.status(HYPE, taken, f"{turn + 30}.07", buy=buy, tif="Ioc")
        desk.block(5)
        account = desk.exchange.accounts[desk.user]
        desk.exchange.floor.cancel_all(account, "canceled", desk.now_ns // 1_000_000)
    fills = desk.read("userFills")
    assert {fill.crossed for fill in fills} == {True, False}
    base, quote = Decimal(1000), Decimal(100_000)
    for fill in fills:
        sign = 1 if fill.side == "B" else -1
        base += sign * Decimal(fill.sz) - (Decimal(fill.fee) if fill.feeToken == "HYPE" else 0)
        quote -= sign * Decimal(fill.px) * Decimal(fill.sz) + (Decimal(fill.fee) if fill.feeToken == "USDC" else 0)
    assert desk.balances() == {"USDC": (quote, 0), "PURR": (1000, 0), "HYPE": (base, 0)}


def test_money_of_a_unified_account_is_one() -> None:
    """A purchase of spot leaves less for perpetuals, and what an order holds is not free for either."""
    desk = Desk(unified=True)
    assert desk.balances()["USDC"] == (100_000, 0)
    desk.status(HYPE, "30", "3000")
    assert desk.balances()["USDC"] == (100_000, 90_000)
    assert desk.status(HYPE, "30", "400")["error"].startswith("Insufficient spot balance")
    assert desk.status(0, "59000", "5")["error"].startswith("Insufficient margin")  # a twentieth of 295,000


# Builders' dexes


def test_builders_perpetuals_have_numbers_of_their_own() -> None:
    """By the place of the dex among all, and the place in its universe; reads of one dex show nothing of another."""
    desk = Desk()
    assert [None if row is None else row["name"] for row in desk.read("perpDexs")] == [None, "xyz", "abc"]
    assert [row["name"] for row in desk.read("meta", dex="abc")["universe"]] == ["abc:OIL", "abc:GAS"]
    assert desk.exchange.by_coin["xyz:GOLD"].number == 110_000
    assert desk.exchange.by_coin["abc:GAS"].number == 120_001
    oid = desk.status(120_001, "99", "1")["resting"]["oid"]
    assert [row["oid"] for row in desk.read("openOrders", dex="abc")] == [oid]
    assert desk.read("openOrders") == desk.read("openOrders", dex="xyz") == []
    desk.status(110_000, "101", "1", tif="Ioc")
    (held,) = desk.read("clearinghouseState", dex="xyz")["assetPositions"]
    assert (held["position"]["coin"], held["position"]["szi"]) == ("xyz:GOLD", "1.0")
    assert desk.read("clearinghouseState")["assetPositions"] == []
    with pytest.raises(NoSuch):
        desk.read("meta", dex="nope")
