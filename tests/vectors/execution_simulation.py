"""The simulated venue's vectors: queue position and matching of resting orders, translated to the product's words."""

from collections.abc import Callable, Mapping
from typing import Any

from mm_daemon.domain.orders import Side
from mm_daemon.simulation.models import QueueModel, QueuePosition
from mm_daemon.simulation.replay_matching import match_book, match_print

_SIDES = {"buy": Side.BUY, "sell": Side.SELL}


def queue(case: Mapping[str, Any]) -> dict[str, Any]:
    level = case["level_lots"]
    exponent = 1.0 if case["n"] is None else float(case["n"])
    position = QueuePosition(QueueModel(case["model"]), exponent, level, float(level))
    remaining = case["order_lots"]
    steps: list[list[float]] = []
    for what, lots in case["events"]:
        filled = 0
        if what == "trade":
            filled = position.trade(lots, remaining, lots)
        else:
            position.depth(lots)
        remaining -= filled
        steps.append([position.front_lots, filled])
    return {"steps": steps, "remaining": remaining}


def match_resting(case: Mapping[str, Any]) -> dict[str, Any]:
    side, ticks, remaining, front = _SIDES[case["side"]], case["price"], case["remaining"], case["front"]
    position = QueuePosition(QueueModel.RISK_AVERSE, 1.0, front, front)
    what, *figures = case["event"]
    if what == "print":
        aggressor, print_ticks, lots = figures
        filled = match_print(
            side,
            ticks,
            remaining,
            position,
            aggressor=_SIDES[aggressor],
            print_ticks=print_ticks,
            free_lots=lots,
            printed_lots=lots,
        )
    else:
        levels = sorted(map(tuple, figures[0]), key=lambda level: side * level[0])
        filled = sum(lots for _, lots in match_book(side, ticks, remaining, position, levels))
    left = position.front_lots
    return {"filled": filled, "front": int(left) if left == int(left) else left}


ADAPTERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"queue": queue, "match_resting": match_resting}
