"""What a person sees: the status of a core that was told things, and the screen it makes at any size."""

from typing import Any

import msgspec
import pytest
from rich.console import Console

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import PlaceOrder, Reason
from mm_daemon.domain.events import Event, OperatorAction, OperatorRequest, OrderAccepted, OrderFilled
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.money import to_pair
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.observability.live_statistics import LiveStatistics
from mm_daemon.observability.recent import Line
from mm_daemon.observability.status import Status, Surroundings
from mm_daemon.observability.status_of import status_of
from mm_daemon.observability.summary import Tally
from mm_daemon.observability.watch import screen, whole
from mm_daemon.observability.words import WORDS
from mm_daemon.testkit import builders as b

BTC = b.SYMBOL


def around(**told: Any) -> Surroundings:
    return Surroundings(
        version="1.2.3", mode="paper", pid=7, config="c.yaml", journal="j", started_ns=0, http="127.0.0.1:9464", **told
    )


def quoting_core(symbols: int = 1) -> TradingCore:
    """Connected, reconciled, with books, every quote accepted."""
    names = ["BTC-USDT", *(f"S{n:02d}-USDT" for n in range(1, symbols))]
    core = TradingCore(b.core_parameters(*(b.market(b.instrument(name)) for name in names)))
    events: list[Event] = [b.connected(1), b.account(1)]
    events += [b.snapshot(2, 600_000, 600_010, symbol=instrument) for instrument in core.markets]
    for event in events:
        core.apply(event)
    for approved in core.decide(2 * b.MS).released:
        command = approved.command
        assert isinstance(command, PlaceOrder)
        core.apply(OrderAccepted(command.instrument, 0, 3 * b.MS, command.client_id, f"v{command.client_id}"))
    core.decide(3 * b.MS)
    return core


def status(core: TradingCore, now_ms: int = 4, **told: Any) -> Status:
    tallies = {instrument: Tally() for instrument in core.markets}
    return status_of(core, tallies, LiveStatistics(core.markets, 0).markets, around(**told), now_ms * b.MS)


def lines(now: Status, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(screen(now, width, height, "hint"))
    return captured.get().splitlines()


def test_status_says_where_our_quotes_stand() -> None:
    """Distances are positive away from the market; the queue is in base units; reasons have words."""
    core = quoting_core()
    bid = core.markets[BTC].working(Side.BUY)
    assert bid is not None
    market = status(core, fronts={Venue("test"): {bid.client_id: 1500.0}}).markets[0]
    assert market.bid.price == f"{bid.ticks / 10:.1f}"
    assert market.bid.touch_ticks == 600_000 - bid.ticks > 0
    assert market.bid.mid_bps == pytest.approx((600_005 - bid.ticks) / 600_005 * 1e4)
    assert market.ask.mid_bps is not None and market.ask.mid_bps > 0
    assert (market.bid.queue, market.ask.queue) == ("1.500", None)
    assert (market.bid.action, market.bid.words) == ("HOLD", "keep: pause after move, 0.5 s")
    assert [(lockout.reason, lockout.left_ms) for lockout in market.bid.lockouts] == [(Reason.ORDER_LOCKOUT, 498)]


def test_status_is_exact_and_survives_json() -> None:
    """Money is decimal text whose parts add up, and the struct comes back from its own JSON."""
    core = quoting_core()
    core.apply(OrderFilled(BTC, 0, 9 * b.MS, ClientOrderId(1), "v1", "t", Side.BUY, 599_880, 3, True, to_pair(7)))
    core.decide(9 * b.MS)
    now = status(core, 10)
    pnl = now.markets[0].pnl
    assert pnl.fees == "-0.000000000000000007"
    assert now.markets[0].position == "0.003"
    assert now.markets[0].fills == 1
    assert now.pnl == {"USDT": pnl.total}
    assert msgspec.json.decode(msgspec.json.encode(now), type=Status) == now


def test_a_wide_screen_says_what_fills_were_worth() -> None:
    """A fill 2 bps under the mid that gains another within a second; what is not known yet is a dash."""
    core = quoting_core()
    statistics = LiveStatistics(core.markets, 0)
    fill = OrderFilled(BTC, 0, 9 * b.MS, ClientOrderId(1), "v1", "t", Side.BUY, 599_885, 3, True, to_pair(0))
    core.apply(fill)
    statistics.observe(core.decide(9 * b.MS), [fill])
    core.apply(b.snapshot(900, 600_060, 600_070, update_id=2))
    for at_ms in (900, 1010):
        statistics.observe(core.decide(at_ms * b.MS), [])
    tallies = {instrument: Tally() for instrument in core.markets}
    now = status_of(core, tallies, statistics.markets, around(), 1018 * b.MS)
    (line,) = [line for line in lines(now, 160, 50) if "markout" in line]
    assert "1 s +3.00/-  10 s -/-  60 s -/-   captured +2.00 bps   3536 fills an hour   mean |position| 0.00297" in line
    assert not any("markout" in line for line in lines(now, 80, 24))
    assert msgspec.json.decode(msgspec.json.encode(now), type=Status) == now


def test_state_names_what_a_person_would_say() -> None:
    """Starting, quoting, paused, killed, stopping."""
    assert status(TradingCore(b.core_parameters())).state == "starting"
    core = quoting_core()
    assert (status(core).state, status(core).ready) == ("quoting", True)
    assert status(core, stopping=True).state == "stopping"
    assert status(core, now_ms=60_000).unready == (Reason.BOOK_STALE,)
    core.apply(OperatorRequest(5 * b.MS, OperatorAction.KILL, "uid 1"))
    core.decide(5 * b.MS)
    assert (status(core).state, status(core).kill) == ("killed", "operator uid 1")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50), (40, 10), (200, 8)])
@pytest.mark.parametrize("symbols", [1, 2, 10, 60])
def test_screen_fills_its_window_and_never_wraps(width: int, height: int, symbols: int) -> None:
    """Whatever the window and the number of markets: as many lines as it has, none wider than it is."""
    recent = tuple(Line("2024-01-01T00:00:00.000Z", "warning", "BTC-USDT", "x" * 300) for _ in range(60))
    shown = lines(status(quoting_core(symbols), recent=recent), width, height)
    assert len(shown) == height
    assert max(map(len, shown)) <= width
    assert "QUOTING" in shown[0]
    assert shown[-1].startswith("hint")


def test_markets_that_do_not_fit_become_lines_and_are_counted() -> None:
    """Ten markets on 24 lines are a table; sixty are cut, and the screen says by how many."""
    ten = lines(status(quoting_core(10)), 80, 24)
    assert sum("-USDT " in line for line in ten) == 10
    sixty = lines(status(quoting_core(60)), 80, 24)
    assert any("more markets" in line for line in sixty)


def test_figures_stay_in_their_columns_when_a_quote_goes() -> None:
    """A paused market keeps the layout: only its own figures are gone."""
    core = quoting_core(2)
    before = lines(status(core), 80, 24)
    core.apply(OperatorRequest(5 * b.MS, OperatorAction.PAUSE, "uid 1", BTC))
    core.decide(5 * b.MS)
    after = lines(status(core, 6), 80, 24)
    header = [line for line in before if "price" in line]
    assert header == [line for line in after if "price" in line]
    assert [line.index("why") for line in header] == [header[0].index("why")] * 2


def test_status_for_people_is_the_whole_of_it() -> None:
    """`status` has every market as a block, at any width."""
    console = Console(width=80, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(whole(status(quoting_core(10)), 80))
    assert captured.get().count("position ") == 10


def test_every_reason_has_words_that_fit() -> None:
    """No reason is without words, and none needs more room than the screen has."""
    assert set(WORDS) == set(Reason)
    assert max(map(len, WORDS.values())) <= 30
