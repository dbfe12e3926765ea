"""Two other ways from an order to a signed dYdX transaction, each in its own environment: nanoseconds, as JSON.

Called with `client` (the official one) or `ccxt`, and the number of repetitions. The key and the orders are those of
`bench_dydx.py`. Nothing here imports the daemon.
"""

import json
import sys
from time import perf_counter_ns

KEY = "11" * 32
HEIGHT = 66_624_120
MARKET = {
    "clobPairId": "0",
    "atomicResolution": -10,
    "quantumConversionExponent": -9,
    "stepBaseQuantums": 1_000_000,
    "subticksPerTick": 100_000,
}


def client(repetitions: int) -> list[int]:
    from dydx_v4_client.indexer.rest.constants import OrderType
    from dydx_v4_client.key_pair import KeyPair
    from dydx_v4_client.node.builder import Builder
    from dydx_v4_client.node.market import Market
    from dydx_v4_client.node.message import place_order
    from dydx_v4_client.wallet import Wallet
    from v4_proto.dydxprotocol.clob.order_pb2 import Order

    wallet = Wallet(KeyPair.from_hex(KEY), 73, 0)
    builder, market, address = Builder("dydx-testnet-4", "adv4tnt"), Market(MARKET), wallet.address
    taken = []
    for turn in range(repetitions):
        began = perf_counter_ns()
        order = market.order(
            order_id=market.order_id(address, 0, turn, 0),
            order_type=OrderType.LIMIT,
            side=Order.Side.SIDE_BUY,
            size=0.0123,
            price=60_000 + turn,
            time_in_force=Order.TIME_IN_FORCE_UNSPECIFIED,
            reduce_only=False,
            post_only=True,
            good_til_block=HEIGHT + 15,
        )
        builder.build(wallet, place_order(order)).SerializeToString()
        taken.append(perf_counter_ns() - began)
    return taken


def ccxt(repetitions: int) -> list[int]:
    import ccxt as library

    exchange = library.dydx({"privateKey": KEY, "options": {"privateKey": KEY}})
    exchange.walletAddress = "dydx1mc26alh7vhf52rthhjqzx97vks4jghujmvydae"
    market = exchange.safe_market_structure(
        {
            "id": "BTC-USD",
            "symbol": "BTC/USDC:USDC",
            "base": "BTC",
            "quote": "USDC",
            "settle": "USDC",
            "type": "swap",
            "swap": True,
            "contract": True,
            "precision": {"amount": 0.0001, "price": 1.0},
            "info": {name: str(value) for name, value in MARKET.items()},
        }
    )
    exchange.set_markets([market])
    public_key = exchange.retrieve_dydx_credentials(KEY)["publicKey"]
    account = {"account_number": "73", "pub_key": {"key": public_key}}
    taken = []
    for turn in range(repetitions):
        began = perf_counter_ns()
        params = {"timeInForce": "IOC", "goodTillBlock": HEIGHT + 15, "clientOrderId": turn}
        _, message = exchange.create_order_request("BTC/USDC:USDC", "limit", "buy", 0.0123, 60_000 + turn, params)
        exchange.sign_dydx_tx(KEY, message, "", "dydx-testnet-4", account, None)
        taken.append(perf_counter_ns() - began)
    return taken


if __name__ == "__main__":
    print(json.dumps({"client": client, "ccxt": ccxt}[sys.argv[1]](int(sys.argv[2]))))
