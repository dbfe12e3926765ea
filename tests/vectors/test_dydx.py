"""Every public dYdX vector, from keys to the hash of a transaction."""

import base64
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from connectors.dydx import tx
from connectors.dydx.keys import Signer, private_key
from connectors.dydx.numbers import Grid
from connectors.dydx.orders import OwnOrders
from connectors.dydx.own import Market
from mm_daemon.domain.decisions import PlaceOrder, Reason
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.orders import ClientOrderId, Side
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


def test_stateful_vectors_are_what_the_connector_sends() -> None:
    """By its own way: a place of the core to a message, signed with the sequence that is given with it."""
    content = msgspec.json.decode(shared_file(_file("signed_transactions")).read_bytes())
    checked = 0
    for vector in content["vectors"]:
        given = vector["params"]
        if not vector["name"].startswith("long_term_"):
            continue
        subaccount = tx.Subaccount(given["owner"], given["subaccount_number"])
        grid = Grid(
            clob_pair_id=given["clob_pair_id"],
            atomic_resolution=-10,
            quantum_conversion_exponent=-9,
            step_base_quantums=1_000_000,
            subticks_per_tick=100_000,
        )
        instrument = Instrument(
            venue=Venue("dydx"), symbol="X-USD", base="X", quote="USD", tick=Decimal(1), lot=Decimal("0.0001")
        )
        orders = OwnOrders([Market(instrument, grid, subaccount)], subaccount, ttl_s=600)
        place = PlaceOrder(
            instrument.id,
            ClientOrderId(given["client_metadata"] << 32 | given["client_id"]),
            Side.BUY if given["side"] == "BUY" else Side.SELL,
            0,
            given["subticks"] // 100_000,
            given["quantums"] // 1_000_000,
            (Reason.NEW_QUOTE,),
            post_only=given["time_in_force"] == "POST_ONLY",
        )
        order, message = orders.place(place, (given["good_til_block_time"] - 600) * 10**9)
        signer = Signer(private_key(vector["private_key_hex"]))
        builder = tx.TxBuilder(signer, chain_id=vector["chain_id"], account_number=vector["account_number"])
        raw = builder.sequenced(message, vector["sequence"])
        assert base64.b64encode(raw).decode() == vector["tx_bytes_base64"]
        assert order.uuid == given["expected_order_uuid"]
        checked += 1
    assert checked == 3


def test_unknown_kind_is_refused_by_name() -> None:
    """A kind the product does not have is a KeyError that names it, not a wrong answer."""
    with pytest.raises(KeyError, match="no_such_kind"):
        evaluate("no_such_kind", {})
