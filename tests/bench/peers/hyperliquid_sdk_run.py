"""The official SDK's way from orders to a signed request body, in its own environment: nanoseconds of each, as JSON.

Called with the number of repetitions; one order each, then twenty. The key and the orders are those of
`bench_signing.py`. Nothing here imports the daemon.
"""

import json
import sys
from time import perf_counter_ns

import eth_account
from hyperliquid.utils.signing import order_request_to_order_wire, order_wires_to_order_action, sign_l1_action
from hyperliquid.utils.types import Cloid

KEY = "0x" + "11" * 32


def main() -> None:
    repetitions = int(sys.argv[1])
    wallet = eth_account.Account.from_key(KEY)
    taken: dict[str, list[int]] = {"one": [], "twenty": []}
    for name, count in (("one", 1), ("twenty", 20)):
        for turn in range(repetitions):
            nonce = 1_790_000_000_000 + turn
            began = perf_counter_ns()
            wires = [
                order_request_to_order_wire(
                    {
                        "coin": "BTC",
                        "is_buy": True,
                        "sz": 0.001,
                        "limit_px": float(60_000 + index),
                        "order_type": {"limit": {"tif": "Alo"}},
                        "reduce_only": False,
                        "cloid": Cloid.from_int(turn * 20 + index),
                    },
                    0,
                )
                for index in range(count)
            ]
            action = order_wires_to_order_action(wires, None)
            signature = sign_l1_action(wallet, action, None, nonce, nonce + 5000, False)
            json.dumps({"action": action, "nonce": nonce, "signature": signature, "expiresAfter": nonce + 5000})
            taken[name].append(perf_counter_ns() - began)
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
