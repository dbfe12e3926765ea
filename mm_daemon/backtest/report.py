"""The result of a backtest: one JSON object, and a table for people.

Money and sizes are exact decimals, written as JSON numbers, so that parts add up to their total to the last digit when
they are read as decimals: `total = spread + inventory + fees + funding = cash + position_value - start_value`.
Statistics are floating-point, each defined where its struct is (`figures.py`, `observability/trade_statistics.py`), and
null where they do not exist.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext

import msgspec

from mm_daemon.backtest.figures import RateFigures, figure_rows, rate_figures
from mm_daemon.backtest.tally import MarketTally, Tally
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.money import to_decimal
from mm_daemon.observability.equity_figures import EquityFigures, equity_figures
from mm_daemon.observability.trade_statistics import FillFigures, InventoryFigures

_NS_PER_S = 1_000_000_000
_MONEY_DIGITS = 60


class Pnl(msgspec.Struct, frozen=True):
    """Profit and loss in the settlement currency. `fees` and `funding` are what they added: paid is negative."""

    total: Decimal
    spread: Decimal
    inventory: Decimal
    fees: Decimal
    funding: Decimal


class MarketReport(msgspec.Struct, frozen=True, kw_only=True):
    """One market of the run."""

    market: str
    currency: str
    """What money is counted in: the settlement currency."""
    decisions: int
    """Decisions that changed an action, a reason or a target."""
    orders_placed: int
    """Places that left for the venue."""
    orders_canceled: int
    """Orders the venue reported as cancelled."""
    orders_amended: int
    """Amends the venue confirmed."""
    orders_rejected: int
    """Places and amends the venue refused."""
    fills: int
    maker_fills: int
    taker_fills: int
    volume: Decimal
    """Notional traded."""
    volume_base: Decimal
    position: Decimal
    """Position at the end, base units (contracts where a contract is not one unit)."""
    max_abs_position: Decimal
    quote_uptime: float
    """Share of the data's time with a live quote of ours on both sides."""
    bid_uptime: float
    ask_uptime: float
    pnl: Pnl
    rates: RateFigures
    trades: FillFigures
    inventory: InventoryFigures | None
    """None when the data span no time."""
    equity: EquityFigures
    cash: Decimal
    """Money received less money paid, fees and funding included."""
    position_value: Decimal
    """The final position at the final mid."""
    start_value: Decimal
    """The starting position at the first mid."""
    start_mid: Decimal | None
    final_mid: Decimal | None


class QueueFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a run, or all parts of one, would have been with another queue model."""

    model: str
    exponent: float
    fills: int
    volume: Decimal | None
    """As in the report: None where no sum exists."""
    pnl: Pnl | None

    @property
    def name(self) -> str:
        return f"{self.model} {self.exponent:g}" if self.model.startswith("power") else self.model


class BacktestReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole run. Money, volume and positions are None where markets differ in currency or base: no sum exists."""

    messages: int
    """Raw frames consumed, or market events where a venue sends no frames."""
    rows: int
    """Level changes and trades."""
    turns: int
    """Times the core was asked to decide."""
    full_decisions: int
    """Times it priced a market anew."""
    decisions: int
    orders_placed: int
    orders_canceled: int
    orders_amended: int
    orders_rejected: int
    fills: int
    maker_fills: int
    taker_fills: int
    volume: Decimal | None
    position: Decimal | None
    max_abs_position: Decimal | None
    quote_uptime: float
    """Mean over the markets."""
    pnl: Pnl | None
    equity: EquityFigures | None
    cash: Decimal | None
    position_value: Decimal | None
    start_value: Decimal | None
    currency: str | None
    start_ns: int
    end_ns: int
    data_seconds: float
    wall_seconds: float | None
    """None in a part of a report, so that equal parts are equal bytes."""
    open_orders: int
    """Orders that may still be alive after the stop: zero in a clean run."""
    clean: bool
    reasons: Mapping[str, int]
    """Changed decisions by action and decisive reason."""
    refusals: Mapping[str, int]
    dropped: Mapping[str, int]
    problems: Mapping[str, int]
    """Frames of the recording that could not be used, by kind."""
    notes: tuple[str, ...] = ()
    """What a person should know about the input, such as where a damaged recording ends."""
    markets: tuple[MarketReport, ...]
    journal: str | None = None
    queue_sensitivity: tuple[QueueFigures, ...] = ()
    """The same run under other queue models, where it was asked for; the first is the run's own."""

    def to_json(self) -> bytes:
        return _encoder.encode(self)

    def to_text(self) -> str:
        """The report for people."""
        speed = ""
        if self.wall_seconds:
            speed = f" in {self.wall_seconds:.2f} s ({self.data_seconds / self.wall_seconds:.0f} times as fast)"
        lines = [
            f"{self.messages:,} messages, {self.rows:,} rows: {self.data_seconds:.1f} s of market data{speed}",
            "",
            *table([("", *(market.market for market in self.markets)), *_rows(self.markets)]),
            "",
            f"decided   {counts(self.reasons)}",
        ]
        for name, told in (("refused", self.refusals), ("dropped", self.dropped), ("bad input", self.problems)):
            if told:
                lines.append(f"{name:<10}{counts(told)}")
        lines += [f"note      {note}" for note in self.notes]
        if self.journal is not None:
            lines.append(f"journal   {self.journal}")
        lines += queue_lines(self.queue_sensitivity, self.currency)
        if not self.clean:
            lines.append(f"NOT CLEAN: {self.open_orders} orders may still be open at the venue")
        return "\n".join(lines)


_encoder = msgspec.json.Encoder(decimal_format="number")


def build_report(
    tally: Tally,
    *,
    messages: int,
    rows: int,
    turns: int,
    full_decisions: int,
    end_ns: int,
    wall_seconds: float | None,
    open_orders: int,
    clean: bool,
    problems: Mapping[str, int],
    notes: tuple[str, ...],
    journal: str | None,
) -> BacktestReport:
    """Counts and the core's own positions as one report; `end_ns` is where the data ended."""
    span_ns = max(end_ns - tally.start_ns, 1)
    markets = tuple(market_report(name, market, span_ns, end_ns) for name, market in tally.markets.items())
    currencies = {market.currency: None for market in markets}
    bases = {market.market.instrument.base: None for market in tally.markets.values()}
    alike, one_base = len(currencies) == 1, len(bases) == 1
    return BacktestReport(
        messages=messages,
        rows=rows,
        turns=turns,
        full_decisions=full_decisions,
        decisions=sum(market.decisions for market in markets),
        orders_placed=sum(market.orders_placed for market in markets),
        orders_canceled=sum(market.orders_canceled for market in markets),
        orders_amended=sum(market.orders_amended for market in markets),
        orders_rejected=sum(market.orders_rejected for market in markets),
        fills=sum(market.fills for market in markets),
        maker_fills=sum(market.maker_fills for market in markets),
        taker_fills=sum(market.taker_fills for market in markets),
        volume=exact_sum(market.volume for market in markets) if alike else None,
        position=exact_sum(market.position for market in markets) if one_base else None,
        max_abs_position=max((market.max_abs_position for market in markets), default=None) if one_base else None,
        quote_uptime=round(sum(market.quote_uptime for market in markets) / max(len(markets), 1), 6),
        pnl=sum_pnl([market.pnl for market in markets]) if alike else None,
        equity=equity_figures(tally.equity) if alike else None,
        cash=exact_sum(market.cash for market in markets) if alike else None,
        position_value=exact_sum(market.position_value for market in markets) if alike else None,
        start_value=exact_sum(market.start_value for market in markets) if alike else None,
        currency=next(iter(currencies)) if alike else None,
        start_ns=tally.start_ns,
        end_ns=end_ns,
        data_seconds=(end_ns - tally.start_ns) / _NS_PER_S,
        wall_seconds=None if wall_seconds is None else round(wall_seconds, 6),
        open_orders=open_orders,
        clean=clean,
        reasons=dict(sorted(tally.reasons.items())),
        refusals=dict(sorted(tally.refusals.items())),
        dropped=dict(sorted(tally.dropped.items())),
        problems=dict(sorted(problems.items())),
        notes=notes,
        markets=markets,
        journal=journal,
    )


def market_report(name: str, tally: MarketTally, span_ns: int, end_ns: int) -> MarketReport:
    position, instrument = tally.market.position, tally.market.instrument
    final = position.half_ticks
    start_atto = 0 if tally.start_half_ticks is None else tally.start_lots * position.value(tally.start_half_ticks)
    return MarketReport(
        market=name,
        currency=instrument.base if instrument.inverse else instrument.quote,
        decisions=tally.decisions,
        orders_placed=tally.orders_placed,
        orders_canceled=tally.orders_canceled,
        orders_amended=tally.orders_amended,
        orders_rejected=tally.orders_rejected,
        fills=tally.maker_fills + tally.taker_fills,
        maker_fills=tally.maker_fills,
        taker_fills=tally.taker_fills,
        volume=money_of(tally.volume_atto),
        volume_base=_shown(instrument.size(tally.volume_lots)),
        position=_shown(instrument.size(position.lots)),
        max_abs_position=_shown(instrument.size(tally.max_abs_lots)),
        quote_uptime=round(tally.quoted.both_ns / span_ns, 6),
        bid_uptime=round(tally.quoted.bid_ns / span_ns, 6),
        ask_uptime=round(tally.quoted.ask_ns / span_ns, 6),
        pnl=Pnl(
            total=money_of(position.total_atto),
            spread=money_of(position.spread_atto),
            inventory=money_of(position.inventory_atto),
            fees=money_of(position.fees_atto),
            funding=money_of(position.funding_atto),
        ),
        rates=rate_figures(
            fills=tally.maker_fills + tally.taker_fills,
            orders=tally.orders_placed + tally.amends_sent,
            filled_lots=tally.volume_lots,
            offered_lots=tally.offered_lots,
        ),
        trades=tally.statistics.fill_figures(end_ns),
        inventory=tally.inventory,
        equity=equity_figures(tally.statistics.equity),
        cash=money_of(position.cash_atto + start_atto),  # the core's cash starts by paying for the starting position
        position_value=money_of(0 if final is None else position.lots * position.value(final)),
        start_value=money_of(start_atto),
        start_mid=_mid(instrument, tally.start_half_ticks),
        final_mid=_mid(instrument, final),
    )


def money_of(atto: int) -> Decimal:
    return _shown(to_decimal(atto))


def _shown(value: Decimal) -> Decimal:
    """The same value without a positive exponent, which JSON numbers would show as `1E+2`."""
    return Decimal(f"{value:f}")


def _mid(instrument: Instrument, half_ticks: int | None) -> Decimal | None:
    return None if half_ticks is None else _shown(instrument.tick * half_ticks / 2)


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """Exact: adding under the default context would round beyond 28 digits."""
    with localcontext(prec=_MONEY_DIGITS):
        return sum(values, Decimal(0))


def sum_pnl(parts: list[Pnl]) -> Pnl:
    """Exact, part by part."""
    return Pnl(*(exact_sum(getattr(part, name) for part in parts) for name in Pnl.__struct_fields__))


def _rows(markets: tuple[MarketReport, ...]) -> list[tuple[str, ...]]:
    """The table's lines: what, then one cell per market."""
    lines = (
        ("decisions", [f"{m.decisions:,}" for m in markets]),
        ("placed / amended", [f"{m.orders_placed:,} / {m.orders_amended:,}" for m in markets]),
        ("canceled / rejected", [f"{m.orders_canceled:,} / {m.orders_rejected:,}" for m in markets]),
        ("fills maker / taker", [f"{m.maker_fills:,} / {m.taker_fills:,}" for m in markets]),
        ("volume", [f"{m.volume:,.2f} {m.currency}" for m in markets]),
        ("position, largest", [f"{m.position:f}, {m.max_abs_position:f}" for m in markets]),
        ("quoted both sides", [f"{m.quote_uptime:.1%}" for m in markets]),
        ("quoted bid / ask", [f"{m.bid_uptime:.1%} / {m.ask_uptime:.1%}" for m in markets]),
        ("pnl spread", [f"{m.pnl.spread:+,.4f}" for m in markets]),
        ("pnl inventory", [f"{m.pnl.inventory:+,.4f}" for m in markets]),
        ("pnl fees", [f"{m.pnl.fees:+,.4f}" for m in markets]),
        ("pnl funding", [f"{m.pnl.funding:+,.4f}" for m in markets]),
        ("pnl total", [f"{m.pnl.total:+,.4f} {m.currency}" for m in markets]),
        *figure_rows(markets),
    )
    return [(name, *cells) for name, cells in lines]


def queue_lines(figures: tuple[QueueFigures, ...], currency: str | None) -> list[str]:
    """A table of the queue models, or nothing."""
    if not figures:
        return []
    lines: list[tuple[str, ...]] = [("queue model", "fills", "volume", "spread", "inventory", "fees", "pnl")]
    for one in figures:
        money = ["-"] * 4
        if one.pnl is not None:
            money = [f"{value:+,.4f}" for value in (one.pnl.spread, one.pnl.inventory, one.pnl.fees, one.pnl.total)]
        lines.append((one.name, f"{one.fills:,}", "-" if one.volume is None else f"{one.volume:,.2f}", *money))
    return ["", *table(lines), *([f"in {currency}"] if currency else [])]


def table(lines: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equal length as aligned lines: the first column to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]).rstrip()
        for line in lines
    ]


def counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ordered) or "nothing"
