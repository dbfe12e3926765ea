"""Fields of requests and control messages of the simulated venue, read and judged."""

from collections.abc import Mapping
from typing import Any

import msgspec

from connectors.simulators.binance_usdm.limits import Refused
from connectors.simulators.binance_usdm.rows import Row
from connectors.simulators.binance_usdm.streams import Listener

BATCH_MAX = 5
Fields = Mapping[str, str]


def symbol_of(fields: Fields) -> str:
    symbol = fields.get("symbol", "")
    if not symbol:
        raise Refused(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    return symbol


def whole(fields: Fields, name: str, default: int) -> int:
    text = fields.get(name, "")
    if not text:
        return default
    if not text.lstrip("-").isdigit() or len(text) > 18:
        raise Refused(-1100, f"Illegal characters found in parameter '{name}'.")
    return int(text)


def list_of(text: str, name: str) -> list[Any]:
    try:
        return msgspec.json.decode(text, type=list[str | int])
    except msgspec.DecodeError:
        raise Refused(-1130, f"Data sent for parameter '{name}' is not valid.") from None


def batch(fields: Fields) -> list[dict[str, str]]:
    try:
        wanted = msgspec.json.decode(fields.get("batchOrders", ""), type=list[dict[str, str | int | float | bool]])
    except msgspec.DecodeError:
        raise Refused(-1130, "Data sent for parameter 'batchOrders' is not valid.") from None
    if not 0 < len(wanted) <= BATCH_MAX:
        raise Refused(-4082, f"Invalid batch number, {len(wanted)} orders; at most {BATCH_MAX}.")
    return [{name: str(value) for name, value in each.items()} for each in wanted]


def heard(listener: Listener, text: str) -> Row:
    """The answer to a client's control message."""
    try:
        asked_for = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return {"error": {"code": 3, "msg": "Invalid JSON"}}
    number, method, names = asked_for.get("id"), asked_for.get("method"), asked_for.get("params", [])
    if method == "LIST_SUBSCRIPTIONS":
        return {"result": list(listener.streams.values()), "id": number}
    good = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if method == "SUBSCRIBE" and good and listener.subscribe(names):
        return {"result": None, "id": number}
    if method == "UNSUBSCRIBE" and good:
        listener.unsubscribe(names)
        return {"result": None, "id": number}
    return {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": number}
