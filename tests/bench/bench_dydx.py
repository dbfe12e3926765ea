"""dYdX orders to signed bytes: ours and, where their environments are, the official client's and ccxt's.

From an order's whole numbers (ours) or the arguments that a caller of theirs gives, to the bytes that are broadcast:
one short-term post-only order each (ccxt has no short-term post-only: IOC), each repetition with another id and price.
Their environments: `python -m tests.bench.peers.environments dydx_client dydx_ccxt` makes them.
"""

import json
import subprocess
from time import perf_counter_ns

import pytest

from connectors.dydx import tx
from connectors.dydx.keys import Signer, private_key
from tests.bench.figures import Figures
from tests.bench.peers import environments
from tests.bench.timing import settled, spread

pytestmark = pytest.mark.bench

KEY = "11" * 32
HEIGHT = 66_624_120
REPETITIONS, PEERS_REPETITIONS = 5000, 500


def ours() -> list[int]:
    signer = Signer(private_key(KEY))
    builder = tx.TxBuilder(signer, chain_id="dydx-testnet-4", account_number=73)
    orders = tx.ShortTermOrders(tx.Subaccount(signer.address), 0)
    taken = []
    for turn in range(REPETITIONS):
        began = perf_counter_ns()
        message = orders.place(
            turn,
            tx.OrderSide.BUY,
            123 * 1_000_000,
            (60_000 + turn) * 100_000,
            HEIGHT + 15,
            tx.OrderTif.POST_ONLY,
            False,
        )
        builder.raw(message)
        taken.append(perf_counter_ns() - began)
    return taken


def test_ours(figures: Figures) -> None:
    with settled():
        figures.add_spread("dydx.sign.one", spread(ours()))


@pytest.mark.parametrize("peer", ["client", "ccxt"])
def test_theirs(figures: Figures, peer: str) -> None:
    python = environments.made(f"dydx_{peer}")
    if python is None:
        pytest.skip(f"{peer} has no environment: python -m tests.bench.peers.environments dydx_{peer}")
    script = [str(python), "-m", "tests.bench.peers.dydx_run", peer, str(PEERS_REPETITIONS)]
    done = subprocess.run(script, check=True, capture_output=True, text=True, cwd=environments.ROOT)
    figures.add_spread(f"{peer}.dydx.sign.one", spread(json.loads(done.stdout)))
