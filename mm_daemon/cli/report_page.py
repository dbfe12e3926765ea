"""The page of a report: one HTML file that needs nothing else, for screens wide and narrow, light and dark.

Figures and definitions come from `backtest/figure_list.py`, pictures from `report_plots.py`; this file is the paper
they stand on. There is no script in it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from mm_daemon.backtest.figure_list import FIGURES, Figure
from mm_daemon.backtest.run_report import Quantiles, Reported, RunMarket, RunReport
from mm_daemon.cli import report_plots
from mm_daemon.cli.report_plots import Picture
from mm_daemon.domain.errors import UsageError

MOST_DRAWN = 6
"""Runs with pictures of their own; further ones stand in the table alone."""
_TILES = (
    "pnl_total",
    "pnl_spread",
    "pnl_inventory",
    "pnl_fees",
    "volume",
    "pnl_bps",
    "spread_captured",
    "quote_uptime",
    "locked_share",
)
_PICTURES = (
    (
        report_plots.story,
        "story",
        "Above: the mid of the trusted book (line, and a band from its low to its high in each bucket of time), the "
        "best "
        "bid and ask of ours that rested at the venue, and our fills at their prices. Middle: the position, between "
        "the "
        "limits (dashed). Below: the P&L of the run and its parts; they add up to the equity at every instant.",
        "book_snapshot, book_delta, top_of_book for the mid; approved, accepted, amended, canceled, filled for quotes; "
        "filled, funding_paid, reconciled for position and money",
    ),
    (
        report_plots.spread_captured,
        "spread",
        "Each fill's half-spread, side × (mid − price) / price in bps, with the mid the core booked it at; the line is "
        "the mean so far, not weighted by size. Below zero the market had moved through our price before we knew.",
        "book_*, filled",
    ),
    (
        report_plots.markouts,
        "markouts",
        "Mean of side × (mid a time h after the fill − price) / price, in bps, with bars of 1.96 standard errors. A "
        "line "
        "that falls with h shows adverse selection; one below zero, fills that cost more than they brought.",
        "book_*, filled",
    ),
    (
        report_plots.intensity,
        "intensity",
        "How often taker orders as large as ours reached a distance δ from the mid just before them, per second and "
        "side, and the law A·exp(−kδ) fitted by maximum likelihood. Squares: fills of our own quotes over the time "
        "they "
        "stood at that distance, with 95 % bars; queue and latency are in them, so they lie lower.",
        "book_*, trade; squares: approved, accepted, amended, filled",
    ),
    (
        report_plots.quoting,
        "quoting",
        "Share of each span of time in which a quote of ours rested at the venue, and in which a lockout held a side "
        "or "
        "it was withdrawn, by the decisive reason; mean of both sides. During a lockout a quote may well rest.",
        "accepted, amended, canceled, filled for the upper; decisions for the lower panel",
    ),
    (
        report_plots.standing,
        "standing",
        "How long each decision of the inner level stood, by action and decisive reason, as a share of the run.",
        "decisions",
    ),
    (
        report_plots.order_life,
        "orders",
        "Shares of orders at or below a value: from the release of a command to its answer; from the place to the end "
        "of "
        "the order, and from arrival to its first fill; size displayed at our price when we arrived, which stands "
        "before us. Instants are those of our own clock.",
        "approved and decided for the release; accepted, amended, canceled, expired, filled; book_* for the queue",
    ),
)


def write(reports: Sequence[Reported], path: Path) -> None:
    """Raises UsageError when the file cannot be written."""
    text = page(reports)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--html {path}: cannot be written: {error.strerror}") from error


def page(reports: Sequence[Reported]) -> str:
    """The whole file. `reports`: at least one."""
    runs = [reported.report for reported in reports]
    several = len(runs) > 1
    title = runs[0].name if not several else f"{len(runs)} runs"
    parts = [_head(f"mm-daemon report: {title}"), f"<h1>{escape(title)}</h1>", _cards(runs, named=several)]
    if several:
        parts.append(_side_by_side(reports))
    for number, reported in enumerate(reports[:MOST_DRAWN]):
        parts.append(_run(reported, number, several=several))
    if len(reports) > MOST_DRAWN:
        parts.append(f"<p class=note>Pictures are drawn of the first {MOST_DRAWN} runs; the table has all of them.</p>")
    parts.append(_definitions())
    parts.append("</main></body></html>")
    return "\n".join(parts)


# Runs


def _cards(runs: Sequence[RunReport], *, named: bool) -> str:
    cards = []
    for run in runs:
        notes = "".join(f"<li>{escape(note)}</li>" for note in run.notes)
        cards.append(
            f"<section class=card>{f'<h2>{escape(run.name)}</h2>' if named else ''}<p>{escape(_period(run))}</p>"
            f"<p class=muted>{run.records:,} records, {run.turns:,} turns, {run.rows:,} rows of market data; "
            f"written by {escape(run.version)}; {escape(_ending(run))}</p>"
            f"<p class=path>{escape(run.journal)}</p>{f'<ul class=notes>{notes}</ul>' if notes else ''}</section>"
        )
    return f"<div class=cards>{''.join(cards)}</div>"


def _period(run: RunReport) -> str:
    if run.start_ns < 10**17:  # an embedded market's clock
        return f"{_span(run.data_seconds)} of market time"
    first, last = (datetime.fromtimestamp(ns / 1e9, UTC) for ns in (run.start_ns, run.stop_ns))
    until = f"{last:%H:%M:%S}" if last.date() == first.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    return f"{first:%Y-%m-%d %H:%M:%S} to {until} UTC, {_span(run.data_seconds)}"


def _ending(run: RunReport) -> str:
    if run.ended is None:
        return "no end was written"
    return f"ended: {run.ended}" + ("" if run.clean else ", not clean")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _side_by_side(reports: Sequence[Reported]) -> str:
    names = dict.fromkeys(market.market for reported in reports for market in reported.report.markets)
    parts = ["<section><h2>Side by side</h2>"]
    for number, name in enumerate(names):
        columns = [
            (one.report.name, market) for one in reports for market in one.report.markets if market.market == name
        ]
        parts.append(f"<h3>{escape(name)}</h3>")
        if len(columns) > 1:
            parts.append(_figure(report_plots.overlay(f"overlay{number}", reports, name), _OVERLAY, "filled, book_*"))
        parts.append(_table(columns))
    parts.append("</section>")
    return "".join(parts)


_OVERLAY = (
    "P&L of each run over the time since it began, as a line with a band from low to high in each bucket of time. Runs "
    "that count in different currencies share no scale."
)


def _run(reported: Reported, number: int, *, several: bool) -> str:
    run = reported.report
    parts = ["<section class=run>"]
    for index, market in enumerate(run.markets):
        head = f"{run.name}: {market.market}" if several else market.market
        parts.append(f"<h2>{escape(head)}</h2>{_tiles(market)}")
        curves = reported.curves.markets[market.market]  # type: ignore[index]
        figures = [
            (_figure(draw(f"r{number}m{index}", curves), text, records), kind)
            for draw, kind, text, records in _PICTURES
        ]
        parts.append(figures[0][0])
        parts.append(f"<div class=grid>{''.join(shown for shown, _ in figures[1:])}</div>")
        if not several:
            parts.append("<h3>All figures</h3>")
            parts.append(_table([(run.name, market)]))
        parts.append(_quantiles(market))
    parts.append("</section>")
    return "".join(parts)


def _tiles(market: RunMarket) -> str:
    figures = {figure.key: figure for figure in FIGURES}
    tiles = []
    for key in _TILES:
        figure = figures[key]
        value = figure.of(market)[0]
        tone = ""
        if key.startswith("pnl") and value is not None and value != 0:
            tone = " class=good" if value > 0 else " class=bad"
        unit = _unit(figure, market)
        number, _, error = figure.text(market).partition(" ")
        shown = f"{escape(number)} <small>{escape(f'{error} {unit}'.strip())}</small>"
        tiles.append(
            f"<div class=tile><span>{escape(figure.label)}{_question(figure)}</span><b{tone}>{shown}</b></div>"
        )
    fills = f"{market.figures.maker_fills:,} / {market.figures.taker_fills:,}"
    tiles.insert(4, f"<div class=tile><span>fills maker / taker</span><b>{fills}</b></div>")
    return f"<div class=tiles>{''.join(tiles)}</div>"


def _figure(picture: Picture, text: str, records: str) -> str:
    caption = f"<figcaption>{text} <span class=records>Records: {escape(records)}.</span></figcaption>"
    if picture.narrow is None:
        return f"<figure>{picture.svg}{caption}</figure>"
    return f"<figure><div class=wide>{picture.svg}</div><div class=narrow>{picture.narrow}</div>{caption}</figure>"


# Tables


def _table(columns: Sequence[tuple[str, RunMarket]]) -> str:
    """Figures down, runs across; with two or more, what each has more than the first."""
    many = len(columns) > 1
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name, _ in columns)
    if many:
        head += "".join(f"<th scope=col class=diff>{escape(name)} − first</th>" for name, _ in columns[1:])
    rows = []
    group = ""
    across = 1 + len(columns) + (len(columns) - 1 if many else 0)
    for figure in FIGURES:
        if figure.group != group:
            group = figure.group
            rows.append(f"<tr class=group><th scope=rowgroup colspan={across}><span>{escape(group)}</span></th></tr>")
        cells = "".join(f"<td>{escape(figure.text(market))}</td>" for _, market in columns)
        if many:
            first = columns[0][1]
            cells += "".join(
                f"<td class=diff>{escape(figure.difference_text(first, market))}</td>" for _, market in columns[1:]
            )
        unit = _unit(figure, columns[0][1])
        unit_text = f" <small>{escape(unit)}</small>" if unit else ""
        rows.append(f"<tr><th scope=row>{escape(figure.label)}{unit_text}{_question(figure)}</th>{cells}</tr>")
    return (
        f"<div class=scroll tabindex=0><table><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _quantiles(market: RunMarket) -> str:
    orders = market.orders
    rows: tuple[tuple[str, Quantiles, str], ...] = (
        ("place to ack, ms", orders.ack_ms, ",.1f"),
        ("amend to ack, ms", orders.amend_ms, ",.1f"),
        ("cancel to end, ms", orders.cancel_ms, ",.1f"),
        ("order life, s", orders.life_s, ",.3f"),
        ("wait for the first fill, s", orders.first_fill_s, ",.3f"),
        ("queue ahead, base", orders.queue_ahead, ",.4g"),
    )
    body = "".join(
        f"<tr><th scope=row>{name}</th><td>{one.count:,}</td>"
        + "".join(f"<td>{'-' if value is None else format(value, form)}</td>" for value in (one.p50, one.p90, one.p99))
        + "</tr>"
        for name, one, form in rows
    )
    return (
        "<h3>Order life, quantiles</h3><div class=scroll tabindex=0><table><thead><tr><th></th><th>samples</th>"
        f"<th>50 %</th><th>90 %</th><th>99 %</th></tr></thead><tbody>{body}</tbody></table></div>"
    )


def _unit(figure: Figure, market: RunMarket) -> str:
    if figure.unit == "money":
        return market.currency
    return figure.unit


def _question(figure: Figure) -> str:
    """A `?` that tells what a figure is: pointed at, tapped, or reached with the keyboard."""
    return (
        f'<span class=q tabindex=0 aria-label="what is {escape(figure.label, quote=True)}">?'
        f"<span class=tip "
        f"role=tooltip>{escape(figure.definition)}<br><code>{escape(figure.formula)}</code></span></span>"
    )


def _definitions() -> str:
    parts = [
        "<section class=defs><h2>Definitions</h2><p>Every figure is computed from the journal by the engine's own "
        "books. It can be computed again from <code>mm-daemon journal export</code> by the formula and the records "
        "named "
        "here. Sides: +1 for what we bought, −1 for what we sold. Prices are the contract's, money is in the "
        "settlement "
        "currency, times are those of our own clock.</p>"
    ]
    group = ""
    for figure in FIGURES:
        if figure.group != group:
            parts.append(f"{'</dl>' if group else ''}<h3>{escape(figure.group)}</h3><dl>")
            group = figure.group
        unit = {"money": "currency", "base": "base units", "": ""}.get(figure.unit, figure.unit)
        parts.append(
            f'<dt id="def-{figure.key}">{escape(figure.label)}{f" <small>{escape(unit)}</small>" if unit else ""}</dt>'
            f"<dd>{escape(figure.definition)}<br><code>{escape(figure.formula)}</code>"
            f"<br><span class=records>Records: {escape(', '.join(figure.records))}.</span></dd>"
        )
    parts.append("</dl></section>")
    return "".join(parts)


def _head(title: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{_minified(_CSS)}</style></head><body><main>"
    )


def _minified(css: str) -> str:
    return " ".join(css.split())


_CSS = """
:root {
  --paper: #fbfbfa; --card: #ffffff; --ink: #1b1d20; --muted: #646a72; --grid: #e4e6e9; --line: #dcdfe3;
  --blue: #1f63b5; --orange: #c96a12; --green: #2a8250; --red: #b8342b; --purple: #7447a0; --teal: #117d88;
  --font: system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --card: #1b1e23; --ink: #e8eaed; --muted: #9aa2ad; --grid: #2c3138; --line: #30353d;
    --blue: #6aa9f5; --orange: #f0a04b; --green: #5cc48a; --red: #f0766b; --purple: #b794e6; --teal: #4cc5cf;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 var(--font); }
main { max-width: 1560px; margin: 0 auto; padding: 20px clamp(12px, 2.5vw, 40px) 60px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 8px 0 16px; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 34px 0 10px; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 24px 0 8px; }
p { margin: 4px 0; }
small { color: var(--muted); font-weight: 400; font-size: .8em; }
code { font: 12px/1.45 ui-monospace, 'SFMono-Regular', Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.muted, .records { color: var(--muted); }
.records { font-size: .92em; }
.path { font: 12px ui-monospace, Menlo, Consolas, monospace; color: var(--muted); overflow-wrap: anywhere; }
.cards { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.card h2 { margin: 0 0 4px; font-size: 1.05rem; }
.notes { margin: 8px 0 0; padding-left: 18px; color: var(--orange); }
.tiles { display: grid; gap: 10px; grid-template-columns: repeat(5, minmax(0, 1fr)); }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 9px 12px; min-width: 0; }
.tile span { color: var(--muted); font-size: .84rem; }
.tile b { display: block; font-size: 1.08rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.good { color: var(--green); } .bad { color: var(--red); }
figure { margin: 14px 0 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 10px 10px 12px; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { color: var(--muted); font-size: .84rem; line-height: 1.45; padding: 8px 4px 0; max-width: 110ch; }
.narrow { display: none; }
.grid svg { max-width: 600px; margin: 0 auto; }
.grid { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 370px), 1fr));
 }
.scroll { overflow-x: auto; width: fit-content; max-width: 100%; margin-top: 14px;
  border: 1px solid var(--line); border-radius: 10px; background: var(--card); }
table { border-collapse: collapse; min-width: min(100%, 560px); font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: 5px 14px; text-align: right; white-space: nowrap; border-top: 1px solid var(--grid); }
thead th { border-top: 0; color: var(--muted); font-weight: 600; }
tbody th { text-align: left; font-weight: 400; position: sticky; left: 0; background: var(--card); }
.group th { font-weight: 600; color: var(--muted); font-size: .78rem; text-transform: uppercase; letter-spacing: .05em;
  padding-top: 14px; }
.group th span { position: sticky; left: 14px; }
.diff { color: var(--muted); }
tbody tr:not(.group):hover > * { background: color-mix(in srgb, var(--blue) 7%, var(--card)); }
.q { position: relative; display: inline-block; width: 15px; height: 15px; margin-left: 5px; border-radius: 50%;
  border: 1px solid var(--line); color: var(--muted); font-size: 10.5px; line-height: 13px; text-align: center;
  cursor: help; vertical-align: 1px; }
.tip { display: none; position: fixed; z-index: 9; left: 12px; right: 12px; bottom: 12px; max-width: 620px;
  margin: 0 auto; padding: 12px 14px; text-align: left; white-space: normal; background: var(--card);
  color: var(--ink); border: 1px solid var(--line); border-radius: 10px; box-shadow: 0 6px 28px rgb(0 0 0 / .28);
  font: 14px/1.45 var(--font); text-transform: none; letter-spacing: 0; }
.tile .tip { color: var(--ink); font-size: 14px; }
.tip code { color: var(--muted); }
.q:hover .tip, .q:focus .tip { display: block; }
.q:focus { outline: 2px solid var(--blue); outline-offset: 1px; }
.defs dl { display: grid; gap: 4px 18px; grid-template-columns: minmax(130px, 210px) 1fr; margin: 0; }
.defs dt { font-weight: 600; padding-top: 6px; }
.defs dd { margin: 0; padding: 6px 0; border-bottom: 1px solid var(--grid); max-width: 100ch; }
.note { color: var(--muted); }
@media (max-width: 960px) {
  .wide { display: none; }
  .narrow { display: block; max-width: 640px; margin: 0 auto; }
}
@media (max-width: 760px) {
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  body { font-size: 14px; }
  figure { padding: 6px 4px 10px; }
  figcaption { padding: 8px 8px 0; }
  table { font-size: .86rem; }
  th, td { padding: 5px 8px; }
  tbody th { white-space: normal; min-width: 112px; }
  .defs dl { grid-template-columns: 1fr; }
  .defs dd { padding-top: 0; }
}
@media print { .q { display: none; } figure, .tile, .card { break-inside: avoid; } }
"""
