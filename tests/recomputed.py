"""The figures of a report, computed again from what `mm-daemon journal export` wrote, by their published formulas.

Nothing of the daemon is used: lines of JSON, a book of dictionaries, and school arithmetic. One linear market, in a run
that began with empty books.
"""

import json
import math
from bisect import bisect_right
from decimal import Decimal, localcontext
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev
from typing import Any

S = 10**9
BY_OTHER_PROOF = {"intensity_A", "intensity_k"}
"""Estimates whose proof is that they find known parameters again (test_calibration_recovers_the_truth)."""
LOCKOUTS = {"fill_lockout", "order_lockout", "reject_lockout", "fill_burst"}


class Book:
    """Sizes by price of each side, and the best prices of the faster stream while they are the newer ones."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[int, int]] = {"bids": {}, "asks": {}}
        self.top: dict[str, Any] | None = None
        self.known, self.update_id = False, -1

    def take(self, line: dict[str, Any]) -> None:
        kind = line["record"]
        if kind == "book_invalidated":
            self.__init__()  # type: ignore[misc]
        elif kind == "top_of_book":
            if line["update_id"] > self.update_id and (not self.top or line["update_id"] >= self.top["update_id"]):
                self.top = line
        elif kind == "book_snapshot" or self.known:
            for side in ("bids", "asks"):
                if kind == "book_snapshot":
                    self.sides[side] = {}
                for ticks, lots in line[side]:
                    self.sides[side][ticks] = lots
                self.sides[side] = {ticks: lots for ticks, lots in self.sides[side].items() if lots}
            self.known, self.update_id = True, line["update_id"]
            if self.top and self.top["update_id"] <= self.update_id:
                self.top = None

    @property
    def best(self) -> tuple[int, int] | None:
        """Bid and ask in ticks, where the book can be trusted."""
        if not self.known:
            return None
        if self.top:
            bid, ask = self.top["bid_ticks"], self.top["ask_ticks"]
        else:
            bid, ask = max(self.sides["bids"], default=0), min(self.sides["asks"], default=0)
        return (bid, ask) if 0 < bid < ask else None

    def lots_at(self, side: int, ticks: int) -> int:
        bid, ask = self.best or (0, 0)
        if self.top and ticks == (bid if side > 0 else ask):
            return int(self.top["bid_lots" if side > 0 else "ask_lots"])
        if (side > 0 and ticks > bid) or (side < 0 and ticks < ask):
            return 0
        return self.sides["bids" if side > 0 else "asks"].get(ticks, 0)


class Recomputed:
    """All figures by key, as `values`."""

    def __init__(self, path: Path) -> None:
        with path.open() as file:
            lines = [json.loads(line) for line in file]
        parameters = json.loads(lines[0]["parameters"])["markets"][0]
        contract = parameters["instrument"]
        self.tick, self.lot = Decimal(contract["tick"]), Decimal(contract["lot"])
        self.rates = contract["maker_fee_ppm"], contract["taker_fee_ppm"]
        limits = parameters["limits"]
        self.limit = max(limits["max_position_lots"], -limits["min_position_lots"])
        self.start = lines[0]["time_ns"]
        self.stop = next(line["time_ns"] for line in lines if line["record"] == "shutdown")
        self.lines = lines
        self._read()
        with localcontext(prec=60):
            self.values = self._values()

    def _read(self) -> None:
        """One pass: mids and books as they went, fills, orders."""
        book = Book()
        self.mids: list[tuple[int, Decimal | None]] = []
        self.fills: list[dict[str, Any]] = []
        self.steps: list[tuple[int, str, Any]] = []
        """What moves the books, in order: ("mid", price) and ("fill", fill)."""
        self.orders: dict[int, dict[str, Any]] = {}
        self.samples: dict[str, list[float]] = {name: [] for name in ("ack", "amend", "cancel", "life", "queue")}
        self.counts = dict.fromkeys(("placed", "amended", "canceled", "rejected", "decisions"), 0)
        self.offered = 0
        self.sends = 0
        self.decided = 0
        seen: set[str] = set()
        last: Decimal | None = None
        for line in self.lines:
            kind, now = line["record"], line["time_ns"]
            if kind in ("book_snapshot", "book_delta", "top_of_book", "book_invalidated"):
                book.take(line)
                best = book.best
                mid = None if best is None else self.tick * (best[0] + best[1]) / 2
                if not self.mids or mid != self.mids[-1][1]:
                    self.mids.append((now, mid))
                    if mid is not None:
                        self.steps.append((now, "mid", mid))
                        last = mid
            elif kind == "decided":
                self.decided = line["now_ns"]
            elif kind == "filled" and line["fill_key"] not in seen:
                seen.add(line["fill_key"])
                whole, atto = line["fee"] or (0, 0)
                fill = {
                    "time": now,
                    "side": line["side"],
                    "price": self.tick * line["ticks"],
                    "lots": line["lots"],
                    "size": self.lot * line["lots"],
                    "fee": whole + Decimal(atto).scaleb(-18),
                    "estimated": line["fee"] is None,
                    "maker": line["maker"],
                    "mid": last,
                }
                if fill["estimated"]:
                    rate = self.rates[0 if fill["maker"] else 1]
                    fill["fee"] = fill["size"] * fill["price"] * rate / 1_000_000
                self.fills.append(fill)
                self.steps.append((now, "fill", fill))
            if kind == "decisions":
                self.counts["decisions"] += 1
            self._order(line, kind, now, book)

    def _order(self, line: dict[str, Any], kind: str, now: int, book: Book) -> None:
        if kind == "approved":
            command = line["command"]
            order = self.orders.get(command.get("client_id"))
            if command["record"] == "place":
                self.counts["placed"] += 1
                self.sends += 1
                self.offered += command["lots"]
                self.orders[command["client_id"]] = {
                    **command,
                    "placed": self.decided,
                    "filled": 0,
                    "resting": None,
                    "spans": [],
                }
            elif command["record"] == "amend" and order:
                self.sends += 1
                self.offered += max(0, command["lots"] - order["lots"])
                order["amend"] = self.decided
            elif command["record"] == "cancel" and order:
                order["cancel"] = self.decided
            elif command["record"] == "cancel_all":
                for one in self.orders.values():
                    if not one.get("over"):
                        one["cancel"] = one.get("cancel") or self.decided
            return
        order = self.orders.get(line.get("client_id", -1))
        if order is None:
            return
        if kind == "accepted":
            order["resting"] = now
            self.samples["ack"].append((now - order["placed"]) / 1e6)
        elif kind == "amended":
            order["ticks"], order["lots"] = line["ticks"], line["lots"]
            self.counts["amended"] += 1
            self.samples["amend"].append((now - order["amend"]) / 1e6)
        if kind in ("accepted", "amended") and book.best:
            self.samples["queue"].append(float(self.lot * book.lots_at(order["side"], order["ticks"])))
        if kind == "filled":
            order["filled"] += line["lots"]
        self.counts["rejected"] += kind in ("rejected", "amend_rejected")
        self.counts["canceled"] += kind == "canceled" and not line["replaced"]
        if kind in ("canceled", "expired", "rejected") or order["filled"] >= order["lots"]:
            order["over"] = True
            if order["resting"] is not None:
                order["spans"].append((order["resting"], now))
                order["resting"] = None
            if kind == "canceled" and order.get("cancel"):
                self.samples["cancel"].append((now - order["cancel"]) / 1e6)
            self.samples["life"].append((now - order["placed"]) / 1e9)

    def _values(self) -> dict[str, Any]:
        seconds = (self.stop - self.start) / S
        values: dict[str, Any] = {**self._money(), **self._equity(), **self._markouts(), **self._inventory()}
        values |= self._quoting(seconds)
        fills = self.fills
        volume = sum((fill["size"] * fill["price"] for fill in fills), Decimal(0))
        gains = [1e4 * fill["side"] * float((fill["mid"] - fill["price"]) / fill["price"]) for fill in fills]
        values |= {
            "maker_fills": sum(fill["maker"] for fill in fills),
            "taker_fills": sum(not fill["maker"] for fill in fills),
            "volume": volume,
            "pnl_bps": float(10_000 * values["pnl_total"] / volume) if volume else None,
            "trades_per_hour": len(fills) * 3600 / seconds if seconds else None,
            "fills_per_order": len(fills) / self.sends if self.sends else None,
            "filled_size_share": sum(fill["lots"] for fill in fills) / self.offered if self.offered else None,
            "spread_captured": mean(gains) if gains else None,
        }
        values |= {f"orders_{name}": self.counts[name] for name in ("placed", "amended", "canceled", "rejected")}
        values["decisions"] = self.counts["decisions"]
        for key, name in (("ack_ms", "ack"), ("amend_ms", "amend"), ("cancel_ms", "cancel"), ("life_s", "life")):
            values[f"{key}_p50"] = median(self.samples[name])
        values["queue_ahead_p50"] = median(self.samples["queue"])
        return values

    def _money(self) -> dict[str, Any]:
        position = cash = spread = inventory = fees = Decimal(0)
        mid: Decimal | None = None
        for _, what, value in self.steps:
            if what == "mid":
                inventory += position * (value - (value if mid is None else mid))
                mid = value
            else:
                signed = value["side"] * value["size"]
                spread += signed * (value["mid"] - value["price"])
                fees -= value["fee"]
                cash -= signed * value["price"] + value["fee"]
                position += signed
        total = cash + position * (mid or 0)
        assert total == spread + inventory + fees
        return {
            "pnl_total": total,
            "pnl_spread": spread,
            "pnl_inventory": inventory,
            "pnl_fees": fees,
            "pnl_funding": Decimal(0),
            "position": position,
        }

    def _equity(self) -> dict[str, Any]:
        position = cash = Decimal(0)
        mid = Decimal(0)
        equity: list[Decimal] = []
        steps = iter([*self.steps, (1 << 62, "end", None)])
        now, what, value = next(steps)
        for at in range(self.start, self.stop + 1, S):
            while now <= at:
                if what == "mid":
                    mid = value
                else:
                    position += value["side"] * value["size"]
                    cash -= value["side"] * value["size"] * value["price"] + value["fee"]
                now, what, value = next(steps)
            equity.append(cash + position * mid)
        peak, fall = equity[0], Decimal(0)
        for one in equity:
            peak = max(peak, one)
            fall = max(fall, peak - one)
        moves = [float(after - before) for before, after in pairwise(equity)]
        risk = stdev(moves) if len(moves) > 1 else 0.0
        return {"max_drawdown": fall, "sharpe": mean(moves) / risk if risk > 1e-15 else None}

    def _mid_at(self, at: int) -> Decimal | None:
        number = bisect_right(self._mid_times, at) - 1
        return None if number < 0 or at > self.stop else self.mids[number][1]

    def _markouts(self) -> dict[str, Any]:
        self._mid_times = [time for time, _ in self.mids]
        values: dict[str, Any] = {}
        won: list[bool] = []
        for horizon in (1, 10, 60):
            for side, word in ((1, "bid"), (-1, "ask")):
                gains, costs = [], []
                for fill in self.fills:
                    later = self._mid_at(fill["time"] + horizon * S)
                    if fill["side"] == side and later is not None:
                        gains.append(1e4 * side * float((later - fill["price"]) / fill["price"]))
                        costs.append(1e4 * side * float((fill["mid"] - later) / fill["price"]))
                values[f"markout_{horizon}s_{word}"] = mean(gains) if gains else None
                if horizon == 10:
                    values[f"adverse_10s_{word}"] = mean(costs) if costs else None
                    won += [gain > 0 for gain in gains]
        values["win_rate"] = mean(won) if won else None
        return values

    def _inventory(self) -> dict[str, Any]:
        held, since = 0, self.start
        total = square = at_limit = closed = 0
        largest = 0
        for fill in [*self.fills, {"time": self.stop, "side": 1, "lots": 0}]:
            now = min(fill["time"], self.stop)
            total += abs(held) * (now - since)
            square += held * held * (now - since)
            at_limit += (abs(held) >= self.limit) * (now - since)
            since = max(since, now)
            lots = fill["side"] * fill["lots"]
            if fill["time"] <= self.stop and held * lots < 0:
                closed += min(abs(held), abs(lots))
            held += lots
            largest = max(largest, abs(held))
        span = self.stop - self.start
        lot = float(self.lot)
        if not span:
            return dict.fromkeys(("mean_abs_position", "rms_position", "time_at_limit", "mean_holding")) | {
                "max_abs_position": self.lot * largest
            }
        return {
            "max_abs_position": self.lot * largest,
            "mean_abs_position": total / span * lot,
            "rms_position": math.sqrt(square / span) * lot,
            "time_at_limit": at_limit / span,
            "mean_holding": total / closed / S if closed else None,
        }

    def _quoting(self, seconds: float) -> dict[str, Any]:
        spans: dict[int, list[tuple[int, int]]] = {1: [], -1: []}
        for order in self.orders.values():
            last = [(order["resting"], self.stop)] if order["resting"] is not None else []
            spans[order["side"]] += [(a, min(b, self.stop)) for a, b in [*order["spans"], *last] if a < self.stop]
        edges = sorted({edge for both in spans.values() for span in both for edge in span})
        bid = ask = both = 0
        for start, end in pairwise(edges):
            bids, asks = (any(a <= start and end <= b for a, b in spans[side]) for side in (1, -1))
            bid, ask, both = (
                bid + bids * (end - start),
                ask + asks * (end - start),
                both + (bids and asks) * (end - start),
            )
        locked = pulled = 0
        for side in (1, -1):
            since, stands = self.start, ("", "")
            ends = {"time_ns": self.stop, "record": "decisions", "decisions": [{"side": side, "level": 0}]}
            for line in [*(line for line in self.lines if line["record"] == "decisions"), ends]:
                for decision in line["decisions"]:
                    now = min(line["time_ns"], self.stop)
                    if (decision["side"], decision["level"]) == (side, 0) and now >= since:
                        locked += (stands[0] == "HOLD" and stands[1] in LOCKOUTS) * (now - since)
                        pulled += (stands[0] == "WITHDRAW") * (now - since)
                        since, stands = now, (decision.get("action", ""), decision.get("reasons", [""])[0])
        span = seconds * S or math.inf
        return {
            "quote_uptime": both / span,
            "bid_uptime": bid / span,
            "ask_uptime": ask / span,
            "locked_share": locked / 2 / span,
            "pulled_share": pulled / 2 / span,
        }


def median(values: list[float]) -> float | None:
    """By nearest rank."""
    return sorted(values)[math.ceil(0.5 * len(values)) - 1] if values else None
