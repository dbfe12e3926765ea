"""The metrics: their names by the linter's rules, their number, and what they say of a core that was told things."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import Bucket, BucketKind, Capabilities, CommandClass
from mm_daemon.domain.decisions import RefusalCode, Turn
from mm_daemon.domain.events import (
    BalanceUpdate,
    BookInvalidated,
    Event,
    InvalidCause,
    OpenOrder,
    OrderAccepted,
    OrderFilled,
    OrderRejected,
    RateLimited,
    VenueSnapshot,
    VenueSnapshotReceived,
    VenueTime,
)
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.money import ATTO, to_pair
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side
from mm_daemon.observability.live_statistics import LiveStatistics
from mm_daemon.observability.metric_names import DEFINITIONS
from mm_daemon.observability.metrics import Metrics
from mm_daemon.ports.connector import Link
from mm_daemon.risk.limits import AccountLimits
from mm_daemon.runtime.core_loop import TurnTimes
from mm_daemon.runtime.inbox import Inbox
from mm_daemon.testkit import builders as b
from tests.shared import ROOT, shared_file

BTC = b.SYMBOL
COUNTED = {"venue": "test", "symbol": "BTC-USDT"}


class Counted:
    """A core with its metrics beside it."""

    def __init__(self, folder: Path, parameters: CoreParameters | None = None) -> None:
        self.core = TradingCore(parameters or b.core_parameters())
        self.now_ns = self.wall_ns = 0
        self.link = Link(True, 7, {"refused": 0, "closed": 2})
        self.times = TurnTimes()
        self.statistics = LiveStatistics(self.core.markets, 0)
        self.metrics = Metrics(
            self.core,
            self.statistics.markets,
            now_ns=lambda: self.now_ns,
            wall_ns=lambda: self.wall_ns,
            build=("1.2.3", "abc"),
            queues=Inbox(),
            folder=folder,
            bad_messages=lambda: {Venue("test"): {"malformed": 2}},
            links=lambda: {Venue("test"): {"market": self.link}},
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
        return self.metrics.text_at_once().decode()

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
    counted.metrics.venues.dead_man_ns = {Venue("test"): 2_000 * b.MS}
    counted.metrics.venues.dead_man_refresh_s = {Venue("test"): 0.5}
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


ROWS_OF_THE_PAGE = re.compile(r"^\| `(mm_\w+)` \| (\w+) \| ([\w, ]*) \| (.+) \|$", re.MULTILINE)


def test_the_page_for_operators_names_every_metric() -> None:
    """`deploy/docs/metrics.md` has a row for each, with its kind, labels and meaning, and no other row."""
    page = (ROOT / "deploy/docs/metrics.md").read_text("utf-8")
    told = ROWS_OF_THE_PAGE.findall(page)
    assert told == [(name, kind, ", ".join(labels), about) for name, kind, labels, about in DEFINITIONS]


def test_the_catalogue_of_the_design_is_complete() -> None:
    """Every metric of OPERATIONS 2 is there, of its kind, with its labels; where ours differ, it says why."""
    by_name = {definition.name: definition for definition in DEFINITIONS}
    listed = catalogue(shared_file("design/OPERATIONS.md").read_text("utf-8"))
    assert len(listed) > 50
    for name, kind, labels in listed:
        assert by_name[name].kind == kind, name
        assert set(by_name[name].labels) == (OTHER_LABELS[name][0] if name in OTHER_LABELS else labels), name
    assert set(OTHER_LABELS) <= {name for name, _, _ in listed}


OTHER_LABELS: Mapping[str, tuple[set[str], str]] = {
    "mm_drawdown_quote": (set(), "the limit is on the P&L of all markets"),
    "mm_rate_limit_headroom_ratio": ({"venue", "bucket"}, "a venue's limit, not a market's"),
    "mm_throttled_total": ({"venue", "bucket"}, "a venue's limit, not a market's"),
    "mm_reconcile_seconds": ({"venue", "kind"}, "an account is compared, not a market"),
    "mm_reconcile_mismatches_total": ({"venue", "kind"}, "an account is compared, not a market"),
    "mm_reconcile_last_success_timestamp_seconds": ({"venue", "kind"}, "an account is compared, not a market"),
    "mm_ws_connected": ({"venue", "stream"}, "a connection carries many markets"),
    "mm_ws_reconnects_total": ({"venue", "stream", "reason"}, "a connection carries many markets"),
    "mm_ws_messages_total": ({"venue", "stream"}, "a connection carries many markets"),
    "mm_ws_bad_messages_total": ({"venue", "stream", "reason"}, "a message that cannot be read names no market"),
    "mm_spread_quoted_ratio": ({"venue", "symbol"}, "it takes both sides"),
}


def catalogue(page: str) -> list[tuple[str, str, set[str]]]:
    """(name, kind, all labels) of the table of metrics."""
    table = page.split("## 2. Metrics")[1].split("## 3.", maxsplit=1)[0]
    listed = []
    for names, kinds, labels in re.findall(r"^\| (mm_[^|]*) \| ([^|]*) \|([^|]*)\|$", table, re.MULTILINE):
        each, kind = re.findall(r"mm_\w+", names), re.findall(r"gauge|counter|histogram", kinds)
        plain = re.sub(r"\(.*?\)", "", labels)
        own = set(re.findall(r"[a-z_]+", plain.replace("side where it applies", "side")))
        if "(no common labels)" not in labels and "(none)" not in labels:
            own |= {"venue"} if "(venue only)" in labels else {"venue", "symbol"}
        for position, name in enumerate(each):
            listed.append((name, kind[min(position, len(kind) - 1)], own))
    return listed


NOT_IN_THE_SAMPLE = {
    "mm_action_headroom_ratio",
    "mm_clock_skew_seconds",
    "mm_commands_dropped_total",
    "mm_drawdown_limit_quote",
    "mm_drawdown_quote",
    "mm_margin_headroom_ratio",
    "mm_order_to_trade_ratio",
    "mm_rate_limit_headroom_ratio",
    "mm_refusals_total",
    "mm_worst_case_notional_quote",
}
"""What this core has no cause for: no limit of ours or of the venue, no refusal; its venue tells no time."""


def test_limits_have_their_figures(tmp_path: Path) -> None:
    """Where something is limited, how near it is can be read: the rate, the actions, messages per fill, value, margin;
    and how far the venue's clock is from ours."""
    market = b.market()
    limits = msgspec.structs.replace(
        market.limits, actions_per_minute=10, max_order_to_trade=50.0, initial_margin=0.1, max_position_lots=1000
    )
    orders = Bucket(
        name="orders", kind=BucketKind.WINDOW, capacity=3, period_ms=1000, costs={CommandClass.PLACE: 1}, reserve=0
    )
    parameters = b.core_parameters(
        msgspec.structs.replace(market, limits=limits),
        capabilities=Capabilities(amend=True, buckets=(orders,)),
        account=AccountLimits(max_notional_atto=10_000 * ATTO, min_margin_headroom=0.1),
    )
    counted = Counted(tmp_path, parameters).quoting()
    counted.tell(BalanceUpdate(Venue("test"), 0, 6 * b.MS, "USDT", to_pair(1000 * ATTO)))
    counted.tell(VenueTime(Venue("test"), 1, 7 * b.MS))
    counted.tell(filled(50))
    assert counted.value("mm_rate_limit_headroom_ratio", bucket="orders") == 0.0
    assert counted.value("mm_action_headroom_ratio", **COUNTED) == 0.8
    assert counted.value("mm_order_to_trade_ratio", **COUNTED) == 2.0
    assert counted.value("mm_worst_case_notional_quote", underlying="BTC") == pytest.approx(600.0, rel=1e-3)
    assert counted.value("mm_margin_headroom_ratio", venue="test", asset="USDT") == pytest.approx(0.94, rel=1e-3)
    assert counted.value("mm_clock_skew_seconds", venue="test") == pytest.approx(0.007, abs=1e-6)


def test_dead_mans_deadline_is_shown_while_it_is_armed(tmp_path: Path) -> None:
    """In seconds of the wall's clock; a venue without a switch has no series."""
    counted = Counted(tmp_path)
    assert "mm_dead_man_deadline_timestamp_seconds" not in counted.text()
    counted.metrics.venues.dead_man_ns = {Venue("test"): 10_500 * b.MS}
    counted.metrics.venues.dead_man_refresh_s = {Venue("test"): 3.5}
    counted.wall_ns = 1_700_000_000_000_000_000
    assert counted.value("mm_dead_man_deadline_timestamp_seconds", venue="test") == 1_700_000_010.5
    assert counted.value("mm_dead_man_refresh_seconds", venue="test") == 3.5


def test_each_look_at_an_account_is_timed_and_what_differs_is_counted(tmp_path: Path) -> None:
    """An account asked for at 900 ms and got at 1000 ms took 0.1 s; its open order is not ours. Both kinds of mismatch
    are there at zero before anything differed, so that a first one is an increase."""
    counted = Counted(tmp_path).quoting()
    own = {"venue": "test", "kind": "account"}
    before = counted.value("mm_reconcile_seconds_count", **own)
    foreign = OpenOrder(BTC, None, "f1", Side.BUY, 599_000, 3)
    snapshot = VenueSnapshot(Venue("test"), 900 * b.MS, 900 * b.MS, (foreign,), ())
    assert counted.value("mm_reconcile_mismatches_total", venue="test", kind="order_foreign") == 0
    counted.tell(VenueSnapshotReceived(Venue("test"), 900 * b.MS, 1000 * b.MS, snapshot))
    assert counted.value("mm_reconcile_seconds_count", **own) == before + 1
    assert counted.value("mm_reconcile_seconds_sum", **own) == pytest.approx(0.1)
    assert counted.value("mm_reconcile_mismatches_total", venue="test", kind="order_foreign") == 1
    assert counted.value("mm_reconcile_mismatches_total", venue="test", kind="position") == 0
    counted.now_ns, counted.wall_ns = 3_000 * b.MS, 1_700_000_000_000_000_000
    assert counted.value("mm_reconcile_last_success_timestamp_seconds", **own) == 1_699_999_998.0


def test_links_show_whether_they_are_up_and_why_they_went(tmp_path: Path) -> None:
    """As their connector has them, each cause from the start."""
    counted = Counted(tmp_path)
    own = {"venue": "test", "stream": "market"}
    assert counted.value("mm_ws_connected", **own) == 1
    assert counted.value("mm_ws_messages_total", **own) == 7
    assert counted.value("mm_ws_reconnects_total", reason="closed", **own) == 2
    assert counted.value("mm_ws_reconnects_total", reason="refused", **own) == 0


def test_data_age_is_told_by_stream(tmp_path: Path) -> None:
    """A book of 2 ms and a trade of 40 ms, looked at after 100 ms; no age of what never came."""
    counted = Counted(tmp_path).quoting()
    assert 'stream="trades"' not in counted.text()
    counted.tell(b.trade(40, Side.BUY, 600_000, 3))
    counted.now_ns = 100 * b.MS
    assert counted.value("mm_market_data_age_seconds", stream="book", **COUNTED) == pytest.approx(0.098)
    assert counted.value("mm_market_data_age_seconds", stream="trades", **COUNTED) == pytest.approx(0.060)


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
