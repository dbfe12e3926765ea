"""Every public Hyperliquid vector, and the two requests that the real test network took."""

from typing import Any

import msgspec
import pytest
from coincurve import PublicKey

from connectors.hyperliquid import signing
from tests.shared import SHARED, shared_file
from tests.vectors.comparison import differences
from tests.vectors.hyperliquid import evaluate

_SIGNING, _ROUNDING = "venues/hyperliquid/vectors/signing.json", "venues/hyperliquid/vectors/rounding.json"
_OUTPUTS = {
    "signing": ("address", "msgpack_hex", "action_hash", "signature"),
    "price_rounding": ("tick", "bid_floor", "ask_ceil"),
    "price_validity": ("valid",),
    "size_rounding": ("floor",),
}


def _read(file: str) -> dict[str, Any]:
    path = SHARED / file
    found: dict[str, Any] = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
    return found


def _vectors() -> list[Any]:
    signed, rounded = _read(_SIGNING), _read(_ROUNDING)
    found = [("signing", each) for each in signed.get("vectors", [])]
    found += [(kind, each) for kind in _OUTPUTS if kind in rounded for each in rounded[kind]]
    names = (each.get("name") or f"{each.get('px') or each.get('sz')}-{each['sz_decimals']}" for _, each in found)
    return [pytest.param(*each, id=f"{each[0]}-{name}") for each, name in zip(found, names, strict=True)]


@pytest.mark.parametrize(("kind", "vector"), _vectors())
def test_hyperliquid_vector_is_reproduced(kind: str, vector: dict[str, Any]) -> None:
    """Bytes, hashes, signatures and rounded texts, exactly."""
    case = {name: value for name, value in vector.items() if name not in _OUTPUTS[kind]}
    want = {name: vector[name] for name in _OUTPUTS[kind]}
    assert differences(evaluate(kind, case), want, 0.0) == []


def test_all_hyperliquid_vectors_are_there() -> None:
    """None is lost on the way to the parametrisation."""
    shared_file(_SIGNING)
    shared_file(_ROUNDING)
    assert len(_vectors()) == 61 + 80 + 68 + 40


def test_unknown_kind_is_refused_by_name() -> None:
    """A kind the product does not have is a KeyError that names it, not a wrong answer."""
    with pytest.raises(KeyError, match="no_such_kind"):
        evaluate("no_such_kind", {})


def _agent_of(file: str) -> bytes:
    request = msgspec.json.decode(shared_file(f"venues/hyperliquid/messages/{file}").read_bytes())
    action, signature = signing.action_bytes(request["action"]), request["signature"]
    connection = signing.action_hash(action, request["nonce"], None, request.get("expiresAfter"))
    parts = bytes.fromhex(signature["r"][2:]) + bytes.fromhex(signature["s"][2:]) + bytes([signature["v"] - 27])
    digest = signing.agent_digest(connection, mainnet=False)
    key = PublicKey.from_signature_and_message(parts, digest, hasher=None)
    return signing.keccak256(key.format(compressed=False)[1:])[12:]


def test_captured_requests_recover_to_one_agent() -> None:
    """What the real test network took: our digests of both captures give the same address, so neither is a chance."""
    expired, taken = (_agent_of(f"rest_exchange_order_{name}_request_testnet.json") for name in ("expired", "ioc"))
    assert expired == taken
