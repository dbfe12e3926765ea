"""What a person reads while the daemon trades: a real core, told by builders, and its lines."""

import io
from typing import ClassVar

import msgspec
import pytest

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import Turn
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    Event,
    OrderAccepted,
    OrderFilled,
    OrderRejected,
    ShutdownRequested,
    VenueDisconnected,
)
from mm_daemon.domain.money import to_pair
from mm_daemon.domain.orders import ClientOrderId, Operation, RejectKind, Side
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.parameters import QuoteParameters, WarmStart
from mm_daemon.engine.pricing_model import Curve, ModelInputs, ModelSettings
from mm_daemon.observability.logs import open_log
from mm_daemon.observability.narrator import Narrator
from mm_daemon.testkit import builders as b

BTC = b.SYMBOL


class Watched:
    """A core, a narrator beside it, and what has been written since one last looked."""

    def __init__(self, *, level: str = "info", quoting: QuoteParameters | None = None) -> None:
        self.core = TradingCore(b.core_parameters(b.market(quoting=quoting)))
        self.now_ns = 0
        self._stream = io.StringIO()
        log = open_log(self._stream, people=True, now_ns=lambda: self.now_ns, level=level)
        self.narrator = Narrator(self.core.markets, log)

    def tell(self, *events: Event) -> Turn:
        for event in events:
            self.now_ns = max(self.now_ns, event.ts_local_ns)
            self.core.apply(event)
        turn = self.core.decide(self.now_ns)
        self.narrator.observe(turn, events)
        return turn

    def quoting(self) -> "Watched":
        """Connected, with a book, both quotes accepted, and the opening lines read."""
        self.tell(b.connected(1), b.account(1), b.snapshot(2, 600_000, 600_010))
        self.tell(*(OrderAccepted(BTC, 0, 3 * b.MS, ClientOrderId(n), f"v{n}") for n in (1, 2)))
        self.lines()
        return self

    def lines(self) -> list[str]:
        """The texts since the last call, without time and column."""
        written = self._stream.getvalue().splitlines()
        self._stream.seek(0)
        self._stream.truncate()
        return [line[24:] for line in written]


def filled(at_ms: int, client_id: int, lots: int, side: Side = Side.SELL) -> OrderFilled:
    ticks = 600_130 if side is Side.SELL else 599_880
    return OrderFilled(
        BTC, 0, at_ms * b.MS, ClientOrderId(client_id), f"v{client_id}", f"t{at_ms}", side, ticks, lots, True,
        to_pair(12 * 10**15),
    )  # fmt: skip


def test_first_quotes_are_told_with_their_prices() -> None:
    """A market that begins to quote gets one line with both prices and reasons."""
    watched = Watched()
    watched.tell(b.connected(1), b.account(1), b.snapshot(2, 600_000, 600_010))
    assert watched.lines() == ["connected", "bid quote 59988.0 (new_quote) | ask quote 60013.0 (new_quote)"]


def test_requotes_and_their_short_holds_are_not_news() -> None:
    """While both sides keep quoting the terminal stays quiet; debug shows each change."""
    quiet, chatty = Watched().quoting(), Watched(level="debug").quoting()
    for watched in (quiet, chatty):
        for step in range(1, 6):
            at_ms = 1000 * step
            watched.tell(b.snapshot(at_ms, 600_000 + 400 * step, 600_010 + 400 * step, update_id=step + 1))
    assert quiet.lines() == []
    assert len(chatty.lines()) >= 2


def test_fill_and_its_lockout_are_told() -> None:
    """A fill is a line of its own, and the lockout it starts is shown with the time that is left."""
    watched = Watched().quoting()
    watched.tell(filled(700, 2, 4))
    fill, state = watched.lines()
    assert fill == "sold 0.004 at 60013.0 (maker, fee +0.0120), position -0.004"
    assert "ask hold 60013.0 (fill_lockout 1000 ms)" in state


def test_withdrawal_is_told_without_a_price() -> None:
    """A lost venue pulls both sides and says why."""
    watched = Watched().quoting()
    watched.tell(VenueDisconnected(b.VENUE, 0, 700 * b.MS, "no route"))
    disconnected, state = watched.lines()
    assert disconnected == "WARNING: disconnected: no route"
    assert state.startswith("bid withdraw (venue_down")
    assert "| ask withdraw (venue_down" in state


def test_rejects_and_unknown_outcomes_are_warnings() -> None:
    """What a venue refuses or leaves open is never silent."""
    watched = Watched()
    watched.tell(b.connected(1), b.account(1), b.snapshot(2, 600_000, 600_010))
    watched.lines()
    watched.tell(
        OrderRejected(BTC, 0, 3 * b.MS, ClientOrderId(1), RejectKind.INSUFFICIENT_MARGIN, "no money"),
        CommandOutcomeUnknown(BTC, 0, 3 * b.MS, ClientOrderId(2), Operation.PLACE, "TimeoutError"),
    )
    lines = watched.lines()
    assert "WARNING: venue rejected place 1 (insufficient_margin: no money)" in lines
    assert "WARNING: outcome of place 2 is unknown: TimeoutError" in lines


def test_flapping_market_does_not_flood_the_terminal() -> None:
    """Changes that come faster than a person reads are counted, and told once there is time."""
    watched = Watched().quoting()
    for step in range(40):
        cause = VenueDisconnected(b.VENUE, 0, (700 + 10 * step) * b.MS) if step % 2 else b.connected(700 + 10 * step)
        watched.tell(cause)
    told = [line for line in watched.lines() if line.startswith("bid ")]
    assert len(told) <= 5
    watched.tell(b.connected(30_000), b.snapshot(30_000, 600_000, 600_010, update_id=9))
    assert any("quicker changes)" in line for line in watched.lines())


def test_summary_adds_up_and_knows_the_uptime() -> None:
    """Position, fills and the parts of the P&L; time with two quotes as a share of the whole."""
    watched = Watched().quoting()
    watched.tell(filled(700, 2, 4))
    watched.tell(ShutdownRequested(2 * 10**9, "test"))
    watched.lines()
    watched.narrator.summary(watched.now_ns)
    (line,) = watched.lines()
    assert "position -0.004 BTC" in line
    assert "| 1 fill |" in line
    assert "P&L +0.0380 USDT (spread +0.0500, inventory +0.0000, fees -0.0120, funding +0.0000)" in line


def test_uptime_counts_time_with_both_sides_out() -> None:
    """From the venue's acceptance of both quotes on: all but the first millisecond of this second."""
    watched = Watched().quoting()
    watched.narrator.summary(1_000_000_000)
    assert "quoting both sides 99.9%" in watched.lines()[0]


@pytest.mark.parametrize(("gamma", "warns"), [(0.05, False), (5.0, True)])
def test_opening_warns_of_a_skew_nobody_means(gamma: float, warns: bool) -> None:
    """Half-spread and skew are told in bps at the start; a shift of more than 50 bps at the limit is a warning."""
    watched = Watched(
        quoting=QuoteParameters(gamma=gamma, volatility=5.0, max_skew_bps=10_000.0, max_spread_bps=10_000.0)
    )
    watched.narrator.opening(0)
    (line,) = watched.lines()
    assert "half-spread" in line
    assert line.startswith("WARNING") is warns


def test_opening_asks_an_engine_of_its_own() -> None:
    """Model and signals answer by what they were asked before, and a replay has no opening line."""
    watched = Watched(quoting=QuoteParameters(model="glft_exact"))
    asked = TradingCore(watched.core.parameters, models={"glft_exact": Recorded})
    Narrator(asked.markets, open_log(io.StringIO(), people=True, now_ns=lambda: 0)).opening(0)
    assert [len(each.asked) for each in Recorded.made] == [0, 1]


class Recorded:
    """A model that remembers what each of its instances was asked."""

    made: ClassVar[list["Recorded"]] = []

    def __init__(self, settings: ModelSettings) -> None:
        self.asked: list[ModelInputs] = []
        self._model = MODELS["glft"](settings)
        self.made.append(self)

    def curve(self, inputs: ModelInputs) -> Curve:
        self.asked.append(inputs)
        return self._model.curve(inputs)


def test_opening_says_how_old_a_calibration_is() -> None:
    """And what it found."""
    warm = WarmStart(file="cal.yaml", at_ns=0, volatility=0.4, intensity=2.0, k=0.7, confidence=0.8)
    watched = Watched()
    (market,) = watched.narrator._markets.values()
    market.parameters = msgspec.structs.replace(market.parameters, warm=warm)
    watched.narrator.opening(9000 * b.MS * 1000)
    line, _ = watched.lines()
    assert "begins with it: cal.yaml, measured 2.5 h ago: volatility 0.4 a year, A 2 a second, k 0.7" in line
