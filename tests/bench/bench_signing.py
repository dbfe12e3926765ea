"""Hyperliquid orders to signed bytes: ours, ccxt's and, where its environment is, the official SDK's.

From commands (ours) or the arguments that a caller of theirs gives, to the JSON that goes to the venue: post-only
orders with client ids and an expiry, one and twenty under one signature. Each repetition has other orders. The SDK
lives in an environment of its own: `python -m tests.bench.peers.environments hyperliquid_sdk` makes it.
"""

import json
import subprocess
from time import perf_counter_ns
from typing import Any

import ccxt
import pytest

from connectors.hyperliquid import actions
from connectors.hyperliquid.requests import Asset, Requests, Terms, order_wire, post_frame
from connectors.hyperliquid.signing import Signer
from mm_daemon.domain.orders import ClientOrderId, Side
from tests.bench.figures import Figures
from tests.bench.peers import environments
from tests.bench.timing import settled, spread
from tests.unit.connectors.hyperliquid.frames import BTC

pytestmark = pytest.mark.bench

KEY = "0x" + "11" * 32
REPETITIONS, PEERS_REPETITIONS = 2000, 50
NOW_MS = 1_790_000_000_000
COUNTS = {"one": 1, "twenty": 20}


def ours(count: int) -> list[int]:
    asset = Asset.of(BTC, 0, 5)
    requests = Requests(Signer(KEY, mainnet=False), lambda: NOW_MS * 1_000_000)
    terms = Terms(Side.BUY, False, actions.ALO)
    taken = []
    for turn in range(REPETITIONS):
        began = perf_counter_ns()
        orders = [
            order_wire(asset, ClientOrderId(turn * 20 + index), terms, 600_000 + 10 * index, 100)
            for index in range(count)
        ]
        post_frame(turn, "action", requests.signed(actions.Place(orders), expires_ms=NOW_MS + 5000))
        taken.append(perf_counter_ns() - began)
    return taken


def ccxt_market(exchange: Any) -> dict[str, object]:
    market: dict[str, object] = exchange.safe_market_structure(
        {
            "id": "0",
            "baseId": 0,
            "symbol": "BTC/USDC:USDC",
            "base": "BTC",
            "quote": "USDC",
            "settle": "USDC",
            "type": "swap",
            "swap": True,
            "contract": True,
            "linear": True,
            "contractSize": 1.0,
            "precision": {"amount": 1e-05, "price": 0.1},
        }
    )
    return market


def theirs(count: int) -> list[int]:
    exchange = ccxt.hyperliquid({"privateKey": KEY, "walletAddress": Signer(KEY, mainnet=False).address})
    exchange.set_markets([ccxt_market(exchange)])
    exchange.options |= {"approvedBuilderFee": False, "builderFee": False}
    taken = []
    for turn in range(PEERS_REPETITIONS):
        began = perf_counter_ns()
        orders = [
            {
                "symbol": "BTC/USDC:USDC",
                "type": "limit",
                "side": "buy",
                "amount": 0.001,
                "price": 60_000 + index,
                "params": {"timeInForce": "Alo", "clientOrderId": f"0x{turn * 20 + index:032x}"},
            }
            for index in range(count)
        ]
        json.dumps(exchange.create_orders_request(orders, {"expiresAfter": NOW_MS + 5000}))
        taken.append(perf_counter_ns() - began)
    return taken


def test_ours_beside_ccxt(figures: Figures) -> None:
    with settled():
        for name, count in COUNTS.items():
            figures.add_spread(f"hyperliquid.sign.{name}", spread(ours(count)))
            figures.add_spread(f"ccxt.hyperliquid.sign.{name}", spread(theirs(count)))


def test_official_sdk(figures: Figures) -> None:
    python = environments.made("hyperliquid_sdk")
    if python is None:
        pytest.skip("the official SDK has no environment: python -m tests.bench.peers.environments hyperliquid_sdk")
    script = [str(python), "-m", "tests.bench.peers.hyperliquid_sdk_run", str(PEERS_REPETITIONS)]
    done = subprocess.run(script, check=True, capture_output=True, text=True, cwd=environments.ROOT)
    for name, taken in json.loads(done.stdout).items():
        figures.add_spread(f"sdk.hyperliquid.sign.{name}", spread(taken))
