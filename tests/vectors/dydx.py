"""The dYdX vectors' way into the product: names are translated, nothing is calculated here.

`evaluate(kind, case)` takes a vector without its outputs, the file's other keys as `case["header"]`, and returns the
outputs under the vectors' names. A kind that the product does not have is a KeyError.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any

from connectors.dydx import keys, tx
from connectors.dydx.numbers import Grid

Case = Mapping[str, Any]
Outputs = dict[str, Any]


def evaluate(kind: str, case: Case) -> Outputs:
    """The product's outputs for one vector. Raises KeyError for a kind it does not have."""
    adapter = ADAPTERS.get(kind)
    if adapter is None:
        raise KeyError(f"dydx vectors have no kind {kind!r}; there are {', '.join(sorted(ADAPTERS))}")
    return adapter(case)


def _signed(case: Case) -> Outputs:
    signer = keys.Signer(keys.private_key(case["private_key_hex"]))
    fee = case.get("fee") or {}
    builder = tx.TxBuilder(
        signer,
        chain_id=case["chain_id"],
        account_number=case["account_number"],
        sequence=case["sequence"],
        memo=case.get("memo") or "",
        authenticators=case.get("selected_authenticators") or (),
        gas_limit=fee.get("gas_limit", tx.GAS_LIMIT),
        fee=[(coin["denom"], coin["amount"]) for coin in fee.get("amount", ())],
    )
    given = case["params"] if isinstance(case["params"], list) else [case["params"]]
    messages = [_MESSAGES[each["kind"]](each) for each in given]
    signed = builder.build(*(tx.any_of(type_url, value) for type_url, value in messages))
    raw = signed.raw
    return {
        "public_key_hex": signer.public_key.hex(),
        "address": signer.address,
        "message_value_hex": [value.hex() for _, value in messages],
        "body_bytes_hex": signed.body.hex(),
        "auth_info_bytes_hex": signed.auth_info.hex(),
        "sign_bytes_hex": signed.sign_bytes.hex(),
        "signature_hex": signed.signature.hex(),
        "tx_bytes_base64": base64.b64encode(raw).decode(),
        "tx_hash": tx.tx_hash(raw),
    }


def _order_id(given: Case) -> tx.OrderId:
    subaccount = tx.Subaccount(given["owner"], given["subaccount_number"])
    return tx.OrderId(subaccount, given["client_id"], given["clob_pair_id"], given["order_flags"])


def _place(given: Case) -> tuple[str, bytes]:
    order = tx.Order(
        id=_order_id(given),
        side=tx.OrderSide[given["side"]],
        quantums=given["quantums"],
        subticks=given["subticks"],
        good_til_block=given["good_til_block"],
        good_til_time=given["good_til_block_time"],
        tif=tx.OrderTif[given["time_in_force"]],
        reduce_only=given["reduce_only"],
        client_metadata=given["client_metadata"],
        condition=given["condition_type"],
        trigger_subticks=given["conditional_order_trigger_subticks"],
        router=given["order_router_address"],
    )
    return tx.PLACE, tx.place(order)


def _cancel(given: Case) -> tuple[str, bytes]:
    until, until_time = given["good_til_block"], given["good_til_block_time"]
    return tx.CANCEL, tx.cancel(_order_id(given), good_til_block=until, good_til_time=until_time)


def _batch_cancel(given: Case) -> tuple[str, bytes]:
    subaccount = tx.Subaccount(given["owner"], given["subaccount_number"])
    pairs = [(each["clob_pair_id"], each["client_ids"]) for each in given["batches"]]
    return tx.BATCH_CANCEL, tx.batch_cancel(subaccount, pairs, given["good_til_block"])


_MESSAGES: dict[str, Callable[[Case], tuple[str, bytes]]] = {
    "place": _place,
    "cancel": _cancel,
    "batch_cancel": _batch_cancel,
}


def _conversion(case: Case) -> Outputs:
    market = case["header"]["meta"]["markets"][case["ticker"]]
    grid = Grid(
        clob_pair_id=int(market["clobPairId"]),
        atomic_resolution=market["atomicResolution"],
        quantum_conversion_exponent=market["quantumConversionExponent"],
        step_base_quantums=market["stepBaseQuantums"],
        subticks_per_tick=market["subticksPerTick"],
    )
    quantums, subticks = grid.quantums(case["size"]), grid.subticks(case["price"])
    return {
        "quantums_floor_exact": quantums,
        "subticks_floor_exact": subticks,
        # The vectors' prices are rounded down on both sides; a core's prices are whole ticks and never rounded here.
        "subticks_nearest_passive_buy": subticks,
        "subticks_nearest_passive_sell": subticks,
        "quantums_valid_on_chain": grid.takes_quantums(quantums),
        "subticks_valid_on_chain": grid.takes_subticks(subticks),
    }


def _order_uuid(case: Case) -> Outputs:
    subaccount = tx.Subaccount(case["address"], case["subaccount_number"])
    order_id = tx.OrderId(subaccount, case["client_id"], case["clob_pair_id"], case["order_flags"])
    return {"subaccount_uuid": str(subaccount.uuid), "order_uuid": str(order_id.uuid)}


def _wallet(case: Case) -> Outputs:
    """From the mnemonic; a vector of a raw key names the key itself, which is an output by its name only."""
    key = keys.private_key(case["mnemonic"] if "mnemonic" in case else case["private_key_hex"])
    signer = keys.Signer(key)
    return {"private_key_hex": key.hex(), "public_key_hex": signer.public_key.hex(), "address": signer.address}


ADAPTERS: dict[str, Callable[[Case], Outputs]] = {
    "signed_transactions": _signed,
    "quantum_subtick_conversion": _conversion,
    "order_uuids": _order_uuid,
    "wallets": _wallet,
}
