"""The dashboards as code: `make dashboards` writes deploy/grafana/dashboards, from where Grafana provisions them.

Every query is limited by the variables at the top: data source, instance, venue, symbol. Money is in the settlement
currency. What a metric means is in deploy/docs/metrics.md.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

FOLDER = Path(__file__).resolve().parent / "dashboards"
DAEMON = 'job="mm-daemon", instance=~"$instance"'
VENUE = f'{DAEMON}, venue=~"$venue"'
MARKET = f'{VENUE}, symbol=~"$symbol"'
RATE = "$__rate_interval"
_SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_WIDTH = 12
_HEIGHT = 8

Query = tuple[str, str]
"""An expression, and the name of its lines."""


def _target(query: Query, name: str) -> prometheus.Dataquery:
    expression, legend = query
    return prometheus.Dataquery().ref_id(name).expr(expression).legend_format(legend).datasource(_SOURCE)


def lines(title: str, about: str, *queries: Query, unit: str = "short", stacked: bool = False) -> timeseries.Panel:
    """Lines over time."""
    panel = timeseries.Panel().title(title).description(about).unit(unit).datasource(_SOURCE)
    panel = panel.span(_WIDTH).height(_HEIGHT).line_width(1).fill_opacity(20 if stacked else 0)
    panel = panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .placement(common_models.LegendPlacement.BOTTOM)
        .display_mode(common_models.LegendDisplayMode.LIST)
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    for name, query in zip("ABCDEFGH", queries, strict=False):
        panel = panel.with_target(_target(query, name))
    return panel


def number(title: str, about: str, query: Query, *, bad_above: float | None = None, names: bool = False) -> stat.Panel:
    """The latest figure, red from `bad_above` on; or only the names of its series."""
    panel = stat.Panel().title(title).description(about).datasource(_SOURCE).span(4).height(4)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if names:
        panel = panel.text_mode(common_models.BigValueTextMode.NAME)
    steps = [models.Threshold(color="green")]
    if bad_above is not None:
        steps.append(models.Threshold(value=bad_above, color="red"))
    panel = panel.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    return panel.with_target(_target(query, "A"))


def quantiles(title: str, about: str, metric: str, labels: str, by: str, legend: str) -> timeseries.Panel:
    """Median and 99th percentile of a histogram in seconds."""
    kept = f"{by}, le" if by else "le"
    rate = f"sum by ({kept}) (rate({metric}_bucket{{{labels}}}[{RATE}]))"
    return lines(
        title,
        about,
        (f"histogram_quantile(0.5, {rate})", f"{legend} p50".strip()),
        (f"histogram_quantile(0.99, {rate})", f"{legend} p99".strip()),
        unit="s",
    )


def per_second(metric: str, labels: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[{RATE}]))"


def or_zero(expression: str) -> str:
    """What has not happened yet has no series."""
    return f"{expression} or vector(0)"


def overview() -> Sequence[timeseries.Panel | stat.Panel]:
    return (
        number("Up", "Prometheus reaches it.", (f"up{{{DAEMON}}}", "{{instance}}")),
        number("Ready", "Reconciled, with fresh data of every venue.", (f"mm_ready{{{DAEMON}}}", "{{instance}}")),
        number("Killed", "A limit or the kill switch.", (f"mm_kill_active{{{DAEMON}}}", "{{instance}}"), bad_above=1),
        number("Markets quoting", "A quote of ours may rest.", (f"sum(mm_quoting{{{MARKET}}})", "quoting")),
        number(
            "P&L",
            "All markets and parts since the account began.",
            (f"sum(mm_pnl_quote{{{MARKET}}})", "P&L"),
        ),
        number(
            "Version",
            "What runs, with what parameters.",
            (f"mm_build_info{{{DAEMON}}}", "{{version}} {{config_hash}}"),
            names=True,
        ),
        lines(
            "Position",
            "Base units; negative is short.",
            (f"mm_position_base{{{MARKET}}}", "{{venue}} {{symbol}}"),
            (f"mm_position_limit_base{{{MARKET}}}", "{{venue}} {{symbol}} limit"),
            (f"mm_worst_case_position_base{{{MARKET}}}", "{{venue}} {{symbol}} if every {{side}} filled"),
        ),
        lines(
            "P&L by market",
            "Spread, inventory, fees and funding together.",
            (f"sum by (venue, symbol) (mm_pnl_quote{{{MARKET}}})", "{{venue}} {{symbol}}"),
        ),
        lines(
            "P&L by part",
            "Their sum is the P&L.",
            (f"sum by (part) (mm_pnl_quote{{{MARKET}}})", "{{part}}"),
        ),
        lines(
            "Drawdown",
            "Fall of the P&L of all markets from its peak, and where everything is cancelled.",
            (f"mm_drawdown_quote{{{DAEMON}}}", "{{instance}}"),
            (f"mm_drawdown_limit_quote{{{DAEMON}}}", "{{instance}} limit"),
        ),
        lines(
            "Share of the time locked out",
            "By reason; a market may have several at once.",
            (per_second("mm_lockout_seconds_total", MARKET, "venue, symbol, reason") + " > 0", "{{symbol}} {{reason}}"),
            unit="percentunit",
        ),
        lines(
            "Quoting",
            "1 while an order of ours may rest.",
            (f"mm_quoting{{{MARKET}}}", "{{venue}} {{symbol}}"),
        ),
    )


def quoting() -> Sequence[timeseries.Panel]:
    fills = f"sum by (horizon) (rate(mm_markout_samples_total{{{MARKET}}}[15m]))"
    gain = f"sum by (horizon) (rate(mm_markout_gain_quote_total{{{MARKET}}}[15m]))"
    loss = f"sum by (horizon) (rate(mm_markout_loss_quote_total{{{MARKET}}}[15m]))"
    captured = f"sum(rate(mm_spread_captured_quote_total{{{MARKET}}}[15m]))"
    filled = f"sum(rate(mm_fills_total{{{MARKET}}}[15m]))"
    return (
        lines(
            "Quotes and best prices",
            "One market at a time is readable.",
            (f"mm_best_price{{{MARKET}}}", "{{symbol}} best {{side}}"),
            (f"mm_quote_price{{{MARKET}}}", "{{symbol}} our {{side}}"),
            (f"mm_reservation_price{{{MARKET}}}", "{{symbol}} reservation"),
        ),
        lines(
            "Spread quoted",
            "Distance between our quotes over the mid.",
            (f"mm_spread_quoted_ratio{{{MARKET}}}", "{{venue}} {{symbol}}"),
            unit="percentunit",
        ),
        lines(
            "Uptime",
            "Share of the time with a quote at the venue.",
            (f"rate(mm_quote_uptime_seconds_total{{{MARKET}}}[{RATE}])", "{{symbol}} {{side}}"),
            unit="percentunit",
        ),
        lines(
            "Fills a minute",
            "Each once.",
            (
                f"60 * {per_second('mm_fills_total', MARKET, 'symbol, side, liquidity')}",
                "{{symbol}} {{side}} {{liquidity}}",
            ),
        ),
        lines(
            "Volume a minute",
            "Money of the fills.",
            (f"60 * {per_second('mm_volume_quote_total', MARKET, 'venue, symbol')}", "{{venue}} {{symbol}}"),
        ),
        lines(
            "What a fill brings",
            "Mean over 15 minutes: against the mid at the fill, and against the mid at each horizon after it.",
            (f"({gain} - {loss}) / {fills}", "after {{horizon}}"),
            (f"{captured} / {filled}", "at once"),
        ),
        lines(
            "Decisions a second",
            "Changed decisions by what was decided and the first reason.",
            (per_second("mm_decisions_total", MARKET, "action, reason"), "{{action}}: {{reason}}"),
        ),
        lines(
            "Orders a second",
            "Released to the venue.",
            (per_second("mm_orders_submitted_total", MARKET, "symbol"), "{{symbol}} new"),
            (per_second("mm_order_cancels_total", MARKET, "symbol"), "{{symbol}} cancel"),
        ),
        lines(
            "No from the gate and the venue",
            "Refusals by code, rejects by reason, a second.",
            (or_zero(per_second("mm_refusals_total", MARKET, "reason")), "gate: {{reason}}"),
            (per_second("mm_order_rejects_total", MARKET, "reason"), "venue: {{reason}}"),
        ),
        lines(
            "Mean size of the position",
            "Over the life of the process, base units.",
            (f"mm_position_mean_abs_base{{{MARKET}}}", "{{venue}} {{symbol}}"),
        ),
    )


def latency() -> Sequence[timeseries.Panel]:
    return (
        quantiles(
            "Tick to decision",
            "From receiving the latest message to a changed decision.",
            "mm_tick_to_decision_seconds",
            MARKET,
            "symbol",
            "{{symbol}}",
        ),
        quantiles(
            "Decision to send",
            "From a decision to its commands having been handed over.",
            "mm_decision_to_send_seconds",
            MARKET,
            "symbol",
            "{{symbol}}",
        ),
        quantiles(
            "Answers of the venue",
            "From releasing a command to its answer.",
            "mm_order_ack_seconds",
            MARKET,
            "venue, op",
            "{{venue}} {{op}}",
        ),
        quantiles(
            "Event loop lag",
            "How much later than asked it woke up; the last bucket ends at 100 ms.",
            "mm_event_loop_lag_seconds",
            DAEMON,
            "instance",
            "{{instance}}",
        ),
        quantiles("Writing the journal", "One write.", "mm_journal_flush_seconds", DAEMON, "instance", "{{instance}}"),
        quantiles("Asking for an account", "Until it is there.", "mm_reconcile_seconds", VENUE, "venue", "{{venue}}"),
    )


def health() -> Sequence[timeseries.Panel]:
    return (
        lines(
            "Age of the data",
            "Since the last message of a stream.",
            (f"mm_market_data_age_seconds{{{MARKET}}}", "{{symbol}} {{stream}}"),
            unit="s",
        ),
        lines(
            "Books lost a minute",
            "A synchronised book could no longer be trusted.",
            (or_zero(f"60 * {per_second('mm_book_resyncs_total', MARKET, 'symbol, reason')}"), "{{symbol}} {{reason}}"),
        ),
        lines("Connections", "1 while up.", (f"mm_ws_connected{{{VENUE}}}", "{{venue}} {{stream}}")),
        lines(
            "Connections made again",
            "In 5 minutes, by what ended the one before.",
            (f"increase(mm_ws_reconnects_total{{{VENUE}}}[5m])", "{{venue}} {{stream}} {{reason}}"),
        ),
        lines(
            "Messages a second",
            "Received, and those that could not be used.",
            (per_second("mm_ws_messages_total", VENUE, "venue, stream"), "{{venue}} {{stream}}"),
            (or_zero(per_second("mm_ws_bad_messages_total", VENUE, "venue, reason")), "{{venue}} unusable: {{reason}}"),
        ),
        lines(
            "Left of the rate limits",
            "And how often a venue asked to slow down, a second.",
            (f"mm_rate_limit_headroom_ratio{{{VENUE}}}", "{{venue}} {{bucket}}"),
            (or_zero(per_second("mm_throttled_total", VENUE, "venue, bucket")), "{{venue}} {{bucket}} throttled"),
        ),
        lines(
            "Orders",
            "That may be alive, by state.",
            (f"sum by (state) (mm_orders_live{{{MARKET}}})", "{{state}}"),
            (f"sum(mm_orders_unknown{{{MARKET}}})", "outcome unknown"),
        ),
        lines(
            "Oldest unknown outcome",
            "A page at 30 s.",
            (f"mm_unknown_oldest_seconds{{{MARKET}}}", "{{venue}} {{symbol}}"),
            unit="s",
        ),
        lines(
            "Since the account was compared",
            "Every 10 s; a page at 30 s.",
            (f"time() - mm_reconcile_last_success_timestamp_seconds{{{VENUE}}}", "{{venue}} {{kind}}"),
            unit="s",
        ),
        lines(
            "Differences from the account",
            "In 5 minutes, by kind.",
            (f"increase(mm_reconcile_mismatches_total{{{VENUE}}}[5m])", "{{venue}} {{kind}}"),
        ),
        lines(
            "Until the venue cancels all",
            "What the dead man's switch leaves; the core loop arms it again.",
            (f"mm_dead_man_deadline_timestamp_seconds{{{VENUE}}} - time()", "{{venue}}"),
            (f"mm_dead_man_refresh_seconds{{{VENUE}}}", "{{venue}} armed again every"),
            unit="s",
        ),
        lines("Clock skew", "Ours less the venue's.", (f"mm_clock_skew_seconds{{{VENUE}}}", "{{venue}}"), unit="s"),
        lines(
            "Queues",
            "What waits, and what a full queue gave up a second.",
            (f"mm_queue_depth{{{DAEMON}}}", "{{queue}}"),
            (per_second("mm_queue_dropped_total", DAEMON, "queue"), "{{queue}} given up"),
        ),
        lines(
            "Restarts of parts",
            "In 5 minutes, by task.",
            (f"increase(mm_task_restarts_total{{{DAEMON}}}[5m])", "{{task}}"),
        ),
        lines(
            "Free for the journal",
            "A warning below 1 GiB.",
            (f"mm_journal_free_bytes{{{DAEMON}}}", "{{instance}}"),
            unit="bytes",
        ),
        lines(
            "Errors in keeping the journal",
            "In 5 minutes.",
            (f"increase(mm_journal_errors_total{{{DAEMON}}}[5m])", "{{op}}"),
        ),
        lines(
            "Memory",
            "Resident; the unit and the container end at 1 GiB.",
            (f"process_resident_memory_bytes{{{DAEMON}}}", "{{instance}}"),
            unit="bytes",
        ),
        lines(
            "CPU",
            "Cores used.",
            (f"rate(process_cpu_seconds_total{{{DAEMON}}}[{RATE}])", "{{instance}}"),
        ),
    )


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .query(query)
        .datasource(_SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".*")
        .multi(True)
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def made(title: str, panels: Sequence[timeseries.Panel | stat.Panel]) -> str:
    """The dashboard as Grafana reads it."""
    board = (
        dashboard.Dashboard(f"mm-daemon: {title}")
        .uid(f"mm-daemon-{title.lower()}")
        .tags(["mm-daemon"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            dashboard.DashboardLink("mm-daemon")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["mm-daemon"])
            .keep_time(True)
            .include_vars(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("instance", 'label_values(up{job="mm-daemon"}, instance)'))
        .with_variable(_variable("venue", f"label_values(mm_quoting{{{DAEMON}}}, venue)"))
        .with_variable(_variable("symbol", f"label_values(mm_quoting{{{VENUE}}}, symbol)"))
    )
    for panel in panels:
        board = board.with_panel(panel)
    return json.dumps(json.loads(JSONEncoder(sort_keys=True).encode(board.build())), indent=1, sort_keys=True) + "\n"


def dashboards() -> dict[str, str]:
    """File name and text of each."""
    boards = {"Overview": overview(), "Quoting": quoting(), "Latency": latency(), "Health": health()}
    return {f"{title.lower()}.json": made(title, panels) for title, panels in boards.items()}


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
