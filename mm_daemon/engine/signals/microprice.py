"""The weighted microprice and the imbalance of the best level (MODELS 6.5): functions of the touch, without state."""

from mm_daemon.domain.errors import DomainError


def imbalance(bid_qty: float, ask_qty: float) -> float:
    """From -1 (only asks) to +1 (only bids); 0 when nothing is there."""
    total = bid_qty + ask_qty
    return (bid_qty - ask_qty) / total if total > 0.0 else 0.0


def microprice(bid: float, bid_qty: float, ask: float, ask_qty: float) -> float:
    """The mid leaning towards the thinner side: each price weighted with the size opposite it. Same unit as the prices.

    The mid when both sizes are zero. Raises DomainError for a crossed or locked book and for negative sizes.
    """
    if not bid < ask or not (bid_qty >= 0.0 and ask_qty >= 0.0):
        raise DomainError(f"no microprice between bid {bid} x {bid_qty} and ask {ask} x {ask_qty}")
    total = bid_qty + ask_qty
    if total <= 0.0:
        return 0.5 * (bid + ask)
    return (ask * bid_qty + bid * ask_qty) / total
