"""One seed, lived: the daemon's lives one after the other on one virtual loop, in a world that acts on its own.

A *step* is one turn of the daemon's core, or one thing that the world does: the market moves or trades, a command
arrives at the venue, an operator or a fault strikes. After each the invariants are asked. When the steps are used up
the world becomes calm: no more faults, everything is reachable, what an operator switched off is switched on again;
the daemon gets time to find back, its account is compared with the venue's to the last unit, and it is stopped.
"""

import asyncio
import gc
import io
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mm_daemon import registry
from mm_daemon.backtest.replay import verify
from mm_daemon.config.load import load
from mm_daemon.domain.decisions import ApprovedCommand, Turn
from mm_daemon.domain.errors import ConfigError, MmError
from mm_daemon.domain.events import (
    Event,
    InstrumentUpdated,
    MarkPriceUpdate,
    OperatorAction,
    OperatorRequest,
    OrderResolved,
    PositionAdopted,
    PublicTrade,
    Resolution,
    TopOfBook,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.dst import coverage
from mm_daemon.dst.checks import Breach, Checks
from mm_daemon.dst.coverage import Coverage, order_table_watched
from mm_daemon.dst.disk import FULL, IDS_FULL, SYNC_ERROR, WRITE_ERROR, FaultyDisk
from mm_daemon.dst.faults import CRASH_POINTS, EARLY_POINTS, FAULT_NAMES, Death
from mm_daemon.dst.link import Link, ReferenceConnector
from mm_daemon.dst.scenario import START_NS, START_TICKS, VENUE, Document, Scenario, chance, pick, scenario, weighted
from mm_daemon.dst.venue import ReferenceVenue
from mm_daemon.journal.segments import runs_in
from mm_daemon.ports.connector import Connector, ConnectorContext
from mm_daemon.runtime.app import Daemon
from mm_daemon.runtime.clock import Clock
from mm_daemon.testkit.virtual_loop import VirtualLoop

CALM_S = 75.0
"""What the daemon gets to find back to agreement with the venue when faults have ended."""
_STILL_S = 5.0
"""Behind that, nothing trades any more: every report arrives."""
_WIDEST = 3
"""Largest half-spread of the market, ticks."""
_TRACE = 80
_DURABLE_NS = 2_500_000_000
_LOG_BYTES = 4000
_MOST_LIVES = 400
_LIVELOCK, _LIVELOCK_FLOOR = 3, 20_000
"""Steps, as a multiple of those asked for and at least, after which a seed is given up."""
_EXPECTED_CODES = frozenset({0, 69, 74, 80, 81, 82})


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one seed."""

    seed: int
    steps: int
    turns: int
    lives: int
    digest: str
    """Of every byte that the daemon wrote to its journals, life by life."""
    coverage: dict[str, dict[str, int]]
    breach: str | None = None
    trace: tuple[str, ...] = ()
    log: str = ""


class WatchedDaemon(Daemon):
    """The daemon itself, with somebody who looks after every turn and can do what a person can."""

    def watch(self, world: "World") -> None:
        self._world = world
        self._begun = False

    def _after_turn(self, turn: Turn, urgent: Sequence[Event]) -> None:
        super()._after_turn(turn, urgent)
        if not self._begun:
            self._begun = True
            self._world.life_begins(self)
        self._world.after_turn(turn, urgent)

    def _listen_to_signals(self) -> None:
        """Signals belong to whoever runs the simulation."""

    def operate(self, action: OperatorAction, instrument: InstrumentId | None = None) -> None:
        self._world.checks.asked(action)
        self.inbox.put(OperatorRequest(self._clock.now_ns(), action, "dst", instrument))

    def say(self, event: Callable[[int], Event]) -> None:
        """Something that a person tells, by the daemon's clock."""
        self.inbox.put(event(self._clock.now_ns()))

    def adopt(self, instrument: InstrumentId) -> None:
        self.say(lambda now_ns: PositionAdopted(now_ns, instrument, "dst"))

    def ask_to_stop(self, reason: str) -> None:
        self._stop.hurry(reason)

    def read_again(self) -> None:
        self.reloader.ask("SIGHUP")


class World:
    """Everything outside the daemon. `run` lives the seed."""

    def __init__(self, seed: int, steps: int, folder: Path, *, replay: bool = False) -> None:
        """`replay`: in the end every journal is lived again and must come to the same answers."""
        rng = Rng(seed)
        self.scenario: Scenario = scenario(seed)
        self._folder = folder
        self._replay = replay
        self._budget = steps
        self._rng = rng.split("world")
        self._market_rng = rng.split("market")
        self._life_rng = rng.split("lives")
        self._disk_rng = rng.split("disk")
        self._link_rng = rng.split("link")
        self.loop = VirtualLoop(START_NS)
        self.loop.set_exception_handler(self._uncaught)
        self.cover = Coverage()
        self.venue = ReferenceVenue(
            VENUE,
            self.scenario.instruments,
            self.scenario.capabilities,
            start_ticks=START_TICKS,
            now_ns=self.loop.now_ns,
            tell=self._told,
            names_cum=self.scenario.names_cum,
            tells_fees=self.scenario.tells_fees,
        )
        self.link = Link(self, self.scenario, rng.split("ways"))
        self.link.venue = self.venue
        self.checks = Checks(self.scenario, self.venue, self.link, self.loop.now_ns)
        self.steps = self.turns = self.lives = 0
        self.calm = False
        self.breach: Breach | None = None
        self._wall_offset_ns = 0
        self._daemon: WatchedDaemon | None = None
        self._trace: deque[tuple[int, int, str, object]] = deque(maxlen=_TRACE)
        self._digests: list[str] = []
        self._log = ""
        self._death: str | None = None
        """The point at which this life ends, if it is to die."""
        self._passes = 0
        """How often that point is passed before."""
        self._cut = False
        self._failure: str | None = None
        self._failures_passed = 0
        self._actions_total = sum(self.scenario.actions.values())
        self._buried = False
        self._shifts = 0
        self._muted_until_ns = dict.fromkeys(self.venue.quotes, 0)
        self._document: Document = self.scenario.document
        self._handlers = self._wire()

    # One seed

    def run(self) -> Outcome:
        self._write_config(self._document)
        for instrument in self.venue.quotes:
            self._show(instrument, START_TICKS)
        self.loop.call_soon(self._act)
        with order_table_watched(self.cover.hit):
            try:
                self._live_on()
                if self._replay and self.breach is None:
                    self._live_again()
            except Breach as breach:
                self.breach = breach
            finally:
                self._bury()
                self.loop.close()
        return Outcome(
            seed=self.scenario.seed,
            steps=self.steps,
            turns=self.turns,
            lives=self.lives,
            digest="-".join(self._digests),
            coverage={group: dict(counts) for group, counts in self.cover.groups.items()},
            breach=None if self.breach is None else str(self.breach),
            trace=() if self.breach is None else tuple(_line(entry) for entry in self._trace),
            log="" if self.breach is None else self._log,
        )

    def _live_on(self) -> None:
        while True:
            calm_before = self.calm
            code = self._live()
            if self.breach is not None:
                return
            self.cover.hit(coverage.ENDINGS, "died" if code is None else str(code))
            if code == ConfigError.exit_code:
                self._mend_config()
            elif code is not None and code not in _EXPECTED_CODES:
                raise Breach("exit code", f"the daemon ended with {code}: {self._log[-600:]}")
            if code is not None and code != ConfigError.exit_code and calm_before:
                if code not in (0, 80):
                    raise Breach("end", f"in calm the daemon stopped with {code}: {self._log[-600:]}")
                return
            if self.lives >= _MOST_LIVES:
                raise Breach("end", f"{self.lives} lives were not enough")
            pause_s = 0.01 + self._life_rng.uniform() * pick(self._life_rng, (0.1, 3.0))
            self._wait(pause_s)

    def _live_again(self) -> None:
        """What was written down is what the core does."""
        for run in runs_in(self._folder / "state" / "journal"):
            report = verify(run)
            self.cover.hit("replay", "equal" if report.difference is None else "other")
            if report.difference is not None:
                raise Breach("replay", report.to_text())

    def _wait(self, seconds: float) -> None:
        """The world goes on without a daemon."""
        try:
            self.loop.run_until_complete(asyncio.sleep(seconds))
        except Death:
            return

    def _live(self) -> int | None:
        """One life; its exit code, None if it died."""
        self.lives += 1
        self._plan_life()
        log = io.StringIO()
        disk = FaultyDisk(self, self._disk_rng)
        self.checks.process_begins(disk)
        code: int | None = None
        try:
            code = self.loop.run_until_complete(self._one_life(disk, log))
        except Death as death:
            self._cut = self._cut and self._known_for_long
            self.cover.hit(coverage.CRASHES, death.where)
            self.fault("power cut" if self._cut else "death")
        except MmError as error:
            code = error.exit_code
            log.write(str(error))
        self.checks.life_ends(self.loop.now_ns(), cut=self._cut and code is None)
        self._daemon = None
        if self.link.connector is not None:
            self.link.connector.vanish()
            self.link.connector = None
        disk.power_off(cut=self._cut and code is None)
        self._bury()
        gc.unfreeze()
        self._digests.append(disk.digest)
        self._log = log.getvalue()[-_LOG_BYTES:]
        return code

    async def _one_life(self, disk: FaultyDisk, log: io.StringIO) -> int:
        config = load(
            self._folder / "config.yaml",
            settings_of=registry.settings_of,
            environ={},
            models=registry.PricingModels(),
        )
        if self.scenario.segment_kib is not None:  # less than a person may ask for, so that a short run has many
            parts = msgspec.structs.replace(config.journal, segment_mb=self.scenario.segment_kib / 1024)
            config = msgspec.structs.replace(config, journal=parts)
        daemon = WatchedDaemon(
            config,
            paper=False,
            duration_s=None,
            clock=Clock(wall_ns=self._wall_ns, monotonic_ns=self.loop.now_ns),
            connector_named=lambda name: self._connect,
            log_to=log,
            disk=disk,
            settle_memory=_leave_memory,
        )
        daemon.watch(self)
        return await daemon.run()

    def _connect(self, context: ConnectorContext, _settings: msgspec.Struct) -> Connector:
        connector = ReferenceConnector(context, self, self.link, self.scenario, self._link_rng)
        self.link.connector = connector
        return connector

    def _bury(self) -> None:
        """End the tasks of a life that is over; nothing that they still do reaches anything."""
        self._buried = True
        for _ in range(100):
            left = asyncio.all_tasks(self.loop)
            if not left:
                self._buried = False
                return
            for task in left:
                task.cancel()
            try:
                self.loop.run_until_complete(asyncio.wait(left))
            except Death:
                continue

    def _uncaught(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody caught is a bug, of the daemon or of the world; but for what a death tears apart."""
        error = context.get("exception")
        if error is None or isinstance(error, Death) or self._buried:
            return
        said = "".join(traceback.format_exception(error))
        self._guard(lambda: _raise(Breach("uncaught", f"{context.get('message')}: {said}")))

    @property
    def _known_for_long(self) -> bool:
        """The daemon knows what the account held before it began, and that is on the disk."""
        met_ns = self.checks.met_ns
        return met_ns is not None and self.loop.now_ns() > met_ns + _DURABLE_NS

    def _wall_ns(self) -> int:
        return self.loop.now_ns() + self._wall_offset_ns

    def _plan_life(self) -> None:
        rng = self._life_rng
        self._death = self._failure = None
        self._cut = False
        if self.calm:
            return
        if chance(rng, self.scenario.deaths):
            self._death = pick(rng, CRASH_POINTS)
            self._passes = 0 if self._death in EARLY_POINTS else rng.below(pick(rng, (2, 10, 60)))
            self._cut = chance(rng, 25)
            if self._death == "any moment":
                self.loop.call_later(rng.uniform() * pick(rng, (0.2, 2.0, 20.0)), self._any_moment, self.lives)
        if chance(rng, self.scenario.bad_disks):
            self._failure = pick(rng, (FULL, WRITE_ERROR, SYNC_ERROR, IDS_FULL))
            self._failures_passed = 0 if self._failure == IDS_FULL else rng.below(pick(rng, (3, 40, 400)))

    # What the daemon and its surroundings report

    def life_begins(self, daemon: WatchedDaemon) -> None:
        self._daemon = daemon
        self._guard(lambda: self.checks.life_begins(daemon._core, daemon.inbox))
        if self.calm:
            self._plan_end()

    def after_turn(self, turn: Turn, events: Sequence[Event]) -> None:
        self.turns += 1
        hit = self.cover.hit
        for changed in turn.decisions:
            for decision in changed.decisions:
                for reason in decision.reasons:
                    hit(coverage.REASONS, reason)
        for approved in turn.released:
            for reason in approved.command.reasons:
                hit(coverage.REASONS, reason)
        for refusal in turn.refusals:
            hit(coverage.REFUSALS, refusal.code)
        for dropped in turn.dropped:
            hit(coverage.DROPS, dropped.code)
        for reconciled in turn.reconciled:
            for diff in reconciled.diffs:
                hit(coverage.DIFFERENCES, diff.kind)
        for event in events:
            if isinstance(event, OperatorRequest):
                hit(coverage.OPERATOR, event.action)
        self.step("turn", (turn, events))
        self._guard(lambda: self.checks.after_turn(turn, events))
        self.pass_point("turn: lived")

    def leaving(self, batch: Sequence[ApprovedCommand]) -> None:
        self._guard(lambda: self.checks.leaving(batch))

    def venue_changed(self) -> None:
        self._guard(self.checks.venue_changed)

    def step(self, what: str, detail: object = None) -> None:
        self.steps += 1
        self._trace.append((self.steps, self.loop.now_ns(), what, detail))
        if self.steps > _LIVELOCK * self._budget + _LIVELOCK_FLOOR:
            self._guard(lambda: _raise(Breach("livelock", "the daemon keeps turning and time does not go on")))

    def fault(self, name: str) -> None:
        self.cover.hit(coverage.FAULTS, name)
        self._trace.append((self.steps, self.loop.now_ns(), "fault", name))

    def _told(self, event: Event) -> None:
        kind = getattr(event, "kind", None)
        if kind is not None:
            self.cover.hit(coverage.REJECTS, kind)
        self._trace.append((self.steps, self.loop.now_ns(), "the venue says", event))
        self.link.report(event)

    def _guard(self, check: Callable[[], None]) -> None:
        """A breach ends the seed at once, whoever would have caught it."""
        try:
            check()
        except Breach as breach:
            self.breach = breach
            raise Death("breach") from None

    # Death and the disk

    def dies_at(self, point: str) -> bool:
        if point != self._death:
            return False
        self._passes -= 1
        return self._passes < 0

    def die(self, point: str) -> None:
        raise Death(point)

    def pass_point(self, point: str) -> None:
        if point == self._death and self.dies_at(point):
            raise Death(point)

    def disk_fails(self, kind: str) -> bool:
        if kind != self._failure:
            return False
        self._failures_passed -= 1
        if self._failures_passed >= 0:
            return False
        self._failure = None
        self.fault(kind)
        return True

    def _any_moment(self, life: int) -> None:
        if life == self.lives and self._daemon is not None and self._death == "any moment":
            raise Death("any moment")

    # What the world does

    def _act(self) -> None:
        if self.calm:
            self._act_calmly()
            return
        if self.steps >= self._budget:
            self._calm_down()
            return
        pause_s = -1.0
        while pause_s < 0:
            pause_s = self._rng.exponential(1000.0 / self.scenario.pause_ms)
        self.loop.call_later(pause_s, self._act)
        name = weighted(self._rng, self.scenario.actions, self._actions_total)
        self.step(name)
        if name in _FAULTS:
            self.cover.hit(coverage.FAULTS, name)
        self._handlers[name]()
        self.venue_changed()

    def _act_calmly(self) -> None:
        self.loop.call_later(0.4, self._act)
        self.step("calm")
        still = self.loop.now_ns() > self._calm_ns + int((CALM_S - _STILL_S) * 1e9)
        for instrument in self.venue.quotes:
            if still:  # books stay fresh, and nobody can fill us: what is compared at the end has been told
                self._show(instrument, self.venue.quotes[instrument].mid, _WIDEST)
            else:
                self._show(instrument, self._next_mid(instrument, 1))
                self._trade()
        self.venue_changed()

    def _calm_down(self) -> None:
        """No more faults, and everything that was taken away is given back."""
        self.calm = True
        self._calm_ns = self.loop.now_ns()
        self._death = self._failure = None
        self.link.banned_until_ns = 0
        self._wall_offset_ns = 0
        for quotes in self.venue.quotes.values():
            quotes.empty, quotes.tradable = None, True
        for order in tuple(self.venue.foreign.values()):
            self.venue.kill_order(order, expired=False)
        self.loop.call_soon(self._act)
        if self._daemon is not None:
            self._daemon.ask_to_stop("calm")

    def _plan_end(self) -> None:
        """A life that begins in calm is the last one."""
        self._calm_ns = self.loop.now_ns()
        life = self.lives
        self.loop.call_later(3.0, self._switch_on, life)
        for after_s in (15.0, 30.0):
            self.loop.call_later(after_s, self._adopt_everywhere, life)
        self.loop.call_later(CALM_S, self._end, life)

    def _switch_on(self, life: int) -> None:
        if life == self.lives and self._daemon is not None:
            for action in (OperatorAction.CLEAR_KILL, OperatorAction.RESUME):
                self._daemon.operate(action)
            for instrument in self.venue.quotes:
                self._daemon.operate(OperatorAction.ENABLE, instrument)

    def _adopt_everywhere(self, life: int) -> None:
        """Whoever once declared a position has to do so again when the venue takes its change back."""
        if life == self.lives and self._daemon is not None and self._shifts:
            for instrument in self.venue.quotes:
                self._daemon.adopt(instrument)

    def _end(self, life: int) -> None:
        if life != self.lives or self._daemon is None:
            return
        core = self.checks.core
        assert core is not None
        if core.reconciled:
            differences = self.checks.settled()
            if differences:
                self._guard(lambda: _raise(Breach("R8", "when all is quiet: " + "; ".join(differences))))
            self.cover.hit("calm", "agreed to the last unit")
        else:
            self._guard(lambda: _raise(Breach("R12", "when all is quiet the account is still not agreed on")))
        if core.ledger.open_orders() and any(market.decisions for market in core.markets.values()):
            self.cover.hit("calm", "quoting again")
        self._daemon.ask_to_stop("the end")

    def _wire(self) -> dict[str, Callable[[], None]]:
        """What each action does."""
        return {
            "move": self._move,
            "trade": self._trade,
            "quiet": lambda: None,
            "mark": self._mark,
            "venue time": self._venue_time,
            "venue time astray": lambda: self._venue_time(pick(self._rng, (-2000, -100, 100, 2000))),
            "price jump": self._jump,
            "book gap": lambda: self._connector(lambda each: each.gap(self._instrument())),
            "book side empty": self._empty_side,
            "book crossed": self._cross_book,
            "book stale": self._mute,
            "funding": self._fund,
            "order dies at the venue": self._kill_order,
            "foreign order": self._foreign_order,
            "foreign fill": self._foreign_fill,
            "position changed without a fill": self._shift,
            "disconnect": lambda: self._connector(lambda each: each.outage(0.05 + self._rng.uniform() * 3)),
            "half-open link": lambda: self._connector(lambda each: each.go_half_open(0.5 + self._rng.uniform() * 3)),
            "session fails": lambda: self._connector(lambda each: each.fail(tell=chance(self._rng, 50))),
            "ban": self._ban,
            "rate limit told": lambda: self._connector(
                lambda each: each.slow_down(pick(self._rng, (None, 50, 500, 3000)))
            ),
            "venue restart": self._restart_venue,
            "market halted": self._halt,
            "grid changed": self._change_grid,
            "process stalled": self._stall,
            "wall clock stepped": self._step_clock,
            "pause": lambda: self._operate(OperatorAction.PAUSE, OperatorAction.RESUME),
            "disable": lambda: self._operate(OperatorAction.DISABLE, OperatorAction.ENABLE),
            "flatten": lambda: self._operate(OperatorAction.FLATTEN, OperatorAction.RESUME),
            "cancel all": lambda: self._operate(OperatorAction.CANCEL_ALL, OperatorAction.RESUME, everywhere=True),
            "kill": lambda: self._operate(OperatorAction.KILL, OperatorAction.CLEAR_KILL, everywhere=True),
            "configuration changed": self._change_config,
            "stop asked": self._stop,
            "resolve": self._resolve,
            "adopt": self._adopt,
        }

    # The market

    def _instrument(self) -> InstrumentId:
        return pick(self._rng, self.scenario.ids)

    def _next_mid(self, instrument: InstrumentId, most: int) -> int:
        mid = self.venue.quotes[instrument].mid + self._market_rng.below(2 * most + 1) - most
        return min(max(mid, 2_000), 40_000)

    def _show(self, instrument: InstrumentId, mid: int, half: int | None = None) -> None:
        rng = self._market_rng
        self.venue.show(
            instrument, mid, 1 + rng.below(_WIDEST) if half is None else half, [1 + rng.below(40) for _ in range(6)]
        )
        if self.loop.now_ns() >= self._muted_until_ns[instrument]:
            self.link.publish(instrument)

    def _move(self) -> None:
        instrument = self._instrument()
        self._show(instrument, self._next_mid(instrument, self.scenario.restless))

    def _jump(self) -> None:
        instrument = self._instrument()
        self._show(instrument, self._next_mid(instrument, pick(self._rng, (30, 100, 600))))

    def _trade(self) -> None:
        rng, instrument = self._market_rng, self._instrument()
        quotes = self.venue.quotes[instrument]
        aggressor = Side.BUY if rng.below(2) else Side.SELL
        lots, limit = 1 + rng.below(pick(rng, (4, 20, 60))), quotes.mid + aggressor * rng.below(14)
        now_ns = self.loop.now_ns()
        self.link.market(PublicTrade(instrument, now_ns, now_ns, aggressor, quotes.mid, lots, quotes.update_id))
        self.venue.trade(instrument, aggressor, lots, limit)

    def _mark(self) -> None:
        instrument = self._instrument()
        mark = 2 * self.venue.quotes[instrument].mid + self._rng.below(9) - 4
        if chance(self._rng, 10):
            mark += mark // 20
        self.link.market(MarkPriceUpdate(instrument, self.loop.now_ns(), self.loop.now_ns(), mark))

    def _venue_time(self, off_ms: int = 0) -> None:
        """The venue tells its time."""
        self._connector(lambda each: each.tell_time(self.loop.now_ns() + off_ms * 1_000_000))

    def _empty_side(self) -> None:
        instrument = self._instrument()
        quotes = self.venue.quotes[instrument]
        quotes.empty = pick(self._rng, (Side.BUY, Side.SELL))
        self._show(instrument, quotes.mid)
        self.loop.call_later(0.05 + self._rng.uniform(), self._fill_side, instrument)

    def _fill_side(self, instrument: InstrumentId) -> None:
        self.venue.quotes[instrument].empty = None

    def _cross_book(self) -> None:
        instrument = self._instrument()
        quotes, now_ns = self.venue.quotes[instrument], self.loop.now_ns()
        self.link.market(
            TopOfBook(instrument, now_ns, now_ns, quotes.mid + 1, 1, quotes.mid - 1, 1, quotes.update_id + 1)
        )

    def _mute(self) -> None:
        instrument = self._instrument()
        self._muted_until_ns[instrument] = self.loop.now_ns() + self._rng.below(6_000_000_000)

    def _fund(self) -> None:
        paid = self.venue.fund(self._instrument(), pick(self._rng, (-300, 100, 500)))
        if paid is not None and chance(self._rng, 30):
            self.fault("funding told twice")
            self.link.report(paid)

    def _kill_order(self) -> None:
        orders = [*self.venue.orders.values(), *self.venue.foreign.values()]
        if orders:
            self.venue.kill_order(pick(self._rng, orders), expired=chance(self._rng, 50))

    def _foreign_order(self) -> None:
        if not self._known_for_long:
            return
        instrument = self._instrument()
        side = pick(self._rng, (Side.BUY, Side.SELL))
        ticks = self.venue.quotes[instrument].mid - side * (5 + self._rng.below(20))
        self.venue.place_foreign(instrument, side, ticks, 1 + self._rng.below(10))

    def _foreign_fill(self) -> None:
        """What a liquidation takes is held; somebody's own trade may be anything."""
        if not self._known_for_long:
            return
        instrument = self._instrument()
        held = self.venue.accounts[instrument].lots
        if held and chance(self._rng, 60):
            self.venue.fill_foreign(instrument, Side.SELL if held > 0 else Side.BUY, 1 + self._rng.below(abs(held)))
        else:
            self.venue.fill_foreign(instrument, pick(self._rng, (Side.BUY, Side.SELL)), 1 + self._rng.below(4))

    def _shift(self) -> None:
        if not self._known_for_long:
            return
        instrument, lots = self._instrument(), pick(self._rng, (-2, -1, 1, 2))
        self._shift_by(instrument, lots)
        self.loop.call_later(1.0 + self._rng.uniform() * 8, self._shift_by, instrument, -lots)

    def _shift_by(self, instrument: InstrumentId, lots: int) -> None:
        self._shifts += 1
        self.venue.shift_position(instrument, lots)
        self.checks.shifted(instrument, lots)

    # Links and the venue as a whole

    def _connector(self, does: Callable[[ReferenceConnector], None]) -> None:
        if self.link.connector is not None:
            does(self.link.connector)

    def _ban(self) -> None:
        milliseconds = pick(self._rng, (300, 2000, 6000))
        self.link.banned_until_ns = self.loop.now_ns() + milliseconds * 1_000_000
        self._connector(lambda each: each.slow_down(milliseconds, banned=True))

    def _restart_venue(self) -> None:
        """It is away for a while, and no order outlives that."""
        self._connector(lambda each: each.outage(0.3 + self._rng.uniform() * 3))
        for order in tuple(self.venue.orders.values()):
            self.venue.kill_order(order, expired=False)

    def _halt(self) -> None:
        instrument = self._instrument()
        self.venue.quotes[instrument].tradable = False
        self._update(instrument, tradable=False)
        self.loop.call_later(0.5 + self._rng.uniform(), self._resume_market, instrument)
        self.loop.call_later(1.0 + self._rng.uniform() * 2, self._stop)

    def _resume_market(self, instrument: InstrumentId) -> None:
        self.venue.quotes[instrument].tradable = True

    def _change_grid(self) -> None:
        self._update(self._instrument(), tick=self.scenario.instruments[0].tick * 2)
        self.loop.call_later(1.0 + self._rng.uniform() * 2, self._stop)

    def _update(self, instrument: InstrumentId, **changes: object) -> None:
        definition = msgspec.structs.replace(self.venue.instruments[instrument], **changes)
        self.link.market(InstrumentUpdated(instrument, self.loop.now_ns(), self.loop.now_ns(), definition))

    # The machine and its people

    def _stall(self) -> None:
        """Nothing in the process runs for a while."""
        self.loop.elapsed_ns += pick(self._rng, (200, 900, 4000)) * 1_000_000

    def _step_clock(self) -> None:
        """The system's clock is set; the monotonic one goes on."""
        self._wall_offset_ns += pick(self._rng, (-3600, -10, -1, 1, 10, 3600)) * 1_000_000_000

    def _operate(self, does: OperatorAction, undoes: OperatorAction, *, everywhere: bool = False) -> None:
        if self._daemon is None:
            return
        named = everywhere or (chance(self._rng, 50) and does is not OperatorAction.DISABLE)
        instrument = None if named else self._instrument()
        self._daemon.operate(does, instrument)
        self.loop.call_later(0.2 + self._rng.uniform() * 4, self._undo, undoes, instrument)

    def _undo(self, action: OperatorAction, instrument: InstrumentId | None) -> None:
        if self._daemon is None:
            self.loop.call_later(1.0, self._undo, action, instrument)
        else:
            self._daemon.operate(action, instrument)

    def _resolve(self) -> None:
        """A person looks at the venue and says, truly, how an order in doubt has ended."""
        doubtful = self.checks.resolvable()
        if self._daemon is None or not doubtful:
            return
        client_id = doubtful[0]
        ended = self.venue.ended.get(client_id)
        outcome = Resolution.FILLED if ended is not None and ended.full else Resolution.DEAD
        self.cover.hit(coverage.OPERATOR, f"resolve {outcome}")
        self._daemon.say(lambda now_ns: OrderResolved(now_ns, client_id, outcome, "dst", "seen at the venue"))

    def _adopt(self) -> None:
        """A person declares the venue's position right."""
        instrument = self._instrument()
        if self._daemon is not None and self._shifts:
            self.cover.hit(coverage.OPERATOR, "adopt")
            self._daemon.adopt(instrument)

    def _stop(self) -> None:
        if self._daemon is not None and not self.calm:
            self.cover.hit(coverage.FAULTS, "stop asked")
            self._daemon.ask_to_stop("SIGTERM")

    def _change_config(self) -> None:
        """A person edits the file, sometimes badly, and says so."""
        rng = self._rng
        markets = [dict(market) for market in self._document["markets"]]
        market = pick(rng, markets)
        key, values = pick(rng, _CHANGES)
        if key in ("max_position", "order_size"):
            scale = pick(rng, values)
            lots = max(1, round(float(market["order_size"]) * 100 * scale))
            market[key] = lots / 100
        else:
            market[key] = pick(rng, values)
        self._document = {**self._document, "markets": markets}
        self._write_config(self._document)
        if self._daemon is not None:
            self._daemon.read_again()

    def _mend_config(self) -> None:
        """The daemon does not start with what the file says: a person takes the changes back."""
        if self._document is self.scenario.document:
            raise Breach("exit code", f"the daemon does not take the configuration: {self._log[-600:]}")
        self._document = self.scenario.document
        self._write_config(self._document)

    def _write_config(self, document: Document) -> None:
        text = msgspec.json.encode({**document, "state_dir": str(self._folder / "state")})
        (self._folder / "config.yaml").write_bytes(text)


_CHANGES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("half_spread_bps", (1, 3, 6)),
    ("levels", (1, 2, 4)),
    ("enabled", (True, False, True)),
    ("fill_lockout_ms", (0, 100)),
    ("collar_bps", (10, 100, 500)),
    ("actions_per_minute", (10, 100)),
    ("max_position", (1, 2, 4)),
    ("order_size", (0.5, 1)),
    ("max_spread_bps", (-1,)),
)

_FAULTS = frozenset(FAULT_NAMES) - {"stop asked"}


def _leave_memory() -> None:
    """Thousands of lives share this process: nothing of one of them may be kept for ever."""


def _raise(error: Exception) -> None:
    raise error


def _line(entry: tuple[int, int, str, object]) -> str:
    step, now_ns, what, detail = entry
    text = "" if detail is None else f" {_words(detail)}"
    return f"{step:6} {(now_ns - START_NS) / 1e9:11.6f} {what}{text}"


def _words(detail: object) -> str:
    if isinstance(detail, tuple):
        turn, events = detail
        said = [
            f"{type(event).__name__}{tuple(getattr(event, name) for name in event.__struct_fields__)}"
            for event in events
        ]
        parts = [
            *said,
            *(f"decided {each.instrument} {each.compact()}" for each in turn.decisions),
            *(f"refused {each.code} {each.intent!r}" for each in turn.refusals),
            *(f"dropped {each.code} {each.command!r}" for each in turn.dropped),
            *(f"reconciled {each.compact()}" for each in turn.reconciled),
            *(f"released {each.command!r}" for each in turn.released),
        ]
        return "; ".join(parts)
    return repr(detail) if not isinstance(detail, str) else detail
