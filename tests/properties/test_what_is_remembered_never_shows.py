"""Law: a core that remembers decides as one that works everything out anew at every turn.

Decisions, prices, slots, lockout masks, equity and deadlines are kept while nothing they rest on has changed. Beside
each core lives one that forgets all of them before every turn. Both must say the same, and a deadline that is kept may
be early, for then nothing is found to be due, but never late.
"""

from collections.abc import Sequence

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import Bucket, BucketKind, Capabilities, CommandClass
from mm_daemon.domain.decisions import AmendOrder, CancelAll, CancelOrder, Command, PlaceOrder
from mm_daemon.domain.events import (
    BookInvalidated,
    CommandOutcomeUnknown,
    DeadlineReached,
    Event,
    FundingPaid,
    InvalidCause,
    LoopLagged,
    OpenOrder,
    OperatorAction,
    OperatorRequest,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderEvent,
    OrderFilled,
    OrderRejected,
    RateLimited,
    TopOfBook,
    VenueDisconnected,
    VenueSnapshot,
    VenueSnapshotReceived,
)
from mm_daemon.domain.instrument import InstrumentId, SignificantFigures
from mm_daemon.domain.money import ATTO, to_pair
from mm_daemon.domain.orders import Operation, Phase, RejectKind
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.risk.limits import AccountLimits
from mm_daemon.testkit import builders
from mm_daemon.testkit.builders import MS, VENUE

_ANY = {CommandClass.PLACE: 1, CommandClass.AMEND: 1, CommandClass.CANCEL: 1, CommandClass.CANCEL_ALL: 1}
_SLOW = Bucket(name="orders", kind=BucketKind.WINDOW, capacity=6, period_ms=3000, costs=_ANY)
_COARSE = SignificantFigures(figures=3, decimals=1)
_NEVER = 1 << 62


def forget(core: TradingCore) -> None:
    """From here it knows nothing but what it was told."""
    core._agenda.deadline_known = False
    core._control.recount()
    for market in core._markets.values():
        market.basis, market.slots, market.engine._seen, market.engine._grounds = (), [], (), ()
        market.lockouts.restore(msgspec.structs.replace(market.lockouts.state(), held=()))


class Beside:
    """Two cores that live the same, and a venue that does what is drawn."""

    def __init__(self, parameters: CoreParameters) -> None:
        self.core = TradingCore(parameters)
        self.forgetful = TradingCore(parameters)
        self.symbols = list(self.core.markets)
        self.now_ms = 0
        self.unheard: list[Command] = []
        self.number = 10
        for symbol in self.symbols:
            self.tell(builders.snapshot(0, 1000, 1003, symbol=symbol))
        self.tell(builders.connected(), self.account())

    def account(self) -> VenueSnapshotReceived:
        """The venue knows what the ledger knows."""
        at_ns = self.now_ms * MS
        positions = tuple((symbol, market.position.lots) for symbol, market in self.core.markets.items())
        orders = tuple(
            OpenOrder(o.instrument, o.client_id, f"v{o.client_id}", o.side, o.ticks, o.remaining_lots)
            for symbol in self.symbols
            for o in self.core.ledger.alive(symbol)
            if o.phase is Phase.LIVE
        )
        return VenueSnapshotReceived(VENUE, at_ns, at_ns, VenueSnapshot(VENUE, at_ns, at_ns, orders, positions))

    def tell(self, *events: Event) -> None:
        for event in events:
            self.core.apply(event)
            self.forgetful.apply(event)
        turn = self.core.decide(self.now_ms * MS)
        forget(self.forgetful)
        assert turn == self.forgetful.decide(self.now_ms * MS)
        assert (self.core.next_deadline_ns() or _NEVER) <= (self.forgetful.next_deadline_ns() or _NEVER)
        self.unheard += [approved.command for approved in turn.released]

    def wait(self, ms: int) -> None:
        """Time passes; deadlines are answered when they come, but for one turn at an instant."""
        until_ms = self.now_ms + ms
        while (deadline_ns := self.core.next_deadline_ns()) is not None and deadline_ns < until_ms * MS:
            self.now_ms = max(self.now_ms + 1, -(-deadline_ns // MS))
            self.tell(DeadlineReached(self.now_ms * MS))
        self.now_ms = max(self.now_ms, until_ms)

    def answer(self, command: Command, mood: int) -> Sequence[OrderEvent]:
        at_ns = self.now_ms * MS
        if isinstance(command, CancelAll):
            return [
                OrderCanceled(o.instrument, at_ns, at_ns, o.client_id, f"v{o.client_id}", True, o.filled_lots)
                for symbol in self.symbols
                for o in self.core.ledger.alive(symbol)
            ]
        where = command.instrument, at_ns, at_ns, command.client_id
        name = f"v{command.client_id}"
        if mood == 0:
            operation = {PlaceOrder: Operation.PLACE, AmendOrder: Operation.AMEND, CancelOrder: Operation.CANCEL}
            return [CommandOutcomeUnknown(*where, operation[type(command)])]
        if isinstance(command, PlaceOrder):
            refused = OrderRejected(*where, RejectKind.POST_ONLY_CROSS if mood == 1 else RejectKind.OTHER)
            return [refused if mood in (1, 2) else OrderAccepted(*where, name)]
        if isinstance(command, AmendOrder):
            if mood == 1:
                return [OrderAmendRejected(*where, RejectKind.OTHER)]
            return [OrderAmended(*where, name, command.ticks, command.lots)]
        order = self.core.ledger.get(command.client_id)
        return [] if order is None else [OrderCanceled(*where, name, True, order.filled_lots)]

    def fill(self, symbol: InstrumentId, pick: int, lots: int) -> Sequence[OrderFilled]:
        alive = [
            order for order in self.core.ledger.alive(symbol) if order.phase is Phase.LIVE and order.remaining_lots
        ]
        if not alive:
            return []
        order, at_ns = alive[pick % len(alive)], self.now_ms * MS
        lots = min(lots, order.remaining_lots)
        name, key = f"v{order.client_id}", f"f{self.number}"
        return [OrderFilled(symbol, at_ns, at_ns, order.client_id, name, key, order.side, order.ticks, lots, True)]

    def events(self, what: str, symbol: InstrumentId, a: int, b: int) -> Sequence[Event]:
        """One step of a script; `a` and `b` are its figures, 0..9."""
        self.number += 1
        at_ns = self.now_ms * MS
        if what == "top":
            bid = 980 + 4 * a
            return [TopOfBook(symbol, at_ns, at_ns, bid, 10 + b, bid + 1 + b, 20 - b, self.number)]
        if what == "wider":  # the same mid
            book = self.core.markets[symbol].book
            bid, ask = book.bid_ticks - a, book.ask_ticks + a
            return [TopOfBook(symbol, at_ns, at_ns, bid, book.bid_lots, ask, book.ask_lots, self.number)]
        if what == "delta":
            return [builders.delta(self.now_ms, bids=((990 + a, b),), update_id=self.number, symbol=symbol)]
        if what == "snapshot":
            return [builders.snapshot(self.now_ms, 985 + 3 * a, 986 + 4 * a, update_id=self.number, symbol=symbol)]
        if what == "gap":
            return [BookInvalidated(symbol, at_ns, at_ns, InvalidCause.GAP)]
        if what == "fill":
            return self.fill(symbol, a, 1 + b)
        if what == "answer":
            return self.answer(self.unheard.pop(a % len(self.unheard)), b) if self.unheard else []
        if what == "answer all":
            answers = [event for command in self.unheard for event in self.answer(command, 9)]
            self.unheard.clear()
            return answers
        if what == "canceled":  # by the venue
            alive = [order for order in self.core.ledger.alive(symbol) if order.phase is Phase.LIVE]
            return [
                OrderCanceled(symbol, at_ns, at_ns, order.client_id, f"v{order.client_id}", True, order.filled_lots)
                for order in alive[: 1 + a % 2]
            ]
        if what == "account":
            return [self.account()]
        if what == "slow down":
            return [RateLimited(VENUE, at_ns, at_ns, "orders" if a < 5 else None, 100 * b or None, banned=a == 0)]
        if what == "funding":
            return [FundingPaid(symbol, at_ns, at_ns, to_pair((a - 5) * ATTO // 1000), f"p{self.number}")]
        if what == "operator":
            actions = (OperatorAction.PAUSE, OperatorAction.RESUME, OperatorAction.RESUME, OperatorAction.CLEAR_KILL)
            return [OperatorRequest(at_ns, actions[a % 4], "me", symbol if b % 2 and a % 4 != 3 else None)]
        if what == "lagged":
            return [LoopLagged(at_ns, 100 * (a % 2))]
        if what == "link":
            lost = VenueDisconnected(VENUE, at_ns, at_ns, "test")
            return [lost] if a == 0 else [builders.connected(self.now_ms)]
        return [builders.trade(self.now_ms, 1, 1000, 1, symbol=symbol)]  # type: ignore[arg-type]


_OFTEN = ("top", "top", "wider", "delta", "snapshot", "fill", "answer", "answer all", "answer all", "trade")
_SELDOM = ("gap", "canceled", "account", "slow down", "funding", "operator", "lagged", "link")
_FIGURE = st.integers(0, 9)
_WAIT = st.sampled_from((0, 0, 1, 5, 30, 101, 260, 510, 1100, 5100))
_STEP = st.tuples(st.sampled_from((*_OFTEN, *_OFTEN, *_SELDOM)), st.integers(0, 1), _FIGURE, _FIGURE, _WAIT)
_QUOTING = st.sampled_from(
    (
        QuoteParameters(),
        QuoteParameters(
            fair_price="mid", gamma=1.0, k=5.0, tolerance_frac=1e-9, order_lockout_ms=50, max_give_bps=900.0
        ),
        QuoteParameters(model="avellaneda_stoikov", tau="session", lockout_action="withdraw", size_tolerance=0.0),
        QuoteParameters(
            fair_price="adjusted_microprice", low_confidence_widening=3.0, volatility_half_life_s=1.0, k=5.0
        ),
        QuoteParameters(
            calibration="market",
            impact_times=1.0,
            toxic_vpin_widen=0.1,
            toxic_vpin=0.5,
            toxic_cool_down_ms=300,
            vpin_bucket=0.5,
            low_confidence_widening=2.0,
            calibration_half_life_s=5.0,
        ),
        QuoteParameters(
            model="cartea_jaimungal", tau="session", session_s=20.0, size_impact_bps=0.5, volatility_estimator="bipower"
        ),
    )
)
_CAPABILITIES = st.sampled_from(
    (
        Capabilities(amend=True, simulated=True, ack_timeout_ms=700),
        Capabilities(amend=False, ack_timeout_ms=700),
        Capabilities(amend=True, buckets=(_SLOW,), ack_timeout_ms=700),
    )
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(_STEP, min_size=5, max_size=60),
    _QUOTING,
    _CAPABILITIES,
    st.sampled_from((None, 4)),
    st.booleans(),
    st.sampled_from((None, ATTO // 100)),
)
def test_decisions_commands_and_deadlines_are_those_of_a_core_that_forgets(
    script: list[tuple[str, int, int, int, int]],
    quoting: QuoteParameters,
    capabilities: Capabilities,
    actions_per_minute: int | None,
    coarse: bool,
    drawdown_atto: int | None,
) -> None:
    """Turn by turn the same decisions, commands, refusals and bookings; no deadline later than the exact one."""
    contracts = [builders.instrument(symbol) for symbol in ("BTC-USDT", "ETH-USDT")]
    if coarse:
        contracts = [msgspec.structs.replace(contract, grid=_COARSE) for contract in contracts]
    markets = [builders.market(contract, quoting=quoting, max_position_lots=25) for contract in contracts]
    markets = [
        msgspec.structs.replace(
            market, limits=msgspec.structs.replace(market.limits, actions_per_minute=actions_per_minute)
        )
        for market in markets
    ]
    account = AccountLimits(max_drawdown_atto=drawdown_atto)
    beside = Beside(builders.core_parameters(*markets, capabilities=capabilities, account=account))
    for what, which, a, b, wait_ms in script:
        beside.wait(wait_ms)
        events = beside.events(what, beside.symbols[which], a, b)
        if events:
            beside.tell(*events)
    beside.wait(7000)
