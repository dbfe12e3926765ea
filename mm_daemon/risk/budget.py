"""How many messages the gate lets through: per instrument and minute, and per fill (EXECUTION 5, G12).

Counts are of approved messages; one that never left is given back. They begin anew with each process: what the venue
itself counts is the outbox's business.
"""

from collections import deque

from mm_daemon.domain.deadlines import sooner
from mm_daemon.domain.decisions import Reason, RefusalCode
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.risk.checks import Failure
from mm_daemon.risk.limits import MarketLimits

_MINUTE_NS = 60_000_000_000
_PART_NS = _MINUTE_NS
_PARTS = 60
_SOFT_DENOMINATOR = 5
_RESERVE_DENOMINATOR = 20
_BUDGET_HOLD = Reason.BUDGET_HOLD.bit
_ORDER_TO_TRADE = Reason.ORDER_TO_TRADE.bit

Pace = tuple[int, bool, int | None]
"""Hold reasons as a mask, whether the budget is so low that quotes should move less, and when to ask again, ns."""

FREE: Pace = (0, False, None)


class _Traffic:
    """Messages and fills of the last hour, by minutes."""

    __slots__ = ("_parts", "fills", "messages")

    def __init__(self) -> None:
        self._parts: deque[list[int]] = deque()
        self.messages = 0
        self.fills = 0

    def add(self, messages: int, fills: int, now_ns: int) -> None:
        self.look(now_ns)
        part, parts = now_ns // _PART_NS, self._parts
        if not parts or parts[-1][0] < part:
            parts.append([part, 0, 0])
        parts[-1][1] += messages
        parts[-1][2] += fills
        self.messages += messages
        self.fills += fills

    def look(self, now_ns: int) -> None:
        """Forget what is older than an hour."""
        parts, oldest = self._parts, now_ns // _PART_NS - _PARTS
        while parts and parts[0][0] <= oldest:
            _, messages, fills = parts.popleft()
            self.messages -= messages
            self.fills -= fills


class ActionBudget:
    """Counts of every instrument that has a limit."""

    __slots__ = ("_actions", "_traffic")

    def __init__(self) -> None:
        self._actions: dict[InstrumentId, deque[int]] = {}
        self._traffic: dict[InstrumentId, _Traffic] = {}

    def charge(self, instrument: InstrumentId, limits: MarketLimits, now_ns: int) -> Failure | None:
        """One place or amend more, or why not."""
        budget, ratio = limits.actions_per_minute, limits.max_order_to_trade
        actions = None if budget is None else self._last_minute(instrument, now_ns)
        if actions is not None and budget is not None and len(actions) >= budget:
            return RefusalCode.ACTION_BUDGET, len(actions), budget
        if ratio is not None:
            traffic = self._hour(instrument, now_ns)
            most = ratio * max(traffic.fills, 1)
            if traffic.messages + 1 > most:
                return RefusalCode.ORDER_TO_TRADE, traffic.messages, most
            traffic.add(1, 0, now_ns)
        if actions is not None:
            actions.append(now_ns)
        return None

    def count_cancel(self, instrument: InstrumentId, limits: MarketLimits, now_ns: int) -> None:
        """A cancel is never refused, but it is a message."""
        if limits.max_order_to_trade is not None:
            self._hour(instrument, now_ns).add(1, 0, now_ns)

    def count_fill(self, instrument: InstrumentId, limits: MarketLimits, now_ns: int) -> None:
        if limits.max_order_to_trade is not None:
            self._hour(instrument, now_ns).add(0, 1, now_ns)

    def give_back(self, instrument: InstrumentId, *, charged: bool, now_ns: int) -> None:
        """A message that passed never left; `charged`: a place or amend that counted against the minute."""
        actions = self._actions.get(instrument)
        if charged and actions:
            actions.pop()
        if instrument in self._traffic:
            self._traffic[instrument].add(-1, 0, now_ns)

    def pace(self, instrument: InstrumentId, limits: MarketLimits, now_ns: int) -> Pace:
        """What the budgets mean for quotes now. Below 5 % of the minute's actions nothing is placed or moved, and what
        has become too aggressive has to be pulled, because it cannot be moved; below 20 % quotes move less.
        """
        held, soft = 0, False
        until_ns: int | None = None
        budget, ratio = limits.actions_per_minute, limits.max_order_to_trade
        if budget is not None:
            actions = self._last_minute(instrument, now_ns)
            left = budget - len(actions)
            soft = left * _SOFT_DENOMINATOR < budget
            if left * _RESERVE_DENOMINATOR < budget:
                held = _BUDGET_HOLD
                allowed = budget - -(-budget // _RESERVE_DENOMINATOR)
                until_ns = actions[len(actions) - allowed - 1] + _MINUTE_NS
        if ratio is not None:
            traffic = self._hour(instrument, now_ns)
            most = ratio * max(traffic.fills, 1)
            soft = soft or (most - traffic.messages) * _SOFT_DENOMINATOR < most
            if traffic.messages + 1 > most:
                held |= _ORDER_TO_TRADE
                until_ns = sooner(until_ns, (now_ns // _PART_NS + 1) * _PART_NS)
        return held, soft, until_ns

    def actions(self, instrument: InstrumentId, now_ns: int) -> int:
        """Places and amends of the last minute that count against its budget."""
        return len(self._last_minute(instrument, now_ns))

    def order_to_trade(self, instrument: InstrumentId, now_ns: int) -> float:
        """Messages per fill of the last hour, as they are limited."""
        traffic = self._hour(instrument, now_ns)
        return traffic.messages / max(traffic.fills, 1)

    def _hour(self, instrument: InstrumentId, now_ns: int) -> _Traffic:
        traffic = self._traffic.get(instrument)
        if traffic is None:
            traffic = self._traffic[instrument] = _Traffic()
        traffic.look(now_ns)
        return traffic

    def _last_minute(self, instrument: InstrumentId, now_ns: int) -> deque[int]:
        actions = self._actions.setdefault(instrument, deque())
        while actions and actions[0] <= now_ns - _MINUTE_NS:
            actions.popleft()
        return actions
