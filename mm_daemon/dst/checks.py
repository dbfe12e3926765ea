"""The invariants of OPERATIONS 1, asked after every step: the daemon's picture against the venue's truth.

`after_turn` looks at what the core has just decided and booked, `venue_changed` at the truth after the venue or the
network did something, `leaving` at what is about to leave the process, `settled` at both when all is quiet. A breach
raises `Breach` with the invariant's name and the figures.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from mm_daemon.core.batching import command_class
from mm_daemon.core.market import MarketState
from mm_daemon.core.outbox import CAPACITY
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import AmendQuantity, Bucket, BucketKind, CommandClass
from mm_daemon.domain.decisions import (
    Action,
    AmendOrder,
    ApprovedCommand,
    CancelAll,
    CancelOrder,
    PlaceOrder,
    Turn,
)
from mm_daemon.domain.events import (
    Event,
    OperatorAction,
    OperatorRequest,
    OrderFilled,
    RunEnded,
    ShutdownRequested,
    VenueSnapshotReceived,
)
from mm_daemon.domain.instrument import InstrumentId, grid_floor
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.domain.reconciliation import DiffKind
from mm_daemon.dst.disk import FaultyDisk
from mm_daemon.dst.link import Link, orders_of
from mm_daemon.dst.scenario import Scenario
from mm_daemon.dst.venue import NOBODY, ReferenceVenue
from mm_daemon.runtime.inbox import Inbox

_RECENT_NS = 5_000_000_000
_DURABLE_NS = 2_500_000_000
_LATCHING = (OperatorAction.KILL, OperatorAction.CLEAR_KILL)
_NS_PER_MS = 1_000_000


class Breach(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant


class Rate:
    """One of the venue's limits as the venue counts it (R4): over any window, or as tokens that come back evenly.

    A life does not know what the one before it has used, so each begins anew.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._period_ns = bucket.period_ms * _NS_PER_MS
        self.begin()

    def begin(self) -> None:
        self._taken: deque[tuple[int, int]] = deque()
        self._used = 0
        self._tokens = self._bucket.capacity * self._period_ns
        self._refilled_ns: int | None = None

    def take(self, kind: CommandClass, now_ns: int) -> None:
        """A command leaves. Raises Breach when it is more than the venue takes; cancels go before everything."""
        bucket, cost = self._bucket, self._bucket.costs.get(kind, 0)
        if not cost:
            return
        if bucket.kind is BucketKind.TOKEN:
            if self._refilled_ns is not None:
                gained = (now_ns - self._refilled_ns) * bucket.capacity
                self._tokens = min(bucket.capacity * self._period_ns, self._tokens + gained)
            self._refilled_ns = now_ns
            self._tokens -= cost * self._period_ns
            left = self._tokens // self._period_ns
        else:
            while self._taken and self._taken[0][0] <= now_ns - self._period_ns:
                self._used -= self._taken.popleft()[1]
            self._taken.append((now_ns, cost))
            self._used += cost
            left = bucket.capacity - self._used
        if left < 0:
            raise Breach("R4", f"{bucket.name}: {-left} units more than the {bucket.capacity} that the venue takes")


class Possible:
    """What the venue can still do on one side of one market: lots, orders, and its most aggressive price."""

    __slots__ = ("lots", "orders", "ticks")

    def __init__(self) -> None:
        self.lots = self.orders = 0
        self.ticks: int | None = None

    def add(self, side: Side, lots: int, ticks: Iterable[int]) -> None:
        self.lots += lots
        self.orders += 1
        for each in ticks:
            if self.ticks is None or side * (each - self.ticks) > 0:
                self.ticks = each


class _Market:
    """What is kept of one market between steps."""

    __slots__ = ("booked", "ceilings", "exogenous", "limits", "most_orders", "pending", "position", "seen", "taken")

    def __init__(self) -> None:
        self.taken = 0
        """Fills of the venue that were looked at."""
        self.pending: dict[str, OrderFilled] = {}
        """Fills of the venue that the daemon has not booked."""
        self.seen: list[tuple[int, OrderFilled]] = []
        """Those it has, and when it did on the world's clock, youngest last."""
        self.position = 0
        """What the booked ones add up to."""
        self.booked = 0
        self.exogenous = 0
        """Lots of the position that no order of ours brought, as far as the daemon knows of them."""
        self.ceilings: dict[Side, int] = {}
        self.most_orders: dict[Side, int] = {}
        self.limits: tuple[int, int, int] | None = None


class Checks:
    def __init__(self, scenario: Scenario, venue: ReferenceVenue, link: Link, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._scenario = scenario
        self._venue = venue
        self._link = link
        self._fresh = scenario.capabilities.amend_quantity is AmendQuantity.FRESH
        self._markets = {instrument: _Market() for instrument in venue.accounts}
        self._shifted = dict.fromkeys(venue.accounts, 0)
        self._adopted: dict[InstrumentId, int] = {}
        """By how many lots the daemon has declared the venue right although no fill says so."""
        self._placed: set[ClientOrderId] = set()
        self._lost: set[ClientOrderId] = set()
        """Orders whose record went with a power cut."""
        self.meddled: set[ClientOrderId] = set()
        """Ids of ours that somebody else has used: what becomes of them is not our doing."""
        self.declared: set[ClientOrderId] = set()
        """Orders that a person has said to be filled: their fills may be told later."""
        self._flattens_when_killed = bool(scenario.document["risk"].get("flatten_on_kill"))
        self._rates = [Rate(bucket) for bucket in scenario.capabilities.buckets]
        self._released_only: list[PlaceOrder | AmendOrder] = []
        """Released by the outbox and not yet handed to the network."""
        self.core: TradingCore | None = None
        self._inbox: Inbox | None = None
        self._disk: FaultyDisk | None = None
        self._stopping = False
        self._clearing = False
        """An operator has asked to clear the latch: a death may leave that written or not."""
        self.met_ns: int | None = None
        """When the daemon, on the world's clock, had seen the venue's account for the first time."""
        self.killed = False
        """An operator or a limit has switched quoting off, and the journal has it."""

    # Lives

    def process_begins(self, disk: FaultyDisk) -> None:
        """A daemon is about to start on this disk."""
        self._disk = disk
        for rate in self._rates:
            rate.begin()

    def life_begins(self, core: TradingCore, inbox: Inbox) -> None:
        """It stands, recovered, and has written its first records."""
        self.core, self._inbox = core, inbox
        self._stopping = False
        if self.killed and core.gate.latched is None and not self._clearing:
            raise Breach("R15", "the kill latch was set and written down, and is open after a restart")
        self._clearing = False
        self.killed = core.gate.latched is not None
        for instrument, market in self._markets.items():
            market.limits = None
            self._book(instrument, market)
        self.venue_changed()

    def life_ends(self, now_ns: int, *, cut: bool) -> None:
        """The process is gone; with `cut` some of the last things it wrote are, too."""
        if cut and self.core is not None:
            self._lost.update(self._potential()[0])
            self.killed = False  # it may have been written and lost: nobody can tell
            for instrument, market in self._markets.items():
                self._learn(instrument, market)
                self._lost.update(fill.client_id for fill in market.pending.values())
                while market.seen and market.seen[-1][0] > now_ns - _RECENT_NS:
                    _, fill = market.seen.pop()
                    self._lost.add(fill.client_id)
                    market.position -= fill.side * fill.lots
                    market.pending[fill.fill_key] = fill
        self.core = None
        self._released_only.clear()

    def asked(self, action: OperatorAction) -> None:
        """An operator's wish is in the daemon's inbox."""
        if action is OperatorAction.CLEAR_KILL:
            self._clearing = True

    def shifted(self, instrument: InstrumentId, lots: int) -> None:
        self._shifted[instrument] += lots

    @property
    def known_for_long(self) -> bool:
        """The daemon knows what the account held before it began, and that is on the disk."""
        return self.met_ns is not None and self._now_ns() > self.met_ns + _DURABLE_NS

    def resolvable(self) -> tuple[list[ClientOrderId], list[ClientOrderId]]:
        """Orders in doubt of which the venue has nothing to come any more, and those that it has filled."""
        if self.core is None:
            return [], []
        alive, ended = self._potential()[0], self._venue.ended
        owed = {fill.client_id for market in self._markets.values() for fill in market.pending.values()}
        over = [each for each in self.core.ledger.uncertain if each not in alive]
        filled = [each for each in over if each in ended and ended[each].full]
        return [each for each in over if each not in owed and each not in filled], filled

    # What leaves

    def leaving(self, batch: Sequence[ApprovedCommand]) -> None:
        """A batch is handed to the network."""
        disk = self._disk
        for approved in batch:
            command = approved.command
            if isinstance(command, CancelAll):
                continue
            if disk is not None and not disk.journaled(command):
                raise Breach("R5", f"not in the journal when it left: {command!r}")
            if not command.reasons:
                raise Breach("reasons", f"no reason: {command!r}")
            if isinstance(command, CancelOrder):
                continue
            if command in self._released_only:
                self._released_only.remove(command)
            if isinstance(command, PlaceOrder):
                if command.client_id in self._placed:
                    raise Breach("R6", f"this client id was submitted before: {command!r}")
                self._placed.add(command.client_id)
                self._lost.discard(command.client_id)

    # Turns

    def after_turn(self, turn: Turn, events: Sequence[Event]) -> None:
        """The core has lived a turn; it is written down."""
        core, inbox = self.core, self._inbox
        assert core is not None and inbox is not None
        for event in events:
            if isinstance(event, ShutdownRequested):
                self._stopping = True
            elif isinstance(event, RunEnded) and event.clean:
                self.expect_nothing_open()
            elif self.met_ns is None and isinstance(event, VenueSnapshotReceived):
                self.met_ns = self._now_ns()
        for event in events:
            if isinstance(event, OperatorRequest) and event.action in _LATCHING:
                self._clearing = False
                self.killed = event.action is OperatorAction.KILL
        if self.killed and core.gate.latched is None:
            raise Breach("R15", "the kill latch is open although no operator has cleared it")
        if self.killed and any(
            decision.action is not Action.WITHDRAW for market in core.markets.values() for decision in market.decisions
        ):
            raise Breach("R15", "the kill latch was set a turn ago, and something is quoted still")
        self.killed = core.gate.latched is not None
        for approved in turn.released:
            self._released(core, approved)
            for rate in self._rates:
                rate.take(command_class(approved.command), turn.now_ns)
        if events or turn.reconciled:
            for instrument, market in self._markets.items():
                self._book(instrument, market)
        adopting = any(diff.kind is DiffKind.POSITION_ADOPTED for each in turn.reconciled for diff in each.diffs)
        for instrument, market in self._markets.items():
            state = core.markets[instrument]
            adopted = self._adopted.get(instrument, 0)
            if adopting:
                adopted = self._adopted[instrument] = state.position.lots - market.position
            if state.position.lots != market.position + adopted:
                raise Breach(
                    "R8",
                    f"{instrument}: the ledger holds {state.position.lots} lots, the venue's fills that it has booked "
                    f"add up to {market.position}",
                )
            self._check_book(state, turn.now_ns)
        orders, others = inbox.waiting
        if orders > 1 << 14 or others > 1 << 16:
            raise Breach("R17", f"the inbox holds {orders} order events and {others} of the market")
        for venue, outbox in core.outboxes.items():
            if outbox.waiting > CAPACITY + core.ledger.open_orders(venue) + 1:
                raise Breach("R17", f"the outbox of {venue} holds {outbox.waiting} commands")
        if events or turn.released or turn.reconciled:
            self.venue_changed()

    def _released(self, core: TradingCore, approved: ApprovedCommand) -> None:
        command = approved.command
        if isinstance(command, CancelAll | CancelOrder):
            return
        if self._disk is not None and self._disk.failed:
            raise Breach("R14", f"released after the journal had failed: {command!r}")
        if self._stopping:
            raise Breach("only cancels after shutdown", repr(command))
        if self.killed and not (self._flattens_when_killed and isinstance(command, PlaceOrder) and command.reduce_only):
            raise Breach("R15", f"released although the kill latch is set: {command!r}")
        if not self._scenario.capabilities.simulated:  # such a venue has it by now
            self._released_only.append(command)
        state = core.markets[command.instrument]
        instrument, limits, book = state.instrument, state.facts.limits, state.book
        if grid_floor(command.ticks, instrument.grid) != command.ticks or command.ticks <= 0:
            raise Breach("R3", f"price is off the grid: {command!r}")
        order = core.ledger.get(command.client_id)
        filled = 0 if order is None or self._fresh else order.filled_lots
        if not instrument.min_lots <= command.lots or command.lots - filled > limits.max_order_lots:
            raise Breach("R3", f"size is outside {instrument.min_lots}..{limits.max_order_lots}: {command!r}")
        if instrument.max_lots is not None and command.lots > instrument.max_lots:
            raise Breach("R3", f"more than the venue's largest order {instrument.max_lots}: {command!r}")
        if command.lots * command.ticks * instrument.tick * instrument.lot < instrument.min_notional:
            raise Breach("R3", f"worth less than {instrument.min_notional}: {command!r}")
        if book.trusted:
            # Approved at an instant at most as old as the outbox lets a command wait.
            off = abs(2 * command.ticks - book.half_ticks) * 10_000
            if approved.approved_ns == core.now_ns and off > (limits.collar_bps + 1e-6) * book.half_ticks:
                raise Breach(
                    "R3", f"outside the collar of {limits.collar_bps} bps around {book.half_ticks / 2}: {command!r}"
                )

    def _check_book(self, state: MarketState, now_ns: int) -> None:
        """R9: what stands on a bad book is on its way out."""
        book = state.book
        most_ns = state.parameters.quoting.max_book_age_ms * _NS_PER_MS + 1
        if book.trusted and now_ns - book.ts_local_ns <= most_ns:
            return
        for decision in state.decisions:
            if decision.action is not Action.WITHDRAW:
                age_ms = (now_ns - book.ts_local_ns) / 1e6
                raise Breach(
                    "R9",
                    f"{state.id}: {decision.compact()} on a book {book.invalid_cause or 'valid'}, {age_ms:.1f} ms old",
                )

    def _book(self, instrument: InstrumentId, market: _Market) -> None:
        """Which of the venue's fills has the daemon booked by now?"""
        core = self.core
        assert core is not None
        self._learn(instrument, market)
        if not market.pending:
            return
        booked = [fill for fill in market.pending.values() if core.ledger.known(fill)]
        for fill in booked:
            del market.pending[fill.fill_key]
            market.seen.append((self._now_ns(), fill))
            market.position += fill.side * fill.lots
            if self._anybody(fill) or fill.client_id in self.declared:
                market.exogenous += 1

    def _anybody(self, fill: OrderFilled) -> bool:
        """Whether somebody else brought about this fill of the account."""
        return fill.client_id == NOBODY or fill.client_id in self.meddled

    def _learn(self, instrument: InstrumentId, market: _Market) -> None:
        """What the venue has filled since."""
        fills = self._venue.accounts[instrument].fills
        while market.taken < len(fills):
            fill = fills[market.taken]
            market.pending[fill.fill_key] = fill
            market.taken += 1

    # Truth

    def venue_changed(self) -> None:
        """The venue or the network did something: what may it come to, and does the daemon count all of it?"""
        possible, sides = self._potential()
        core = self.core
        for (instrument, side), here in sides.items():
            there = sides.get((instrument, Side(-side)))
            if side is Side.SELL or there is None or here.ticks is None or there.ticks is None:
                continue
            if here.ticks >= there.ticks:
                raise Breach("R3", f"{instrument}: a buy of ours at {here.ticks} meets a sell of ours at {there.ticks}")
        if core is None:
            return
        for instrument, market in self._markets.items():
            self._learn(instrument, market)
            self._check_worst(core, instrument, market, sides)
        self._check_exposure(core, possible)

    def _potential(self) -> tuple[dict[ClientOrderId, int], Mapping[tuple[InstrumentId, Side], Possible]]:
        """Lots that each order of ours can still trade at the venue, commands under way included; and by side."""
        orders, ended = self._venue.orders, self._venue.ended.keys() | self._venue.spent
        lots: dict[ClientOrderId, int] = {}
        prices: dict[ClientOrderId, list[int]] = {}
        sides: dict[ClientOrderId, tuple[InstrumentId, Side]] = {}
        amends: list[AmendOrder] = []
        for client_id, order in orders.items():
            if client_id in self.meddled:
                continue
            lots[client_id], prices[client_id] = order.left, [order.ticks]
            sides[client_id] = order.instrument, order.side
        for command in (*orders_of(self._link.flying), *self._released_only):
            if isinstance(command, PlaceOrder):
                if command.client_id in self.meddled:
                    continue
                if command.client_id not in ended and command.client_id not in orders:
                    lots[command.client_id], prices[command.client_id] = command.lots, [command.ticks]
                    sides[command.client_id] = command.instrument, command.side
            elif isinstance(command, AmendOrder):
                amends.append(command)
        for amend in amends:
            client_id = amend.client_id
            if client_id not in lots:
                continue
            prices[client_id].append(amend.ticks)
            if self._fresh:
                lots[client_id] += amend.lots
            else:
                filled = orders[client_id].filled if client_id in orders else 0
                lots[client_id] = max(lots[client_id], amend.lots - filled)
        found: dict[tuple[InstrumentId, Side], Possible] = {}
        for client_id, left in lots.items():
            key = sides[client_id]
            at = found.get(key)
            if at is None:
                at = found[key] = Possible()
            at.add(key[1], left, prices[client_id])
        return lots, found

    def _check_worst(
        self,
        core: TradingCore,
        instrument: InstrumentId,
        market: _Market,
        sides: Mapping[tuple[InstrumentId, Side], Possible],
    ) -> None:
        """R1 and R2. What others did to the account, or an operator to the limits, may break them; we may not."""
        limits = core.markets[instrument].facts.limits
        blind = not self._scenario.names_cum  # a venue that does not say what filled can hide a fill behind a cancel
        unknown = sum(
            fill.side * fill.lots
            for fill in market.pending.values()
            if blind or self._anybody(fill) or fill.client_id in self.declared
        )
        adopted = self._adopted.get(instrument, 0)
        position = self._venue.accounts[instrument].lots - self._shifted[instrument] + adopted - unknown
        known = (limits.max_position_lots, limits.min_position_lots, limits.max_orders_per_side)
        others = market.exogenous + adopted + len(self.declared) + (len(market.seen) if blind else 0)
        exogenous = market.limits != known or market.booked != others
        market.limits, market.booked = known, others
        for side, most in ((Side.BUY, limits.max_position_lots), (Side.SELL, -limits.min_position_lots)):
            here = sides.get((instrument, side))
            worst = side * position + (0 if here is None else here.lots)
            count = 0 if here is None else here.orders
            allowed = max(most, worst if exogenous else market.ceilings.get(side, most))
            orders = max(limits.max_orders_per_side, count if exogenous else market.most_orders.get(side, 0))
            if worst > allowed:
                raise Breach(
                    "R1",
                    f"{instrument}: position {position} and all that may still trade at the venue come to "
                    f"{side * worst} lots, more than {side * allowed}",
                )
            if count > orders:
                raise Breach("R2", f"{instrument}: {count} {side.word} orders may be alive at the venue, not {orders}")
            market.ceilings[side] = max(most, min(allowed, worst))
            market.most_orders[side] = max(limits.max_orders_per_side, min(orders, count))

    def _check_exposure(self, core: TradingCore, possible: Mapping[ClientOrderId, int]) -> None:
        """R7: the ledger counts at least what the venue can still fill, and fills that are on their way."""
        owed = dict(possible)
        if self._scenario.names_cum:
            for market in self._markets.values():
                for fill in market.pending.values():
                    if not self._anybody(fill) and fill.client_id not in self.declared:
                        owed[fill.client_id] = owed.get(fill.client_id, 0) + fill.lots
        for client_id, lots in owed.items():
            order = core.ledger.get(client_id)
            if order is None:
                if client_id in self._lost or client_id not in self._placed:
                    continue
                raise Breach("R7", f"the ledger does not know order {client_id}, of which {lots} lots may still trade")
            if order.exposure < lots:
                if client_id in self._lost:
                    continue
                raise Breach(
                    "R7",
                    f"order {client_id} is {order.phase} with an exposure of {order.exposure} lots, "
                    f"and {lots} may still trade or be told",
                )

    # Quiet

    def expect_nothing_open(self) -> None:
        """At a clean end no order of ours rests at the venue, and none that is under way can still come to rest."""
        worthless = self._venue.ended.keys() | self._venue.spent  # a place that arrives now does nothing any more
        ours = [client_id for client_id in self._venue.orders if client_id not in self.meddled]
        coming = [each.client_id for each in orders_of(self._link.flying) if isinstance(each, PlaceOrder)]
        left = [*ours, *(client_id for client_id in coming if client_id not in worthless)]
        if left:
            raise Breach("clean end", f"the run ended clean, and orders {left} are open at the venue")

    def settled(self) -> list[str]:
        """What still differs when everything should have been told: nothing, or words."""
        core = self.core
        assert core is not None
        differences: list[str] = []
        for instrument, account in self._venue.accounts.items():
            if instrument in self._adopted:
                continue  # what was declared has no price
            position = core.markets[instrument].position
            ours = {
                "lots": (position.lots, account.lots),
                "funding": (position.funding_atto, account.funding),
            }
            if self._scenario.tells_fees:
                ours["fees"] = (position.fees_atto, account.fees)
                ours["cash"] = (position.cash_atto, account.cash)
            elif abs(position.fees_atto - account.fees) > len(account.fills):
                ours["fees"] = (position.fees_atto, account.fees)
            differences += [
                f"{instrument}: {name} {here} here, {there} at the venue"
                for name, (here, there) in ours.items()
                if here != there
            ]
        return differences
