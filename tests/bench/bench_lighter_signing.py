"""Lighter orders to signed transactions: ours on its worker thread, and the official SDK where its environment is.

Ours is timed from the event loop: from the order to the signed text in hand, the way to the worker and back included,
and how long the loop was held meanwhile. The SDK lives in an environment of its own:
`python -m tests.bench.peers.environments lighter_sdk` makes it. Both sign with the venue's same library.
"""

import asyncio
import json
import subprocess
from time import perf_counter_ns

import pytest

from connectors.lighter import transactions as tx
from connectors.lighter.native import NativeLibrary, NativeSigner
from tests.bench.figures import Figures
from tests.bench.peers import environments
from tests.bench.timing import settled, spread
from tests.lighter import CHAIN_ID, KEY_INDEX, PRIVATE_KEY, native_library

pytestmark = pytest.mark.bench

ACCOUNT = 700_100
REPETITIONS = 400
COUNTS = {"one": 1, "fifteen": 15}
EXPIRY_MS = 1_893_456_000_000


async def _loop_held(longest: list[int]) -> None:
    """Notes the longest time in which the loop did not come round."""
    last = perf_counter_ns()
    while True:
        await asyncio.sleep(0)
        now = perf_counter_ns()
        longest[0] = max(longest[0], now - last)
        last = now


async def ours(count: int) -> tuple[list[int], list[int]]:
    """(nanoseconds of each batch, the longest that the loop was held in each)."""
    library = NativeLibrary.at(native_library())
    library.add_key(PRIVATE_KEY, chain_id=CHAIN_ID, account=ACCOUNT, key_index=KEY_INDEX)
    signer, taken, held = NativeSigner(library, account=ACCOUNT), [], []
    for turn in range(REPETITIONS):
        order = tx.CreateOrder(market=0, client_index=turn + 1, base=50, price=235_274, ask=False, expiry_ms=EXPIRY_MS)
        longest = [0]
        watching = asyncio.create_task(_loop_held(longest)) if turn % 2 else None  # watching costs time of its own
        began = perf_counter_ns()
        await signer.sign([(order, count * turn + number) for number in range(count)], KEY_INDEX)
        if watching is None:
            taken.append(perf_counter_ns() - began)
        else:
            watching.cancel()
            held.append(longest[0])
    return taken, held


def test_ours_on_the_worker(figures: Figures) -> None:
    with settled():
        for name, count in COUNTS.items():
            taken, held = asyncio.run(ours(count))
            figures.add_spread(f"lighter.sign.{name}", spread(taken))
            figures.add_spread(f"lighter.sign.{name}.loop_held", spread(held))


def test_official_sdk(figures: Figures) -> None:
    python = environments.made("lighter_sdk")
    if python is None:
        pytest.skip("the official SDK has no environment: python -m tests.bench.peers.environments lighter_sdk")
    key = (PRIVATE_KEY, str(CHAIN_ID), str(ACCOUNT), str(KEY_INDEX))
    script = [str(python), "-m", "tests.bench.peers.lighter_sdk_run", str(REPETITIONS // 2), *key]
    done = subprocess.run(script, check=True, capture_output=True, text=True, cwd=environments.ROOT)
    for name, taken in json.loads(done.stdout).items():
        figures.add_spread(f"sdk.lighter.sign.{name}", spread(taken))
