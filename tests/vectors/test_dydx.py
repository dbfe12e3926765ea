"""Every public dYdX vector, from keys to the hash of a transaction."""

from typing import Any

import msgspec
import pytest

from tests.shared import SHARED, shared_file
from tests.vectors.comparison import differences
from tests.vectors.dydx import evaluate

_OUTPUTS = {
    "signed_transactions": (
        "public_key_hex",
        "address",
        "message_value_hex",
        "body_bytes_hex",
        "auth_info_bytes_hex",
        "sign_bytes_hex",
        "signature_hex",
        "tx_bytes_base64",
        "tx_hash",
    ),
    "quantum_subtick_conversion": (
        "quantums_floor_exact",
        "subticks_floor_exact",
        "subticks_nearest_passive_buy",
        "subticks_nearest_passive_sell",
        "quantums_valid_on_chain",
        "subticks_valid_on_chain",
    ),
    "order_uuids": ("subaccount_uuid", "order_uuid"),
    "wallets": ("private_key_hex", "public_key_hex", "address"),
}


def _file(kind: str) -> str:
    return f"venues/dydx/vectors/{kind}.json"


def _vectors() -> list[Any]:
    found = []
    for kind in _OUTPUTS:
        path = SHARED / _file(kind)
        content: dict[str, Any] = msgspec.json.decode(path.read_bytes()) if path.exists() else {"vectors": []}
        header = {name: value for name, value in content.items() if name != "vectors"}
        found += [
            pytest.param(kind, each, header, id=f"{kind}-{each.get('name', number)}")
            for number, each in enumerate(content["vectors"])
        ]
    return found


@pytest.mark.parametrize(("kind", "vector", "header"), _vectors())
def test_dydx_vector_is_reproduced(kind: str, vector: dict[str, Any], header: dict[str, Any]) -> None:
    """Keys, bytes, signatures, ids and whole numbers, exactly."""
    outputs = set(_OUTPUTS[kind])
    if vector.get("source") == "raw_private_key":  # here the key is what is given
        outputs.remove("private_key_hex")
    case = {name: value for name, value in vector.items() if name not in outputs} | {"header": header}
    want = {name: vector[name] for name in _OUTPUTS[kind]}
    assert differences(evaluate(kind, case), want, 0.0) == []


def test_all_dydx_vectors_are_there() -> None:
    """None is lost on the way to the parametrisation."""
    for kind in _OUTPUTS:
        shared_file(_file(kind))
    assert len(_vectors()) == 32 + 36 + 10 + 6


def test_unknown_kind_is_refused_by_name() -> None:
    """A kind the product does not have is a KeyError that names it, not a wrong answer."""
    with pytest.raises(KeyError, match="no_such_kind"):
        evaluate("no_such_kind", {})
