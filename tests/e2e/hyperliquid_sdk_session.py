"""The official SDK against a simulated venue, with nothing changed but the URL. Runs in the SDK's own environment.

Called with the part to play and the line that `mm-daemon simulate hyperliquid` printed. Prints the names of the checks
that held, as JSON; a check that fails ends it with a traceback. Nothing here imports the daemon.
"""

import json
import queue
import sys
import time
from typing import Any

import eth_account
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info
from hyperliquid.utils.error import ClientError, ServerError
from hyperliquid.utils.signing import get_timestamp_ms, sign_l1_action
from hyperliquid.utils.types import Cloid

PATIENCE_S = 20
ALO, GTC, IOC = ({"limit": {"tif": tif}} for tif in ("Alo", "Gtc", "Ioc"))


class Session:
    def __init__(self, venue: dict[str, Any]) -> None:
        self.url = venue["rest"]
        self.wallets = [eth_account.Account.from_key(account["private_key"]) for account in venue["accounts"]]
        self.addresses = [account["address"] for account in venue["accounts"]]
        assert [wallet.address.lower() for wallet in self.wallets] == self.addresses
        self.info = Info(self.url, skip_ws=True)
        self.exchange = Exchange(self.wallets[0], self.url)
        self.me = self.addresses[0]

    def mid(self, coin: str = "BTC") -> float:
        return float(self.info.all_mids()[coin])

    def far_bid(self, coin: str = "BTC") -> float:
        return float(round(self.mid(coin) * 0.9))

    def resting(self, cloid: str | None = None, **keys: Any) -> int:
        """Oid of a new bid far from the market."""
        made = Cloid(cloid) if cloid else None
        reply = self.exchange.order("BTC", True, 0.001, self.far_bid(), GTC, cloid=made, **keys)
        return int(first(reply)["resting"]["oid"])


def first(reply: dict[str, Any]) -> Any:
    assert reply["status"] == "ok", reply
    return reply["response"]["data"]["statuses"][0]


def refused(reply: dict[str, Any], text: str) -> None:
    """The whole action was refused with these words."""
    assert reply["status"] == "err" and reply["response"].startswith(text), (text, reply)


def error(reply: dict[str, Any], text: str) -> None:
    """One order was refused with these words, and with its asset at the end."""
    found = first(reply)["error"]
    assert found.startswith(text) and " asset=" in found, (text, reply)


# Reads


def reads(s: Session) -> None:
    info = s.info
    meta = info.meta()
    names = [each["name"] for each in meta["universe"]]
    assert names == ["BTC", "MATIC", "ETH"] and meta["universe"][1]["isDelisted"]
    assert info.name_to_asset("ETH") == 2
    same, contexts = info.meta_and_asset_ctxs()
    assert same == meta and len(contexts) == 3
    assert {"funding", "markPx", "oraclePx", "midPx", "impactPxs", "openInterest"} <= set(contexts[0])
    assert set(info.all_mids()) == set(names)
    book = info.l2_snapshot("BTC")
    bids, asks = book["levels"]
    assert float(bids[0]["px"]) < float(asks[0]["px"]) and set(bids[0]) == {"px", "sz", "n"}
    state = info.user_state(s.me)
    assert float(state["marginSummary"]["accountValue"]) == 100_000 and state["assetPositions"] == []
    assert info.open_orders(s.me) == info.frontend_open_orders(s.me) == info.user_fills(s.me) == []
    fees = info.user_fees(s.me)
    assert (float(fees["userCrossRate"]), float(fees["userAddRate"])) == (0.00045, 0.00015)
    assert info.user_rate_limit(s.me)["nRequestsCap"] == 10_000
    assert info.user_role(s.me) == {"role": "user"}
    assert info.user_role("0x" + "12" * 20) == {"role": "missing"}
    assert info.user_funding_history(s.me, 0) == []
    assert info.extra_agents(s.me) == []
    assert info.query_order_by_oid(s.me, 1) == {"status": "unknownOid"}


def bad_requests(s: Session) -> None:
    for payload, status in (({"type": "noSuchThing"}, 422), ({"type": "openOrders"}, 422)):
        try:
            s.info.post("/info", payload)
        except ClientError as problem:
            assert problem.status_code == status, problem
        else:
            raise AssertionError(payload)
    for payload in ({"type": "meta", "dex": "nope"}, {"type": "fundingHistory", "coin": "NOPE", "startTime": 0}):
        try:
            s.info.post("/info", payload)
        except ServerError as problem:
            assert problem.status_code == 500
        else:
            raise AssertionError(payload)
    assert s.info.post("/info", {"type": "l2Book", "coin": "NOPE"}) is None
    session = s.info.session
    assert session.get(f"{s.url}/info").status_code == 405
    assert session.post(f"{s.url}/info", data="{").status_code == 400
    assert session.post(f"{s.url}/info", data="{}", headers={"Content-Type": "text/plain"}).status_code == 415


# Orders


def an_order_and_its_names(s: Session) -> None:
    cloid = "0x" + "ab" * 16
    oid = s.resting(cloid)
    (shown,) = s.info.open_orders(s.me)
    assert (shown["oid"], shown["cloid"], shown["side"], float(shown["sz"])) == (oid, cloid, "B", 0.001)
    assert "reduceOnly" not in shown
    (frontend,) = s.info.frontend_open_orders(s.me)
    assert (frontend["orderType"], frontend["tif"], frontend["isTrigger"]) == ("Limit", "Gtc", False)
    for answer in (s.info.query_order_by_oid(s.me, oid), s.info.query_order_by_cloid(s.me, Cloid(cloid))):
        assert answer["order"]["status"] == "open" and answer["order"]["order"]["oid"] == oid
    assert first(s.exchange.cancel("BTC", oid)) == "success"
    assert s.info.query_order_by_oid(s.me, oid)["order"]["status"] == "canceled"
    error(s.exchange.cancel("BTC", oid), "Order was never placed, already canceled, or filled.")
    s.resting(cloid)
    assert first(s.exchange.cancel_by_cloid("BTC", Cloid(cloid))) == "success"
    assert s.info.open_orders(s.me) == []


def batches(s: Session) -> None:
    bid = s.far_bid()
    row = {"coin": "BTC", "is_buy": True, "sz": 0.001, "limit_px": bid, "order_type": ALO, "reduce_only": False}
    cross = {**row, "limit_px": float(round(s.mid() * 1.01))}
    small = {**row, "sz": 0.0001}
    reply = s.exchange.bulk_orders([row, cross, small, {**row, "limit_px": bid - 1}])
    one, two, three, four = reply["response"]["data"]["statuses"]
    assert "resting" in one and "resting" in four
    assert two["error"].startswith("Post only order would have immediately matched, bbo was ")
    assert three["error"] == "Order must have minimum value of $10. asset=0"
    oids = [one["resting"]["oid"], four["resting"]["oid"]]
    modified = s.exchange.bulk_modify_orders_new(
        [{"oid": oid, "order": {**row, "limit_px": bid - 10 - n, "cloid": None}} for n, oid in enumerate(oids)]
    )
    fresh = [each["resting"]["oid"] for each in modified["response"]["data"]["statuses"]]
    assert not set(fresh) & set(oids)
    assert sorted(each["oid"] for each in s.info.open_orders(s.me)) == sorted(fresh)
    cancels = s.exchange.bulk_cancel([{"coin": "BTC", "oid": oid} for oid in fresh])
    assert cancels["response"]["data"]["statuses"] == ["success", "success"]


def modifies(s: Session) -> None:
    oid = s.resting()
    bid = s.far_bid() - 50
    fresh = first(s.exchange.modify_order(oid, "BTC", True, 0.002, bid, ALO))["resting"]["oid"]
    (shown,) = s.info.open_orders(s.me)
    assert (shown["oid"], float(shown["sz"]), float(shown["limitPx"])) == (fresh, 0.002, bid)
    refused(s.exchange.modify_order(oid, "BTC", True, 0.002, bid, ALO), "Cannot modify canceled or filled order")
    through = float(round(s.mid() * 1.02))
    reply = s.exchange.modify_order(fresh, "BTC", True, 0.002, through, ALO)
    refused(reply, "Error placing new order during modify: Post only order would have immediately matched")
    assert s.info.open_orders(s.me) == []


def market_orders(s: Session) -> None:
    before = s.info.user_rate_limit(s.me)["cumVlm"]
    filled = first(s.exchange.market_open("BTC", True, 0.01))["filled"]
    assert float(filled["totalSz"]) == 0.01
    (held,) = s.info.user_state(s.me)["assetPositions"]
    assert float(held["position"]["szi"]) == 0.01
    assert abs(float(held["position"]["entryPx"]) - float(filled["avgPx"])) < 1e-6
    (fill, *_) = s.info.user_fills(s.me)
    assert (
        fill["oid"] == filled["oid"] and fill["crossed"] and fill["dir"] == "Open Long" and fill["feeToken"] == "USDC"
    )
    paid = sum(float(each["fee"]) for each in s.info.user_fills(s.me))
    traded = sum(float(each["px"]) * float(each["sz"]) for each in s.info.user_fills(s.me))
    assert abs(paid - traded * 0.00045) < 1e-4
    assert s.info.user_fills_by_time(s.me, fill["time"] - 1000, fill["time"])
    assert float(s.info.user_rate_limit(s.me)["cumVlm"]) > float(before)
    closed = first(s.exchange.market_close("BTC"))["filled"]
    assert float(closed["totalSz"]) == 0.01
    assert s.info.user_state(s.me)["assetPositions"] == []


def reduce_only(s: Session) -> None:
    text = "Reduce only order would increase position."
    error(s.exchange.order("BTC", True, 0.001, s.far_bid(), GTC, reduce_only=True), text)
    first(s.exchange.market_open("BTC", True, 0.01))
    error(s.exchange.order("BTC", True, 0.001, s.far_bid(), GTC, reduce_only=True), text)
    high = float(round(s.mid() * 1.1))
    oids = [
        first(s.exchange.order("BTC", False, size, high, GTC, reduce_only=True))["resting"]["oid"]
        for size in (0.004, 0.01)
    ]
    shown = s.info.open_orders(s.me)
    assert [each["oid"] for each in shown] == oids[1:] and shown[0]["reduceOnly"] is True
    assert s.info.query_order_by_oid(s.me, oids[0])["order"]["status"] == "reduceOnlyCanceled"
    s.exchange.cancel("BTC", oids[1])
    capped = first(s.exchange.order("BTC", False, 0.05, float(round(s.mid() * 0.98)), IOC, reduce_only=True))
    assert float(capped["filled"]["totalSz"]) == 0.01
    assert s.info.user_state(s.me)["assetPositions"] == []


def refusals_of_orders(s: Session) -> None:
    bid, order = s.far_bid(), s.exchange.order
    error(order("BTC", True, 0.001, bid + 0.5, GTC), "Price must be divisible by tick size.")
    error(order("BTC", True, 0.0, bid, GTC), "Order has zero size.")
    error(order("BTC", True, 0.000001, bid, GTC), "Order has invalid size.")
    error(order("BTC", True, 0.0001, bid, GTC), "Order must have minimum value of $10.")
    error(order("BTC", True, 1000.0, bid, GTC), "Insufficient margin to place order.")
    error(order("BTC", True, 0.001, bid, IOC), "Order could not immediately match against any resting orders.")
    error(
        order("BTC", True, 0.001, float(round(s.mid() * 1.01)), ALO), "Post only order would have immediately matched"
    )
    error(order("MATIC", True, 10.0, 90.0, GTC), "Asset 1 is not tradable")
    refused(order("BTC", True, 0.001, float(round(s.mid() * 3)), GTC), "Order price cannot be more than 95% away")
    trigger = {"trigger": {"isMarket": True, "triggerPx": float(round(s.mid() * 1.2)), "tpsl": "sl"}}
    error(order("BTC", False, 0.001, bid, trigger), "Invalid TP/SL price.")
    refused(s.exchange.bulk_orders([]), "Empty batch of orders")
    builder = {"b": "0x" + "12" * 20, "f": 1}
    refused(order("BTC", True, 0.001, bid, GTC, builder=builder), "Builder fee has not been approved")
    assert s.info.open_orders(s.me) == []


def triggers(s: Session) -> None:
    stop = {"trigger": {"isMarket": True, "triggerPx": float(round(s.mid() * 0.8)), "tpsl": "sl"}}
    price = float(round(s.mid() * 0.75))
    assert first(s.exchange.order("BTC", False, 0.001, price, stop)) == "waitingForTrigger"
    (shown,) = s.info.frontend_open_orders(s.me)
    assert shown["isTrigger"] and shown["orderType"] == "Stop Market" and shown["tif"] is None
    assert first(s.exchange.cancel("BTC", shown["oid"])) == "success"


def leverage(s: Session) -> None:
    assert s.exchange.update_leverage(5, "BTC") == {"status": "ok", "response": {"type": "default"}}
    refused(s.exchange.update_leverage(41, "BTC"), "Invalid leverage value")
    first(s.exchange.market_open("BTC", True, 0.01))
    (held,) = s.info.user_state(s.me)["assetPositions"]
    assert held["position"]["leverage"] == {"type": "cross", "value": 5}
    refused(s.exchange.update_leverage(5, "BTC", is_cross=False), "Cannot switch leverage type with open position.")
    assert s.exchange.update_leverage(7, "BTC")["status"] == "ok"
    first(s.exchange.market_close("BTC"))


def self_trade(s: Session) -> None:
    """The resting order goes, the taker goes on."""
    bid, ask = (float(side[0]["px"]) for side in s.info.l2_snapshot("ETH")["levels"])
    mine = first(s.exchange.order("ETH", True, 0.01, bid, ALO))
    taken = s.exchange.order("ETH", False, 0.01, float(round(bid * 0.99)), IOC)
    assert "filled" in first(taken), taken
    if "resting" in mine:
        status = s.info.query_order_by_oid(s.me, mine["resting"]["oid"])["order"]["status"]
        assert status in ("selfTradeCanceled", "open", "filled"), status
        s.exchange.cancel("ETH", mine["resting"]["oid"])
    s.exchange.market_close("ETH")
    assert bid < ask


# Keys, nonces, accounts


def agents(s: Session) -> None:
    reply, key = s.exchange.approve_agent("desk")
    assert reply["status"] == "ok", reply
    (agent,) = s.info.extra_agents(s.me)
    assert agent["name"] == "desk" and agent["validUntil"] > time.time() * 1000
    wallet = eth_account.Account.from_key(key)
    assert s.info.user_role(wallet.address) == {"role": "agent", "data": {"user": s.me}}
    trading = Exchange(wallet, s.url, account_address=s.me)
    oid = first(trading.order("BTC", True, 0.001, s.far_bid(), ALO))["resting"]["oid"]
    assert [each["oid"] for each in s.info.open_orders(s.me)] == [oid]
    assert s.info.open_orders(wallet.address) == []
    first(trading.cancel("BTC", oid))
    again, _ = s.exchange.approve_agent("desk")
    assert again["status"] == "ok"
    refused(trading.cancel("BTC", oid), f"User or API Wallet {wallet.address.lower()} does not exist.")
    unnamed, _ = s.exchange.approve_agent()
    assert unnamed["status"] == "ok" and len(s.info.extra_agents(s.me)) == 1
    for name in ("two", "three"):
        assert s.exchange.approve_agent(name)[0]["status"] == "ok"
    refused(s.exchange.approve_agent("four")[0], "Too many extra agents")


def strangers(s: Session) -> None:
    wallet = eth_account.Account.create()
    trading = Exchange(wallet, s.url)
    reply = trading.order("BTC", True, 0.001, s.far_bid(), ALO)
    refused(reply, f"User or API Wallet {wallet.address.lower()} does not exist.")
    action = {"type": "noop"}
    nonce = get_timestamp_ms()
    mainnet = sign_l1_action(s.wallets[0], action, None, nonce, None, True)
    named = s.exchange._post_action(action, mainnet, nonce)["response"]
    assert named.startswith("User or API Wallet 0x") and s.me not in named
    broken = {"r": "0x" + "ff" * 32, "s": "0x1", "v": 27}
    refused(s.exchange._post_action(action, broken, nonce), "Unable to recover signer.")


def nonces(s: Session) -> None:
    def noop(nonce: int) -> Any:
        action = {"type": "noop"}
        signature = sign_l1_action(s.wallets[1], action, None, nonce, None, False)
        return s.exchange._post_action(action, signature, nonce)

    now = get_timestamp_ms()
    assert noop(now)["status"] == "ok"
    refused(noop(now), f"Invalid nonce: duplicate nonce {now}")
    refused(noop(now + 2 * 86_400_000), "Invalid nonce: ")
    refused(noop(now - 3 * 86_400_000), "Invalid nonce: ")
    assert noop(now - 10)["status"] == "ok"
    for step in range(1, 101):
        assert noop(now + step)["status"] == "ok"
    refused(noop(now - 5), f"Invalid nonce: nonce too low {now - 5} < ")


def expiry(s: Session) -> None:
    used = s.info.user_rate_limit(s.me)["nRequestsUsed"]
    s.exchange.set_expires_after(get_timestamp_ms() - 1000)
    refused(s.exchange.order("BTC", True, 0.001, s.far_bid(), ALO), "Action already expired")
    assert s.info.user_rate_limit(s.me)["nRequestsUsed"] == used + 5
    s.exchange.set_expires_after(get_timestamp_ms() + 20_000)
    oid = s.resting()
    s.exchange.set_expires_after(None)
    first(s.exchange.cancel("BTC", oid))


def vaults(s: Session) -> None:
    other = Exchange(s.wallets[0], s.url, vault_address="0x" + "34" * 20)
    refused(other.order("BTC", True, 0.001, s.far_bid(), ALO), "Vault not registered: 0x" + "34" * 20)
    sub = s.exchange.create_sub_account("desk")["response"]["data"]
    assert s.exchange.sub_account_transfer(sub, True, 1_000 * 10**6)["status"] == "ok"
    assert float(s.info.user_state(sub)["marginSummary"]["accountValue"]) == 1000
    assert s.info.user_role(sub) == {"role": "subAccount", "data": {"master": s.me}}
    assert [each["subAccountUser"] for each in s.info.query_sub_accounts(s.me)] == [sub]
    trading = Exchange(s.wallets[0], s.url, vault_address=sub)
    oid = first(trading.order("BTC", True, 0.001, s.far_bid(), ALO))["resting"]["oid"]
    assert [each["oid"] for each in s.info.open_orders(sub)] == [oid] and s.info.open_orders(s.me) == []
    assert first(trading.cancel("BTC", oid)) == "success"


def schedule_cancel_is_gated(s: Session) -> None:
    text = "Cannot set scheduled cancel time until enough volume traded. Required: $1000000. Traded: $"
    refused(s.exchange.schedule_cancel(get_timestamp_ms() + 10_000), text)
    refused(s.exchange.schedule_cancel(None), text)


# Streams


class Streams:
    def __init__(self, url: str) -> None:
        self.info = Info(url)
        self._heard: dict[str, queue.Queue[Any]] = {}

    def listen(self, **subscription: Any) -> str:
        name = subscription["type"]
        heard = self._heard[name] = queue.Queue()
        self.info.subscribe(subscription, heard.put)
        return str(name)

    def until(self, name: str, fits: Any = lambda _data: True) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            message = self._heard[name].get(timeout=max(0.001, deadline - time.monotonic()))
            if fits(message["data"]):
                return message["data"]

    def close(self) -> None:
        self.info.disconnect_websocket()


def streams(s: Session) -> None:
    ear = Streams(s.url)
    try:
        for kind in ("l2Book", "bbo", "trades", "activeAssetCtx"):
            ear.listen(type=kind, coin="BTC")
        for kind in ("orderUpdates", "userFills", "userEvents"):
            ear.listen(type=kind, user=s.me)
        assert ear.until("userFills")["isSnapshot"] is True
        bid, ask = ear.until("bbo", lambda data: None not in data["bbo"])["bbo"]
        assert float(bid["px"]) < float(ask["px"])
        assert ear.until("activeAssetCtx")["ctx"]["markPx"]
        levels = ear.until("l2Book")["levels"]
        assert len(levels) == 2 and len(levels[0]) > 5
        oid = s.resting("0x" + "cd" * 16)
        update = ear.until("orderUpdates", lambda rows: rows[0]["order"]["oid"] == oid)[0]
        assert update["status"] == "open" and update["order"]["cloid"] == "0x" + "cd" * 16
        first(s.exchange.cancel("BTC", oid))
        assert ear.until("orderUpdates", lambda rows: rows[-1]["order"]["oid"] == oid)[-1]["status"] == "canceled"
        taken = first(s.exchange.market_open("BTC", True, 0.01))["filled"]
        fills = ear.until("userFills", lambda data: data["fills"])["fills"]
        assert {each["oid"] for each in fills} == {taken["oid"]}
        assert ear.until("userEvents", lambda data: "fills" in data)["fills"][0]["oid"] == taken["oid"]
        bought = lambda rows: any(row["side"] == "B" and s.me in row["users"] for row in rows)  # noqa: E731
        assert ear.until("trades", bought)
        first(s.exchange.market_close("BTC"))
    finally:
        ear.close()


def funding(s: Session) -> None:
    """With a position when a period ends: the payment is in every place that tells of it."""
    first(s.exchange.market_open("BTC", True, 0.1))
    deadline = time.monotonic() + PATIENCE_S
    while not s.info.user_funding_history(s.me, 0):
        assert time.monotonic() < deadline, "no funding was paid"
        time.sleep(0.5)
    row = s.info.user_funding_history(s.me, 0)[0]
    rates = s.info.funding_history("BTC", 0)
    assert row["delta"]["coin"] == "BTC" and row["delta"]["type"] == "funding"
    rate = next(each for each in rates if each["time"] == row["time"])
    assert rate["fundingRate"] == row["delta"]["fundingRate"]
    worth = 0.1 * s.mid() * float(rate["fundingRate"])
    assert abs(float(row["delta"]["usdc"]) + worth) < 0.02 * abs(worth) + 1e-6
    first(s.exchange.market_close("BTC"))


def schedule_cancel(s: Session) -> None:
    refused(s.exchange.schedule_cancel(get_timestamp_ms() + 1000), "Scheduled cancel time too early")
    oid = s.resting()
    assert s.exchange.schedule_cancel(get_timestamp_ms() + 5200)["status"] == "ok"
    deadline = time.monotonic() + PATIENCE_S
    while s.info.open_orders(s.me):
        assert time.monotonic() < deadline, "the scheduled cancel did not fire"
        time.sleep(0.3)
    assert s.info.query_order_by_oid(s.me, oid)["order"]["status"] == "scheduledCancel"
    assert s.exchange.schedule_cancel(get_timestamp_ms() + 10_000)["status"] == "ok"
    assert s.exchange.schedule_cancel(None)["status"] == "ok"


def budget(s: Session) -> None:
    """Five requests for a new address; the cancels' own budget goes on."""
    oids = [s.resting() for _ in range(5)]
    one_more = s.exchange.order("BTC", True, 0.001, s.far_bid(), ALO)
    assert "resting" in first(one_more)
    refused(s.exchange.order("BTC", True, 0.001, s.far_bid(), ALO), "Too many cumulative requests sent (7 > 5)")
    assert first(s.exchange.cancel("BTC", oids[0])) == "success"


def weight(s: Session) -> None:
    """Reads are weighed: the minute's share is used up at some time."""
    for _ in range(200):
        try:
            s.info.meta()
        except ClientError as problem:
            assert problem.status_code == 429
            return
    raise AssertionError("nothing was refused")


def capped(s: Session) -> None:
    """Positions beyond a tier, open interest at its cap, numbers that are none."""
    assert s.exchange.update_leverage(40, "BTC")["status"] == "ok"
    tier = "Order would cause position to exceed margin tier limit at current leverage"
    error(s.exchange.order("BTC", True, 1.0, s.far_bid(), GTC), tier)
    assert "filled" in first(s.exchange.market_open("BTC", True, 0.01))
    text = "Order would increase open interest while open interest is capped"
    error(s.exchange.order("BTC", True, 0.001, s.far_bid(), ALO), text)
    low = float(round(s.mid() * 0.95))
    text = "Order rejected due to price more aggressive than oracle while at open interest cap"
    error(s.exchange.order("BTC", False, 0.001, low, IOC), text)
    error(s.exchange.order("BTC", False, 0.001, -1.0, GTC), "Order has invalid price.")
    error(s.exchange.order("BTC", False, -0.001, low, GTC), "Order has invalid size.")


def broke(s: Session) -> None:
    """An address without a deposit may do nothing."""
    text = f"Must deposit before performing actions. User: {s.me}"
    refused(s.exchange.order("BTC", True, 0.001, s.far_bid(), ALO), text)


def upgraded(s: Session) -> None:
    """Behind an upgrade only post-only orders are taken."""
    s.info.session.post(f"{s.url}/control/fault", json={"kind": "restart", "ms": 0})
    text = "Only post-only orders allowed immediately after a network upgrade"
    error(s.exchange.order("BTC", True, 0.001, s.far_bid(), GTC), text)
    assert "resting" in first(s.exchange.order("BTC", True, 0.001, s.far_bid(), ALO))


# Spot and builders' dexes


def spot_reads(s: Session) -> None:
    info = s.info
    meta, contexts = info.spot_meta_and_asset_ctxs()
    assert meta == info.spot_meta() and [row["coin"] for row in contexts] == ["PURR/USDC", "@107"]
    assert info.name_to_asset("PURR/USDC") == 10_000 and info.name_to_asset("HYPE/USDC") == 10_107
    assert info.name_to_coin["HYPE/USDC"] == "@107" and info.asset_to_sz_decimals[10_107] == 2
    assert tokens(s) == {"USDC": 100_000, "PURR": 1000}
    assert info.l2_snapshot("HYPE/USDC")["coin"] == "@107"
    fees = info.user_fees(s.me)
    assert (float(fees["userSpotCrossRate"]), float(fees["userSpotAddRate"])) == (0.0007, 0.0004)


def tokens(s: Session) -> dict[str, float]:
    return {row["coin"]: float(row["total"]) for row in s.info.spot_user_state(s.me)["balances"]}


def spot_orders(s: Session) -> None:
    order, low = s.exchange.order, round(s.mid("@107") * 0.9, 1)
    oid = first(order("HYPE/USDC", True, 1.25, low, ALO))["resting"]["oid"]
    (shown,) = s.info.open_orders(s.me)
    assert (shown["coin"], shown["oid"], float(shown["sz"])) == ("@107", oid, 1.25)
    (usdc,) = [row for row in s.info.spot_user_state(s.me)["balances"] if row["coin"] == "USDC"]
    assert abs(float(usdc["hold"]) - 1.25 * low) < 1e-6
    fresh = first(s.exchange.modify_order(oid, "HYPE/USDC", True, 1.5, low, ALO))["resting"]["oid"]
    assert first(s.exchange.cancel("HYPE/USDC", fresh)) == "success"
    error(order("HYPE/USDC", False, 1.0, round(low * 1.3, 1), ALO), "Insufficient spot balance")
    error(order("HYPE/USDC", True, 10_000.0, low, ALO), "Insufficient spot balance")
    error(order("HYPE/USDC", True, 0.2, low, ALO), "Order must have minimum value of 10 USDC.")
    error(order("HYPE/USDC", True, 1.0, low + 0.000123, ALO), "Price must be divisible by tick size.")
    error(order("PURR/USDC", True, 100.5, 0.14, ALO), "Order has invalid size.")


def spot_trades(s: Session) -> None:
    """A purchase pays in what was bought, a sale in USDC, and balances are what the fills say."""
    ear = Streams(s.url)
    try:
        ear.listen(type="userFills", user=s.me)
        ear.listen(type="activeAssetCtx", coin="@107")
        assert ear.until("activeAssetCtx")["ctx"]["markPx"]
        bought = first(s.exchange.market_open("HYPE/USDC", True, 2.5))["filled"]
        (fill, *_) = ear.until("userFills", lambda data: data["fills"])["fills"]
        assert (fill["coin"], fill["dir"], fill["feeToken"], fill["oid"]) == ("@107", "Buy", "HYPE", bought["oid"])
        assert first(s.exchange.market_open("PURR/USDC", False, 400.0))["filled"]["totalSz"] == "400"
    finally:
        ear.close()
    money, base = 100_000.0, 0.0
    for each in s.info.user_fills(s.me):
        sign, size, fee = (1 if each["side"] == "B" else -1), float(each["sz"]), float(each["fee"])
        money -= sign * float(each["px"]) * size + (fee if each["feeToken"] == "USDC" else 0)
        base += size - fee if each["coin"] == "@107" else 0
        assert each["feeToken"] == ("HYPE" if each["side"] == "B" else "USDC")
    held = tokens(s)
    assert abs(held["USDC"] - money) < 1e-6 and abs(held["HYPE"] - base) < 1e-8 and held["PURR"] == 600
    assert s.info.user_state(s.me)["assetPositions"] == []


def builders_dex(s: Session) -> None:
    trading = Exchange(s.wallets[0], s.url, perp_dexs=["", "xyz"])
    assert trading.info.name_to_asset("xyz:GOLD") == 110_000
    low = round(float(trading.info.all_mids("xyz")["xyz:GOLD"]) * 0.9, 1)
    oid = first(trading.order("xyz:GOLD", True, 1.0, low, ALO))["resting"]["oid"]
    assert [row["oid"] for row in s.info.open_orders(s.me, "xyz")] == [oid] and s.info.open_orders(s.me) == []
    assert first(trading.cancel("xyz:GOLD", oid)) == "success"
    first(trading.market_open("xyz:GOLD", True, 1.0))
    (held,) = s.info.user_state(s.me, "xyz")["assetPositions"]
    assert (held["position"]["coin"], held["position"]["szi"]) == ("xyz:GOLD", "1.0")
    first(trading.market_close("xyz:GOLD"))


PARTS = {
    "spot": [spot_reads, spot_orders, spot_trades, builders_dex],
    "usual": [
        reads,
        bad_requests,
        an_order_and_its_names,
        batches,
        modifies,
        market_orders,
        reduce_only,
        refusals_of_orders,
        triggers,
        leverage,
        self_trade,
        streams,
        agents,
        strangers,
        nonces,
        expiry,
        vaults,
        schedule_cancel_is_gated,
    ],
    "traded": [funding, schedule_cancel],
    "poor": [budget, weight],
    "capped": [capped],
    "broke": [broke],
    "upgraded": [upgraded],
}


def main() -> None:
    session = Session(json.loads(sys.argv[2]))
    held = []
    for check in PARTS[sys.argv[1]]:
        check(session)
        held.append(check.__name__)
    print(json.dumps(held))


if __name__ == "__main__":
    main()
