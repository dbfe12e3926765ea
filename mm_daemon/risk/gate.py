"""The risk gate: the one place that turns an intent into a command a venue may see (EXECUTION 5).

`RiskGate.review` refuses or passes, and never alters. The core reviews a batch one intent at a time and tells the
ledger of each approval at once, so that the next review counts it. Only the intent's own side is tested against the
position limits: a position past its limit can always shrink. Sizes are lots, prices ticks, money atto: integers only.
"""

from collections.abc import Collection

from mm_daemon.domain.checkpoint import GateState
from mm_daemon.domain.decisions import (
    AmendOrder,
    ApprovedCommand,
    CancelAll,
    CancelOrder,
    Intent,
    PlaceOrder,
    Refusal,
    RefusalCode,
)
from mm_daemon.domain.money import from_pair, to_pair
from mm_daemon.domain.orders import Purpose
from mm_daemon.risk.budget import ActionBudget
from mm_daemon.risk.checks import (
    Failure,
    Trial,
    check_crossing,
    check_market,
    check_position,
    check_price,
    check_reducing,
    check_size_and_grid,
    check_slot,
    check_target,
)
from mm_daemon.risk.exposure import AccountExposure
from mm_daemon.risk.facts import MarketFacts, OrdersView, OrderView
from mm_daemon.risk.limits import AccountLimits

_DAY_NS = 86_400_000_000_000


class RiskGate:
    """Passes or refuses intents. `cancels_only` is set by a shutdown; `latched` holds the reason of the kill latch."""

    __slots__ = (
        "_day",
        "_day_start_atto",
        "_equity_atto",
        "_peak_atto",
        "account",
        "budget",
        "cancels_only",
        "exposure",
        "latched",
        "limits_equity",
    )

    def __init__(self, account: AccountLimits, markets: Collection[MarketFacts] = ()) -> None:
        """`markets`: all that the account's limits add up."""
        self.budget = ActionBudget()
        self.exposure = AccountExposure(account, markets)
        self.limit(account)
        self.cancels_only = False
        self.latched: str | None = None
        self._equity_atto: int | None = None
        self._peak_atto = 0
        self._day_start_atto = 0
        self._day: int | None = None

    # Account

    def limit(self, account: AccountLimits) -> None:
        """Go by these limits from here on; what losses count from stays."""
        self.account = account
        self.exposure.limit(account)
        self.limits_equity = account.max_drawdown_atto is not None or account.max_loss_atto is not None
        """Whether `set_equity` can ever matter."""

    @property
    def drawdown_atto(self) -> int | None:
        """How far the account is below its highest value since the start or the last clearing; None: nothing limits
        it, so nobody has told."""
        return None if self._equity_atto is None else self._peak_atto - self._equity_atto

    def set_equity(self, atto: int, now_ns: int | None = None) -> bool:
        """Tell the gate what the account is worth; True when that sets the latch just now.

        Drawdown counts from the highest equity seen, loss from the first one (of the UTC day, where `now_ns` is given).
        """
        day = None if now_ns is None else now_ns // _DAY_NS
        if self._equity_atto is None:
            self._peak_atto = self._day_start_atto = atto
        elif day != self._day:
            self._day_start_atto = self._equity_atto
        self._day = day
        self._equity_atto = atto
        self._peak_atto = max(self._peak_atto, atto)
        if self.latched is not None or self._loss() is None:
            return False
        self.latch(RefusalCode.LOSS_LIMIT)
        return True

    def latch(self, reason: str) -> None:
        """Nothing but cancels from here on. The first reason stays."""
        if self.latched is None:
            self.latched = reason

    def clear(self) -> None:
        """An operator takes the loss as it is: the latch opens and losses count from the present equity."""
        self.latched = None
        if self._equity_atto is not None:
            self._peak_atto = self._day_start_atto = self._equity_atto

    def state(self) -> GateState:
        """The latch and what losses count from; a stop and the action budget end with the process."""
        equity = None if self._equity_atto is None else to_pair(self._equity_atto)
        return GateState(self.latched, equity, to_pair(self._peak_atto), to_pair(self._day_start_atto), self._day)

    def restore(self, state: GateState) -> None:
        self.latched = state.latched
        self._equity_atto = None if state.equity is None else from_pair(state.equity)
        self._peak_atto, self._day_start_atto = from_pair(state.peak), from_pair(state.day_start)
        self._day = state.day

    def _loss(self) -> Failure | None:
        """The account limit that is broken, if one is (G11)."""
        equity, account = self._equity_atto, self.account
        if equity is None:
            return None
        if account.max_drawdown_atto is not None and equity < self._peak_atto - account.max_drawdown_atto:
            return RefusalCode.LOSS_LIMIT, equity, self._peak_atto - account.max_drawdown_atto
        if account.max_loss_atto is not None and equity < self._day_start_atto - account.max_loss_atto:
            return RefusalCode.LOSS_LIMIT, equity, self._day_start_atto - account.max_loss_atto
        return None

    # Review

    def review(
        self, intent: Intent, facts: MarketFacts | None, orders: OrdersView, now_ns: int
    ) -> ApprovedCommand | Refusal:
        """The checks of EXECUTION 5 in their order; the first that fails is the refusal."""
        if isinstance(intent, CancelAll):
            return ApprovedCommand(intent, now_ns)
        if isinstance(intent, CancelOrder):
            order = orders.get(intent.client_id)
            if order is None or not order.may_be_alive:
                return Refusal(intent, RefusalCode.UNKNOWN_TARGET, intent.client_id)
            if facts is not None:
                self.budget.count_cancel(intent.instrument, facts.limits, now_ns)
            return ApprovedCommand(intent, now_ns)
        target = orders.get(intent.client_id) if isinstance(intent, AmendOrder) else None
        failure = self._mode(intent, target, facts) or check_target(intent, target, facts)
        if failure is None and facts is not None:
            failure = self._limits(Trial(intent, target), facts, orders, now_ns)
        if failure is not None:
            return Refusal(intent, *failure)
        return ApprovedCommand(intent, now_ns)

    def merge(
        self, place: PlaceOrder, amend: AmendOrder, facts: MarketFacts | None, orders: OrdersView, now_ns: int
    ) -> ApprovedCommand | Refusal:
        """Review a place that waits in the outbox with the price and size of its amend (EXECUTION 6, conflation).

        The place itself and the amend already count in the ledger, so they are taken out before the test; the action
        was charged when the place passed and the amend passed.
        """
        merged = PlaceOrder(
            place.instrument,
            place.client_id,
            place.side,
            place.level,
            amend.ticks,
            amend.lots,
            amend.reasons,
            post_only=place.post_only,
            reduce_only=place.reduce_only,
            time_in_force=place.time_in_force,
            purpose=place.purpose,
            expires_ns=amend.expires_ns if amend.expires_ns is not None else place.expires_ns,
            expires_height=amend.expires_height if amend.expires_height is not None else place.expires_height,
        )
        order = orders.get(place.client_id)
        failure = self._mode(merged, order, facts) or check_market(facts)
        if failure is None and facts is not None:
            failure = self._limits(Trial(merged, order), facts, orders, now_ns, charged=True)
        if failure is not None:
            return Refusal(amend, *failure)
        return ApprovedCommand(merged, now_ns)

    def _mode(
        self, intent: PlaceOrder | AmendOrder, target: OrderView | None, facts: MarketFacts | None
    ) -> Failure | None:
        """G1."""
        if self.cancels_only:
            return RefusalCode.CANCELS_ONLY, None, None
        if self.latched is not None and not (self.account.flatten_on_kill and _flattens(intent)):
            return RefusalCode.KILL_LATCHED, self.latched, None
        if facts is not None and facts.reconciling:
            source = intent if isinstance(intent, PlaceOrder) else target
            if source is None or source.purpose is Purpose.QUOTE or not source.reduce_only:
                return RefusalCode.RECONCILING, None, None
        return None

    def _limits(
        self,
        trial: Trial,
        facts: MarketFacts,
        orders: OrdersView,
        now_ns: int,
        *,
        charged: bool = False,
    ) -> Failure | None:
        """G3 to G12."""
        flattens = _flattens(trial.intent)
        adds = trial.added_lots > 0 and not flattens  # a hedge taken off may not be kept in by what it hedges
        failure = (
            check_size_and_grid(trial, facts)
            or check_price(trial, facts)
            or check_reducing(trial, facts, orders)
            or check_crossing(trial, facts, orders)
            or check_slot(trial, facts, orders)
            or check_position(trial, facts, orders)
            or (self.exposure.failure(facts, trial.side, trial.added_lots, orders) if adds else None)
            or (None if flattens else self._loss())
        )
        if failure is not None:
            if failure[0] is RefusalCode.LOSS_LIMIT:
                self.latch(RefusalCode.LOSS_LIMIT)
            return failure
        if charged or trial.reduce_only:
            return None
        return self.budget.charge(trial.intent.instrument, facts.limits, now_ns)  # a pass is a charge: the last check


def _flattens(intent: PlaceOrder | AmendOrder) -> bool:
    """An order that can only take a position off."""
    return isinstance(intent, PlaceOrder) and intent.purpose is Purpose.FLATTEN and intent.reduce_only
