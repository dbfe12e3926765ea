"""The official SDK's way from an order to a signed transaction, in its own environment: nanoseconds of each, as JSON.

Called with the number of repetitions, the key, chain id, account and key index. `sign_create_order` is the SDK's own
call, on the thread that its users call it from. Nothing here imports the daemon.
"""

import asyncio
import json
import sys
from time import perf_counter_ns

import lighter

EXPIRY_MS = 1_893_456_000_000


async def main() -> None:
    repetitions, key, chain_id, account, key_index = sys.argv[1:6]
    client = lighter.SignerClient(
        url="http://127.0.0.1:1",
        account_index=int(account),
        api_private_keys={int(key_index): key},
        nonce_management_type=lighter.nonce_manager.NonceManagerType.OPTIMISTIC,
        chain_id=int(chain_id),
    )
    taken: dict[str, list[int]] = {"one": [], "fifteen": []}
    for name, count in (("one", 1), ("fifteen", 15)):
        for turn in range(int(repetitions)):
            began = perf_counter_ns()
            for number in range(count):
                nonce = 15 * turn + number + 1
                _, _, _, error = client.sign_create_order(
                    0,
                    nonce,
                    50,
                    235_274,
                    0,
                    client.ORDER_TYPE_LIMIT,
                    client.ORDER_TIME_IN_FORCE_POST_ONLY,
                    order_expiry=EXPIRY_MS,
                    nonce=nonce,
                    api_key_index=int(key_index),
                )
                assert error is None, error
            taken[name].append(perf_counter_ns() - began)
    await client.close()
    print(json.dumps(taken))


if __name__ == "__main__":
    asyncio.run(main())
