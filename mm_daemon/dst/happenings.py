"""What the market and the venue do on their own: prices, trades, money, halts, links that come and go."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from mm_daemon.domain.events import BalanceUpdate, InstrumentUpdated, MarkPriceUpdate, PublicTrade, TopOfBook
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.money import ATTO, to_pair
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.dst.chance import chance, pick
from mm_daemon.dst.checks import Checks
from mm_daemon.dst.link import Link, ReferenceConnector
from mm_daemon.dst.scenario import Scenario
from mm_daemon.dst.venue import ReferenceVenue
from mm_daemon.testkit.virtual_loop import VirtualLoop

WIDEST = 3
"""Largest half-spread of the market, ticks."""


class Stage(Protocol):
    """Where it happens."""

    scenario: Scenario
    loop: VirtualLoop
    venue: ReferenceVenue
    link: Link
    checks: Checks

    def fault(self, name: str) -> None: ...
    def ask_to_stop(self) -> None:
        """Somebody tells the daemon to stop."""
        ...


class Happenings:
    """`shifts`: how often a position was changed without a fill."""

    def __init__(self, stage: Stage, rng: Rng, market_rng: Rng) -> None:
        """`market_rng`: of prices and trades alone."""
        self._stage = stage
        self.scenario = stage.scenario
        self.loop = stage.loop
        self.venue = stage.venue
        self.link = stage.link
        self.checks = stage.checks
        self._rng = rng
        self._market_rng = market_rng
        self._muted_until_ns = dict.fromkeys(self.venue.quotes, 0)
        self.shifts = 0

    def actions(self) -> dict[str, Callable[[], None]]:
        """What each does, by name."""
        return {
            "move": self._move,
            "trade": self.trade,
            "quiet": lambda: None,
            "mark": self._mark,
            "balance": self._tell_balance,
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
        }

    # The market

    def _instrument(self) -> InstrumentId:
        return pick(self._rng, self.scenario.ids)

    def next_mid(self, instrument: InstrumentId, most: int) -> int:
        mid = self.venue.quotes[instrument].mid + self._market_rng.below(2 * most + 1) - most
        return min(max(mid, 2_000), 40_000)

    def show(self, instrument: InstrumentId, mid: int, half: int | None = None) -> None:
        rng = self._market_rng
        self.venue.show(
            instrument, mid, 1 + rng.below(WIDEST) if half is None else half, [1 + rng.below(40) for _ in range(6)]
        )
        if self.loop.now_ns() >= self._muted_until_ns[instrument]:
            self.link.publish(instrument)

    def _move(self) -> None:
        instrument = self._instrument()
        self.show(instrument, self.next_mid(instrument, self.scenario.restless))

    def _jump(self) -> None:
        instrument = self._instrument()
        self.show(instrument, self.next_mid(instrument, pick(self._rng, (30, 100, 600))))

    def trade(self) -> None:
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

    def _tell_balance(self) -> None:
        """The venue says what the account is worth: much, or hardly enough."""
        worth = pick(self._rng, (30, 100, 300, 100_000)) * ATTO
        now_ns = self.loop.now_ns()
        self._connector(
            lambda each: each.tell_balance(BalanceUpdate(self.venue.venue, now_ns, 0, "USDT", to_pair(worth)))
        )

    def _venue_time(self, off_ms: int = 0) -> None:
        """The venue tells its time."""
        self._connector(lambda each: each.tell_time(self.loop.now_ns() + off_ms * 1_000_000))

    def _empty_side(self) -> None:
        instrument = self._instrument()
        quotes = self.venue.quotes[instrument]
        quotes.empty = pick(self._rng, (Side.BUY, Side.SELL))
        self.show(instrument, quotes.mid)
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
            self._stage.fault("funding told twice")
            self.link.report(paid)

    def _kill_order(self) -> None:
        orders = [*self.venue.orders.values(), *self.venue.foreign.values()]
        if orders:
            refused = chance(self._rng, 40)
            self.venue.kill_order(pick(self._rng, orders), expired=chance(self._rng, 50), refused=refused)

    def _foreign_order(self) -> None:
        if not self.checks.known_for_long:
            return
        instrument = self._instrument()
        side = pick(self._rng, (Side.BUY, Side.SELL))
        ticks = self.venue.quotes[instrument].mid - side * (5 + self._rng.below(20))
        self.venue.place_foreign(instrument, side, ticks, 1 + self._rng.below(10))

    def _foreign_fill(self) -> None:
        """What a liquidation takes is held; somebody's own trade may be anything."""
        if not self.checks.known_for_long:
            return
        instrument = self._instrument()
        held = self.venue.accounts[instrument].lots
        if held and chance(self._rng, 60):
            self.venue.fill_foreign(instrument, Side.SELL if held > 0 else Side.BUY, 1 + self._rng.below(abs(held)))
        else:
            self.venue.fill_foreign(instrument, pick(self._rng, (Side.BUY, Side.SELL)), 1 + self._rng.below(4))

    def _shift(self) -> None:
        if not self.checks.known_for_long:
            return
        instrument, lots = self._instrument(), pick(self._rng, (-2, -1, 1, 2))
        self._shift_by(instrument, lots)
        self.loop.call_later(1.0 + self._rng.uniform() * 8, self._shift_by, instrument, -lots)

    def _shift_by(self, instrument: InstrumentId, lots: int) -> None:
        self.shifts += 1
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
        self.loop.call_later(1.0 + self._rng.uniform() * 2, self._stage.ask_to_stop)

    def _resume_market(self, instrument: InstrumentId) -> None:
        self.venue.quotes[instrument].tradable = True

    def _change_grid(self) -> None:
        self._update(self._instrument(), tick=self.scenario.instruments[0].tick * 2)
        self.loop.call_later(1.0 + self._rng.uniform() * 2, self._stage.ask_to_stop)

    def _update(self, instrument: InstrumentId, **changes: object) -> None:
        definition = msgspec.structs.replace(self.venue.instruments[instrument], **changes)
        self.link.market(InstrumentUpdated(instrument, self.loop.now_ns(), self.loop.now_ns(), definition))
