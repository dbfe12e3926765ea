"""What every engine is asked to do, with the numbers of `deploy/examples/recorded-binance-usdm.yaml`.

One order a side, decided every 100 ms, priced by the closed form of Gueant, Lehalle and Fernandez-Tapia in bps of the
mid, leaned against the inventory. Ours estimates volatility and the microprice as it runs, and pauses a side after its
order moved or was filled; a peer is spared that: it takes the configured volatility, the mid, and never pauses. So a
peer works less per decision and moves its orders as often or oftener.

The functions are plain arithmetic without calls, so that numba can compile them; prices are in ticks.
"""

import math
import os

TICK, LOT = 0.1, 0.001
MAKER_FEE_BPS, TAKER_FEE_BPS = 2.0, 5.0
LATENCY_NS = 5_000_000
"""Of an order on its way to the venue, and of the answer on its way back."""
STEP_NS = int(os.environ.get("PEER_STEP_MS", "100")) * 1_000_000
"""Between two decisions. Ours decides between them too, whenever a fill or a price calls for it."""
ORDER_SIZE, MAX_POSITION = 0.01, 0.05

GAMMA, K, INTENSITY, VOLATILITY = 0.05, 0.5, 1.0, 0.5
_SIGMA = VOLATILITY * 10_000 / math.sqrt(365.25 * 86_400)  # bps per square root of a second
_SEEN = INTENSITY * math.exp(-K * MAKER_FEE_BPS)  # fills that a fee leaves worth having
SKEW_BPS = _SIGMA * math.sqrt(GAMMA / (2 * _SEEN * K) * (1 + GAMMA / K) ** (1 + K / GAMMA))
"""How far one order's worth of inventory shifts both quotes."""
HALF_SPREAD_BPS = MAKER_FEE_BPS + math.log1p(GAMMA / K) / GAMMA + SKEW_BPS / 2
TOLERANCE_SHARE = 0.25
"""Share of the half-spread that a quote may be too passive by; one that is too aggressive moves at once."""


def targets(best_bid: int, best_ask: int, position: float) -> tuple[int, int]:
    """(bid, ask) in ticks for the best prices and a position in base units; post-only, so neither crosses."""
    bps = (best_bid + best_ask) / 20_000
    fair = (best_bid + best_ask) / 2 - position / ORDER_SIZE * SKEW_BPS * bps
    bid = min(math.floor(fair - HALF_SPREAD_BPS * bps), best_ask - 1)
    ask = max(math.ceil(fair + HALF_SPREAD_BPS * bps), best_bid + 1)
    return bid, ask


def must_move(side: int, working: int, target: int) -> bool:
    """Whether an order of ours (side 1 buys, -1 sells) has to go to its target."""
    aggressive = side * (working - target)
    return aggressive > 0 or -aggressive > TOLERANCE_SHARE * HALF_SPREAD_BPS * target / 10_000


def may_quote(side: int, position: float) -> bool:
    """Whether a fill of this side, whole, would keep the position within its limit."""
    return side * position + ORDER_SIZE <= MAX_POSITION + LOT / 2
