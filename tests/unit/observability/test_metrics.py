"""The metrics: their names by the linter's rules, their number, and what they say of a core that was told things."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import RefusalCode, Turn
from mm_daemon.domain.events import (
    BookInvalidated,
    Event,
    InvalidCause,
    OrderAccepted,
    OrderFilled,
    OrderRejected,
    RateLimited,
)
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.money import to_pair
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side
from mm_daemon.observability.live_statistics import LiveStatistics
from mm_daemon.observability.metric_names import DEFINITIONS
from mm_daemon.observability.metrics import Metrics
from mm_daemon.runtime.core_loop import TurnTimes
from mm_daemon.runtime.inbox import Inbox
from mm_daemon.testkit import builders as b

BTC = b.SYMBOL
COUNTED = {"venue": "test", "symbol": "BTC-USDT"}


class Counted:
    """A core with its metrics beside it."""

    def __init__(self, folder: Path) -> None:
        self.core = TradingCore(b.core_parameters())
        self.now_ns = 0
        self.times = TurnTimes()
        self.statistics = LiveStatistics(self.core.markets, 0)
        self.metrics = Metrics(
            self.core,
            self.statistics.markets,
            now_ns=lambda: self.now_ns,
            build=("1.2.3", "abc"),
            queues=Inbox(),
            folder=folder,
            bad_messages=lambda: {Venue("test"): {"malformed": 2}},
        )

    def tell(self, *events: Event) -> Turn:
        for event in events:
            self.now_ns = max(self.now_ns, event.ts_local_ns)
            self.core.apply(event)
        turn = self.core.decide(self.now_ns)
        self.times.decided_ns = self.now_ns + 30_000
        urgent = [event for event in events if not isinstance(event, BookInvalidated)]
        self.statistics.observe(turn, urgent)
        self.metrics.observe(turn, urgent, self.times)
        return turn

    def quoting(self) -> "Counted":
        self.tell(b.connected(1), b.account(1), b.snapshot(2, 600_000, 600_010))
        self.tell(*(OrderAccepted(BTC, 0, 5 * b.MS, ClientOrderId(n), f"v{n}") for n in (1, 2)))
        return self

    def text(self) -> str:
        return self.metrics.take().text()[0].decode()

    def value(self, name: str, **labels: str) -> float:
        (found,) = [sample.value for sample in samples(self.text()) if matches(sample, name, labels)]
        return found


def samples(text: str) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def matches(sample: Sample, name: str, labels: Mapping[str, str]) -> bool:
    return sample.name == name and labels.items() <= sample.labels.items()


def filled(at_ms: int, key: str = "t1", *, maker: bool = True) -> OrderFilled:
    return OrderFilled(
        BTC, 0, at_ms * b.MS, ClientOrderId(1), "v1", key, Side.BUY, 599_880, 4, maker, to_pair(12 * 10**15)
    )


def busy(folder: Path) -> Counted:
    """One of everything that can be counted."""
    counted = Counted(folder).quoting()
    counted.tell(filled(50), filled(50), RateLimited(Venue("test"), 0, 50 * b.MS, retry_after_ms=10))
    counted.tell(OrderRejected(BTC, 0, 60 * b.MS, ClientOrderId(2), RejectKind.POST_ONLY_CROSS))
    counted.tell(b.snapshot(1040, 599_990, 600_000, update_id=2))
    counted.tell(b.snapshot(1060, 600_000, 600_010, update_id=3))
    counted.tell(BookInvalidated(BTC, 0, 1070 * b.MS, InvalidCause.GAP))
    counted.metrics.restarts["venue test"] += 1
    counted.metrics.dead_man_ns = {Venue("test"): 2_000 * b.MS}
    counted.metrics.loop_lag.observe(0.001)
    return counted


def test_names_units_labels_and_help_pass_the_rules_of_the_linter(tmp_path: Path) -> None:
    """What Prometheus's own linter asks, checked here without it: the table of definitions and the text exposed."""
    forbidden = {"client_id", "order", "order_id", "trade_id", "price", "error", "text", "address", "le", "quantile"}
    not_base = r"_(ms|us|ns|millis|milliseconds|minutes|kb|mb|percent|bps|count|sum|bucket|gauge|counter)(_|$)"
    for name, kind, labels, about in DEFINITIONS:
        assert re.fullmatch(r"mm_[a-z][a-z0-9_]*", name), name
        assert (kind == "counter") is name.endswith("_total"), name
        assert not re.search(not_base, name), name
        assert kind != "histogram" or name.endswith("_seconds"), name
        assert about.endswith(".") and not about[0].islower(), name
        assert not forbidden & set(labels) and all(re.fullmatch(r"[a-z][a-z_]*", label) for label in labels), name
    assert len({definition.name for definition in DEFINITIONS}) == len(DEFINITIONS)
    text = busy(tmp_path).text()
    texts = Counted(tmp_path).quoting().text() + text
    ours = [sample for sample in samples(text) if sample.name.startswith("mm_")]
    by_name = {definition.name: definition for definition in DEFINITIONS}
    for sample in ours:
        base = re.sub(r"_(bucket|sum|count)$", "", sample.name)
        definition = by_name.get(sample.name) or by_name[base]
        assert set(sample.labels) - {"le"} == set(definition.labels), sample.name
    assert "_created" not in text
    described = set(re.findall(r"# HELP (mm_\w+) \S", texts))
    assert described == {definition.name for definition in DEFINITIONS} - NOT_IN_THE_SAMPLE


NOT_IN_THE_SAMPLE = {"mm_drawdown_quote", "mm_rate_limit_headroom_ratio", "mm_refusals_total"}
"""What this core has no cause for: no account limit, no rate limit at the venue, no refusal."""


def test_dead_mans_deadline_is_shown_while_it_is_armed(tmp_path: Path) -> None:
    """In seconds of the wall's clock; a venue without a switch has no series."""
    counted = Counted(tmp_path)
    assert "mm_dead_man_deadline_timestamp_seconds" not in counted.text()
    counted.metrics.dead_man_ns = {Venue("test"): 1_700_000_010_500_000_000}
    assert counted.value("mm_dead_man_deadline_timestamp_seconds", venue="test") == 1_700_000_010.5


def test_promtool_has_nothing_to_say(tmp_path: Path) -> None:
    """The Prometheus linter itself, where it is on the path."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on the path (Debian: apt-get install prometheus); our own lint has run")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=busy(tmp_path).text(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_symbol_has_far_fewer_than_500_series(tmp_path: Path) -> None:
    """The budget of OPERATIONS 2, with room for every reason there is."""
    series = [sample for sample in samples(busy(tmp_path).text()) if sample.labels.get("symbol") == "BTC-USDT"]
    assert 100 < len(series) < 250
    assert len({(sample.name, tuple(sorted(sample.labels.items()))) for sample in series}) == len(series)


def test_a_fill_told_twice_is_one_fill_and_one_duplicate(tmp_path: Path) -> None:
    """Fills, size and money count what was booked."""
    counted = busy(tmp_path)
    assert counted.value("mm_fills_total", side="bid", liquidity="maker", **COUNTED) == 1
    assert counted.value("mm_duplicate_fills_total", **COUNTED) == 1
    assert counted.value("mm_fill_base_quantity_total", side="bid", **COUNTED) == 0.004
    assert counted.value("mm_volume_quote_total", side="bid", **COUNTED) == pytest.approx(0.004 * 59988.0)
    assert counted.value("mm_position_base", **COUNTED) == 0.004
    parts = [counted.value("mm_pnl_quote", part=part, **COUNTED) for part in ("spread", "inventory", "fees", "funding")]
    assert sum(parts) == pytest.approx(float(counted.core.markets[BTC].position.total_atto) / 1e18)


def test_markouts_are_money_by_horizon_and_side(tmp_path: Path) -> None:
    """Bought 4 lots at 59988.0 with the mid at 60000.5, a second later it is 59999.5: 1.0 went against us."""
    counted = busy(tmp_path)
    second = {"horizon": "1s", "side": "bid", **COUNTED}
    assert counted.value("mm_markout_samples_total", **second) == 1
    assert counted.value("mm_markout_gain_quote_total", **second) == pytest.approx(0.004 * 11.5)
    assert counted.value("mm_markout_loss_quote_total", **second) == 0
    assert counted.value("mm_adverse_selection_ratio", **second) == pytest.approx(1.0 / 59988.0)
    assert counted.value("mm_markout_samples_total", horizon="60s", side="ask", **COUNTED) == 0
    held_s = 1.07 - 0.05
    assert counted.value("mm_position_mean_abs_base", **COUNTED) == pytest.approx(0.004 * held_s / 1.07)


def test_lockouts_have_a_state_and_a_time(tmp_path: Path) -> None:
    """A reason that locks a side shows as 1 while it does, and its seconds stop when it ends."""
    counted = Counted(tmp_path)
    counted.tell(b.snapshot(1, 600_000, 600_010))
    assert counted.value("mm_lockout", reason="starting", **COUNTED) == 1
    assert counted.value("mm_ready") == 0
    counted.tell(b.connected(501), b.account(501))
    counted.now_ns = 2_000 * b.MS
    assert counted.value("mm_lockout", reason="starting", **COUNTED) == 0
    assert counted.value("mm_lockout_seconds_total", reason="starting", **COUNTED) == pytest.approx(0.5)


def test_answers_are_timed_from_release(tmp_path: Path) -> None:
    """Two orders released at 2 ms and accepted at 5 ms are two answers of 3 ms."""
    counted = Counted(tmp_path).quoting()
    assert counted.value("mm_orders_submitted_total", side="bid", **COUNTED) == 1
    assert counted.value("mm_order_ack_seconds_count", op="new", **COUNTED) == 2
    assert counted.value("mm_order_ack_seconds_sum", op="new", **COUNTED) == pytest.approx(0.006)
    assert counted.value("mm_tick_to_decision_seconds_bucket", le="5e-05", **COUNTED) >= 1


def test_quotes_and_uptime_follow_the_working_orders(tmp_path: Path) -> None:
    """Prices of the working quotes, and the time since the venue accepted them at 5 ms, read at any instant."""
    counted = Counted(tmp_path).quoting()
    order = counted.core.markets[BTC].working(Side.BUY)
    assert order is not None
    assert counted.value("mm_quote_price", side="bid", **COUNTED) == pytest.approx(order.ticks * 0.1)
    counted.now_ns = 1_002 * b.MS
    assert counted.value("mm_quote_uptime_seconds_total", side="bid", **COUNTED) == pytest.approx(0.997)
    assert counted.value("mm_quoting", **COUNTED) == 1
    assert counted.value("mm_orders_live", side="bid", state="live", **COUNTED) == 1


def test_every_changed_decision_is_counted_by_side_action_and_reason(tmp_path: Path) -> None:
    """The counters add up to the decisions in the turns."""
    counted = Counted(tmp_path)
    turns = [counted.tell(b.connected(1), b.account(1), b.snapshot(2, 600_000, 600_010))]
    turns.append(counted.tell(filled(50)))
    expected: Counter[tuple[str, str, str]] = Counter()
    for turn in turns:
        for changed in turn.decisions:
            expected.update((d.side.word, d.action.lower(), d.reasons[0].value) for d in changed.decisions)
    told = {
        (sample.labels["side"], sample.labels["action"], sample.labels["reason"]): int(sample.value)
        for sample in samples(counted.text())
        if sample.name == "mm_decisions_total"
    }
    assert told == expected
    assert RefusalCode.WORST_POSITION not in counted.text()
