"""Execution vectors about who an order belongs to: reconciliation, ladder labels, client ids that a venue shortens."""

from collections.abc import Callable, Mapping
from typing import Any

from mm_daemon.core.absence import Evidence, absence_proven, nonce_spent
from mm_daemon.core.planner import pair_levels
from mm_daemon.core.reconcile import Held, Unseen, reconcile_diff
from mm_daemon.domain.capabilities import Validity
from mm_daemon.domain.events import OpenOrder
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, Side, full_client_id, short_client_id

_INSTRUMENT = InstrumentId("vector:XYZ")
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_MS = 1_000_000
_FINAL = ("FILLED", "CANCELED", "EXPIRED", "REJECTED", "ABSENT")


def reconcile(case: Mapping[str, Any]) -> dict[str, Any]:
    ledger, snapshot = case["ledger"], case["snapshot"]
    low, high = ledger["range"]
    orders = {order["id"]: order for order in ledger["orders"]}
    unseen = [
        Unseen(fill["id"], ClientOrderId(fill["order"]), _side(fill, orders) * fill["lots"])
        for fill in snapshot["fills"]
        if fill["id"] not in ledger["fills"]
    ]
    shown = [
        OpenOrder(
            _INSTRUMENT,
            ClientOrderId(order["id"]) if low <= order["id"] < high else None,
            str(order["id"]),
            _side({"order": order["id"], **order}, orders),
            order["ticks"],
            order["remaining"],
        )
        for order in snapshot["orders"]
    ]
    held = [
        Held(ClientOrderId(order["id"]), order["ticks"], order["remaining"], order["touched"])
        for order in ledger["orders"]
        if order["state"] not in _FINAL
    ]
    ended = {order["id"]: order["touched"] for order in ledger["orders"] if order["state"] in _FINAL}
    diffs = reconcile_diff(
        held,
        ledger["position"],
        unseen,
        shown,
        snapshot["position"],
        requested_ns=case["requested_at"],
        fills_touched_ns=ledger["last_fill_touched"],
        misses={ClientOrderId(int(number)): count for number, count in case["miss_counts"].items()},
        touched_ns=ended.get,
    )
    foreign = "order_foreign"
    return {"diffs": [[diff.kind.value, int(diff.subject) if diff.kind == foreign else diff.subject] for diff in diffs]}


def _side(item: Mapping[str, Any], orders: Mapping[int, Mapping[str, Any]]) -> Side:
    named = item.get("side") or orders.get(item["order"], {}).get("side", "buy")
    return _SIDES[named]


def pairs(case: Mapping[str, Any]) -> dict[str, Any]:
    working = [(ClientOrderId(number), ticks) for number, ticks in case["working"]]
    paired, surplus, places = pair_levels(_SIDES[case["side"]], working, [tuple(each) for each in case["targets"]])
    return {
        "pairs": [[number, level, "move" if moves else "keep"] for number, level, moves in paired],
        "cancel": surplus,
        "place": places,
    }


def client_id(case: Mapping[str, Any]) -> dict[str, Any]:
    low, high = case["range"]
    cid = full_client_id(case["seen"], ClientOrderId(low), ClientOrderId(high))
    return {
        "wire": short_client_id(ClientOrderId(case["cid"])),
        "seen_is_ours": cid is not None,
        "seen_cid": cid,
    }


def absence(case: Mapping[str, Any]) -> dict[str, Any]:
    kind = Validity(case["kind"])
    if kind is Validity.HEIGHT:
        evidence = Evidence(
            kind=kind,
            closes_at=case["good_til_block"],
            now=case["node_height"],
            absent_at=case["snapshot_height"] if case["snapshot_absent"] else None,
            fills_to=case["fills_height"],
        )
    else:
        closes_ms = case.get("expires_ms")
        closes_ms = case["sent_ms"] + case["d_max_ms"] if closes_ms is None else closes_ms + case["margin_ms"]
        spent = case.get("fence") == "accepted" or (
            "nonce" in case and nonce_spent(case["nonce"], case["next_nonce"], hash_found=case["hash_found"])
        )
        evidence = Evidence(
            kind=kind,
            closes_at=closes_ms * _MS,
            closed_at=case["closed_ms"] * _MS if spent else None,
            now=case["venue_ms"] * _MS,
            not_found=tuple(at * _MS for at in case["not_found_ms"]),
            absent_at=case["snapshot_ms"] * _MS if case["snapshot_absent"] else None,
            fills_to=case["fills_complete_to_ms"] * _MS,
        )
    missing = absence_proven(evidence)
    return {"proven": not missing, "missing": list(missing)}


ADAPTERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "reconcile_diff": reconcile,
    "pair_levels": pairs,
    "dydx_client_id": client_id,
    "absence_proven": absence,
}
