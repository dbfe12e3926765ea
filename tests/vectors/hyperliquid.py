"""The Hyperliquid vectors' way into the product: names are translated, nothing is calculated here.

`evaluate(kind, case)` takes a vector without its outputs, the file's other keys as `case["header"]`, and returns the
outputs under the vectors' names. A kind that the product does not have is a KeyError.
"""

from collections.abc import Callable, Mapping
from typing import Any

from connectors.hyperliquid import numbers, signing

Case = Mapping[str, Any]
Outputs = dict[str, Any]


def evaluate(kind: str, case: Case) -> Outputs:
    """The product's outputs for one vector. Raises KeyError for a kind it does not have."""
    adapter = ADAPTERS.get(kind)
    if adapter is None:
        raise KeyError(f"hyperliquid vectors have no kind {kind!r}; there are {', '.join(sorted(ADAPTERS))}")
    return adapter(case)


def _signing(case: Case) -> Outputs:
    signer = signing.Signer(case["key"], mainnet=case["is_mainnet"])
    action = signing.action_bytes(case["action"])
    vault = None if case.get("vault") is None else signing.address_bytes(case["vault"])
    digest = signing.action_hash(action, case["nonce"], vault, case.get("expires_after"))
    signature = signer.sign_action(action, case["nonce"], vault, case.get("expires_after"))
    return {
        "address": signer.address,
        "msgpack_hex": action.hex(),
        "action_hash": f"0x{digest.hex()}",
        "signature": {"r": signature.r, "s": signature.s, "v": signature.v},
    }


def _price_rounding(case: Case) -> Outputs:
    grid, text = numbers.price_grid(case["sz_decimals"], spot=case["market"] == "spot"), case["px"]
    return {
        "tick": numbers.price_step(text, grid),
        "bid_floor": numbers.bid_text(text, grid),
        "ask_ceil": numbers.ask_text(text, grid),
    }


def _price_validity(case: Case) -> Outputs:
    grid = numbers.price_grid(case["sz_decimals"], spot=case["market"] == "spot")
    return {"valid": numbers.price_is_valid(case["px"], grid)}


def _size_rounding(case: Case) -> Outputs:
    return {"floor": numbers.size_text(case["sz"], case["sz_decimals"])}


ADAPTERS: dict[str, Callable[[Case], Outputs]] = {
    "signing": _signing,
    "price_rounding": _price_rounding,
    "price_validity": _price_validity,
    "size_rounding": _size_rounding,
}
