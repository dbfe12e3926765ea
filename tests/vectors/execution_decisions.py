"""Execution vectors about decisions and money: words and shapes are translated, nothing is calculated here."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from mm_daemon.domain.decisions import Reason, mask
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.money import to_pair, to_text
from mm_daemon.domain.orders import Side
from mm_daemon.engine import lockouts, tolerance
from mm_daemon.engine.decision_table import decide_row
from mm_daemon.engine.inventory import Position, fee_from_text, received_from_text

Case = Mapping[str, Any]

_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_VERDICTS = {
    "within": Reason.WITHIN_TOLERANCE,
    "too_aggressive": Reason.TOO_AGGRESSIVE,
    "too_passive": Reason.TOO_PASSIVE,
}
_VERDICT_WORDS = {reason: word for word, reason in _VERDICTS.items()}


def _decide_row(case: Case) -> dict[str, Any]:
    reasons = [Reason(word) for word in case["conditions"]]
    if case.get("size_changed") or case.get("size_ok") is False:
        reasons.append(Reason.SIZE_CHANGED)
    if case.get("expiry_near"):
        reasons.append(Reason.EXPIRY_NEAR)
    verdict = case.get("verdict")
    withdraw = case.get("lockout_action", "hold") == "withdraw"
    action, why = decide_row(mask(*reasons), case["working"], _VERDICTS[verdict] if verdict else None, withdraw)
    return {"action": str(action), "reasons": [str(reason) for reason in why]}


def _tolerance(case: Case) -> dict[str, Any]:
    side, working, target = _SIDES[case["side"]], case["working"], case["target"]
    ticks = tolerance.tolerance_ticks(case["half_spread_ticks"], target, case.get("tolerance_frac"))
    return {
        "excess": tolerance.excess_ticks(side, working, target),
        "verdict": _VERDICT_WORDS[tolerance.price_verdict(side, working, target, ticks)],
        "tolerance_ticks": ticks,
    }


def _validity(case: Case) -> dict[str, Any]:
    levels = [(_SIDES[side], raw, working, ticks) for side, raw, working, ticks in case["levels"]]
    low, high = tolerance.validity(case["fair"], levels)
    unbounded = float("inf")
    return {"fair_low": None if low == -unbounded else low, "fair_high": None if high == unbounded else high}


def _lockout_until(case: Case) -> dict[str, Any]:
    rejects = {"consecutive": case["consecutive"], "cap": case["cap_ms"]} if case["kind"] == "reject" else {}
    return {"until_ms": lockouts.lockout_until(case["now_ms"], case["base_ms"], case["until_ms"], **rejects)}


def _pnl_exact(case: Case) -> dict[str, Any]:
    instrument = Instrument(
        venue=Venue("vector"),
        symbol="X",
        base="BASE",
        quote="QUOTE",
        tick=Decimal(case["tick"]),
        lot=Decimal(case["lot"]),
        multiplier=Decimal(case.get("multiplier", "1")),
        maker_fee_ppm=case.get("fee_ppm", 0),
        inverse=bool(case.get("inverse", False)),
    )
    position = Position(instrument, case["q0"], case["m0_half_ticks"])
    for kind, *numbers in case["events"]:
        if kind == "mark":
            position.mark(numbers[0])
        elif kind == "fill":
            lots, ticks, half_ticks, fee = numbers
            charged, rest = (None, 0) if fee is None else fee_from_text(fee)
            position.fill(lots, ticks, half_ticks, fee_atto=charged, fee_rest=rest)
        elif kind == "funding":
            position.estimate_funding(*numbers)
        elif kind == "funding_paid":
            received, rest = received_from_text(numbers[0])
            position.funding_paid(received, rest=rest)
        else:
            raise KeyError(f"P&L event {kind!r} has no counterpart in the product")
    return {
        "K": position.unit_atto,
        "position": position.lots,
        "spread": list(to_pair(position.spread_atto)),
        "inventory": list(to_pair(position.inventory_atto)),
        "fees": list(to_pair(position.fees_atto)),
        "funding": list(to_pair(position.funding_atto)),
        "total": list(to_pair(position.total_atto)),
        "total_text": to_text(position.total_atto),
        "cash": list(to_pair(position.cash_atto)),
        "fee_residue": position.fee_residue,
        "funding_residue": position.funding_residue,
        "estimated_fees": position.estimated_fees,
    }


ADAPTERS: dict[str, Callable[[Case], dict[str, Any]]] = {
    "decide_row": _decide_row,
    "tolerance": _tolerance,
    "validity": _validity,
    "lockout_until": _lockout_until,
    "pnl_exact": _pnl_exact,
}
