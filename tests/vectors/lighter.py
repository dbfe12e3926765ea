"""The Lighter vectors' way into the product: names are translated, nothing is calculated here.

`evaluate(kind, case)` takes a vector without its outputs, the file's other keys as `case["header"]`, and returns the
outputs under the vectors' names. Everything is answered by the simulated venue's own hash and signatures: the venue's
native library is not needed.
"""

from collections.abc import Callable, Mapping
from typing import Any

from connectors.simulators.lighter.signing import messages, schnorr
from connectors.simulators.lighter.signing.tokens import from_hex, read_token

Case = Mapping[str, Any]
Outputs = dict[str, Any]


def evaluate(kind: str, case: Case) -> Outputs:
    """The product's outputs for one vector. Raises KeyError for a kind it does not have."""
    adapter = ADAPTERS.get(kind)
    if adapter is None:
        raise KeyError(f"lighter vectors have no kind {kind!r}; there are {', '.join(sorted(ADAPTERS))}")
    return adapter(case)


def _transaction_hash(case: Case) -> Outputs:
    attached = {int(kind): value for kind, value in (case.get("attributes") or {}).items()}
    return {"tx_hash": messages.hashed(case["hash_preimage_elements"], attached).hex()}


def _signature(case: Case) -> Outputs:
    key, digest, signature = _public_key(case), from_hex(case["tx_hash"]), from_hex(case["sig_hex"])
    known = key is not None and digest is not None and signature is not None
    return {"valid": known and schnorr.verify(key or b"", digest or b"", signature or b"")}


def _auth_token(case: Case) -> Outputs:
    key, token, message = _public_key(case), read_token(case["token"]), case["signed_message"]
    valid = key is not None and token is not None and token.message == message and token.signed_by(key)
    return {"message_hash_hex": messages.text_hash(message).hex(), "valid": valid}


def _public_key(case: Case) -> bytes | None:
    """The vector's own, else the file's."""
    header = case.get("header", {})
    found = case.get("public_key") or header.get("public_key") or header.get("key", {}).get("public_key", "")
    return from_hex(found)


ADAPTERS: dict[str, Callable[[Case], Outputs]] = {
    "transaction_hash": _transaction_hash,
    "signature": _signature,
    "auth_token": _auth_token,
}
