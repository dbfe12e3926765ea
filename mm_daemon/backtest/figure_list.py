"""Every figure of a report: its name, unit, definition, and how it is computed again from the records of a journal.

The one list behind the terminal's table, the page's table with its `?`, the section of definitions, and `--json`.
`records` are names as `mm-daemon journal show --kind` takes them. A test computes each from the output of `mm-daemon
journal export` alone.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from mm_daemon.backtest.run_report import Quantiles, RunMarket
from mm_daemon.engine.markouts import DEFAULT_HORIZONS_NS

Value = float | int | Decimal | None
Told = tuple[Value, float | None]
"""A value and, where it is an estimate, its standard error. None: it does not exist."""

_MARKET = ("book_snapshot", "book_delta", "top_of_book", "book_invalidated")
_BOOKS = (*_MARKET, "filled", "reconciled", "funding_paid")
_ORDERS = ("approved", "accepted", "amended", "filled", "canceled", "expired", "rejected")


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    group: str
    label: str
    unit: str
    """`money` is shown in the market's currency."""
    form: str
    """How it is written, as of `format`."""
    definition: str
    formula: str
    records: tuple[str, ...]
    of: Callable[[RunMarket], Told]
    difference: bool = True
    """Whether the difference of two runs means something."""

    def text(self, market: RunMarket) -> str:
        """For people; `-` where it does not exist."""
        value, error = self.of(market)
        if value is None:
            return "-"
        shown = f"{value:{self.form}}"
        return shown if error is None else f"{shown} ±{error:{self.form.lstrip('+')}}"

    def difference_text(self, first: RunMarket, other: RunMarket) -> str:
        """What the other run has more."""
        a, b = self.of(first)[0], self.of(other)[0]
        if a is None or b is None or not self.difference:
            return ""
        form = self.form if self.form.startswith("+") else f"+{self.form}"
        if isinstance(a, Decimal) or isinstance(b, Decimal):
            return f"{Decimal(b) - Decimal(a):{form}}"
        return f"{b - a:{form}}"


def _fields() -> "list[Figure]":
    rows = [*_result(), *_fills(), *_markouts(), *_inventory(), *_quoting(), *_orders(), *_market()]
    assert len({row.key for row in rows}) == len(rows)
    return rows


def _result() -> "list[Figure]":
    group = "Result"
    parts = (
        (
            "spread",
            "what fills were better than the mid",
            "sum over fills of side * size * (mid at the fill - price)",
            _BOOKS,
        ),
        (
            "inventory",
            "what the mid's moves brought on the position held meanwhile",
            "sum over moves of the mid of position * (new mid - old mid)",
            _BOOKS,
        ),
        (
            "fees",
            "fees paid, negative; rebates are positive",
            "minus the sum of `fee` over fills; where the venue named none, the contract's rate times notional",
            ("filled", "reconciled"),
        ),
        (
            "funding",
            "funding received (positive) or paid",
            "sum of `amount` over payments, each `payment_key` once",
            ("funding_paid", "reconciled"),
        ),
    )
    total = Figure(
        key="pnl_total",
        group=group,
        label="P&L",
        unit="money",
        form="+,.4f",
        definition="Profit and loss of this run: spread + inventory + fees + funding, exactly. It equals money "
        "received less money paid plus the final position at the final mid, less the starting position at the first "
        "mid.",
        formula="cash + final position * final mid - starting position * first mid",
        records=_BOOKS,
        of=lambda m: (m.figures.pnl.total, None),
    )
    return [
        total,
        *(
            Figure(
                key=f"pnl_{name}",
                group=group,
                label=f"of it {name}",
                unit="money",
                form="+,.4f",
                definition=f"The part of the P&L that is {what}.",
                formula=formula,
                records=records,
                of=lambda m, name=name: (getattr(m.figures.pnl, name), None),  # type: ignore[misc]
            )
            for name, what, formula, records in parts
        ),
        Figure(
            key="pnl_bps",
            group=group,
            label="P&L of volume",
            unit="bps",
            form="+.3f",
            definition="P&L over notional traded.",
            formula="10,000 * pnl_total / volume",
            records=_BOOKS,
            of=lambda m: (m.volume_bps, None),
        ),
        Figure(
            key="max_drawdown",
            group=group,
            label="largest drawdown",
            unit="money",
            form=",.4f",
            definition="Largest fall of the equity from its running peak, looked at each second of market time.",
            formula="max over seconds of (peak so far - equity)",
            records=_BOOKS,
            of=lambda m: (m.figures.equity.max_drawdown, None),
        ),
        Figure(
            key="sharpe",
            group=group,
            label="Sharpe of a second",
            unit="",
            form="+.4f",
            definition="Mean over standard deviation of the equity's moves from second to second, in currency; not "
            "annual. The error is that of independent moves, sqrt((1 + SR²/2)/n).",
            formula="mean(moves) / std(moves, ddof=1)",
            records=_BOOKS,
            of=lambda m: (m.figures.equity.sharpe, m.figures.equity.sharpe_se),
        ),
    ]


def _fills() -> "list[Figure]":
    group = "Fills"

    def count(key: str, label: str, definition: str, formula: str, of: Callable[[RunMarket], Value]) -> Figure:
        records = ("filled", "reconciled")
        return Figure(
            key=key,
            group=group,
            label=label,
            unit="",
            form=",d",
            definition=definition,
            formula=formula,
            records=records,
            of=lambda m: (of(m), None),
        )

    return [
        count(
            "maker_fills",
            "maker fills",
            "Fills in which our order rested.",
            "number of fills with `maker`, each `fill_key` once; those that only a snapshot told of stand in "
            "`reconciled`",
            lambda m: m.figures.maker_fills,
        ),
        count(
            "taker_fills",
            "taker fills",
            "Fills in which our order took.",
            "number of fills without `maker`, each `fill_key` once; as above",
            lambda m: m.figures.taker_fills,
        ),
        Figure(
            key="volume",
            group=group,
            label="volume",
            unit="money",
            form=",.2f",
            definition="Notional of all fills.",
            formula="sum of size * price (inverse contracts: size / price)",
            records=("filled", "reconciled"),
            of=lambda m: (m.figures.volume, None),
        ),
        Figure(
            key="trades_per_hour",
            group=group,
            label="fills an hour",
            unit="1/h",
            form=",.1f",
            definition="Fills over the time from the run's start to its stop.",
            formula="fills / hours",
            records=("filled", "run_started", "shutdown"),
            of=lambda m: (m.figures.trades.trades_per_hour, None),
        ),
        Figure(
            key="fills_per_order",
            group=group,
            label="fills an order",
            unit="",
            form=".4f",
            definition="Fills over places and amends sent; an order filled in parts has several.",
            formula="fills / (places + amends)",
            records=("filled", "approved"),
            of=lambda m: (m.figures.rates.fills_per_order, None),
        ),
        Figure(
            key="filled_size_share",
            group=group,
            label="size filled",
            unit="",
            form=".2%",
            definition="Size filled over size offered: that of all places, and what amends added to theirs.",
            formula="sum of fills' lots / (sum of places' lots + sum of what amends added)",
            records=("filled", "approved", "amended"),
            of=lambda m: (m.figures.rates.filled_size_share, None),
        ),
        Figure(
            key="spread_captured",
            group=group,
            label="spread captured",
            unit="bps",
            form="+.3f",
            definition="Mean half-spread of a fill: how much better than the mid it was when the core booked it, not "
            "weighted by size, with its standard error. Negative: the market had already moved through our price. A "
            "fill "
            "that only a snapshot told of is left out.",
            formula="mean over fills of 10,000 * side * (mid - price) / price",
            records=(*_MARKET, "filled"),
            of=lambda m: (m.figures.trades.spread_captured_bps, m.figures.trades.spread_captured_se_bps),
        ),
        Figure(
            key="win_rate",
            group=group,
            label="won after 10 s",
            unit="",
            form=".1%",
            definition="Share of fills whose markout after 10 s is above zero, of those whose mid then is known.",
            formula="fills with markout(10 s) > 0 / fills with a markout(10 s)",
            records=(*_MARKET, "filled"),
            of=lambda m: (m.figures.trades.win_rate, None),
        ),
    ]


def _markouts() -> "list[Figure]":
    rows = []
    for horizon_ns in DEFAULT_HORIZONS_NS:
        seconds = horizon_ns // 1_000_000_000
        for side, word in (("bid", "our buys"), ("ask", "our sells")):

            def markout(m: RunMarket, side: str = side, seconds: int = seconds) -> Told:
                (one,) = [f for f in m.figures.trades.markouts if (f.side, f.horizon_s) == (side, seconds)]
                return one.markout_bps, one.markout_se_bps

            def adverse(m: RunMarket, side: str = side, seconds: int = seconds) -> Told:
                (one,) = [f for f in m.figures.trades.markouts if (f.side, f.horizon_s) == (side, seconds)]
                return one.adverse_bps, one.adverse_se_bps

            rows.append(
                Figure(
                    key=f"markout_{seconds}s_{side}",
                    group="Markouts",
                    label=f"markout {seconds} s, {side}",
                    unit="bps",
                    form="+.3f",
                    definition=f"What {word} were worth {seconds} s later: mean markout with its standard error, not "
                    "weighted by size. Positive: they earned. The mid is the last trusted one at or before that "
                    "instant; a fill is dated by when we learned of it.",
                    formula=f"mean over fills of 10,000 * side * (mid {seconds} s later - price) / price",
                    records=(*_MARKET, "filled"),
                    of=markout,
                )
            )
            if seconds == 10:
                rows.append(
                    Figure(
                        key=f"adverse_{seconds}s_{side}",
                        group="Markouts",
                        label=f"adverse {seconds} s, {side}",
                        unit="bps",
                        form="+.3f",
                        definition=f"How far the mid went against {word} within {seconds} s: half-spread less markout. "
                        "Positive: it cost.",
                        formula=f"mean over fills of 10,000 * side * (mid at the fill - mid {seconds} s later) / price",
                        records=(*_MARKET, "filled"),
                        of=adverse,
                    )
                )
    return rows


def _inventory() -> "list[Figure]":
    group = "Inventory"

    def held(name: str) -> Callable[[RunMarket], Told]:
        return lambda m: (None if m.figures.inventory is None else getattr(m.figures.inventory, name), None)

    records = ("filled", "reconciled", "run_started", "shutdown")
    return [
        Figure(
            key="position",
            group=group,
            label="final position",
            unit="base",
            form="+f",
            definition="Position at the end, base units (contracts where a contract is not one unit).",
            formula="starting position + sum of side * size",
            records=records,
            of=lambda m: (m.figures.position, None),
        ),
        Figure(
            key="max_abs_position",
            group=group,
            label="largest |position|",
            unit="base",
            form="f",
            definition="Largest position after a fill, either way.",
            formula="max of |position|",
            records=records,
            of=lambda m: (m.figures.max_abs_position, None),
        ),
        Figure(
            key="mean_abs_position",
            group=group,
            label="mean |position|",
            unit="base",
            form=".6g",
            definition="Mean of the position's size, weighted by the time it was held.",
            formula="integral of |position| dt / time",
            records=records,
            of=held("mean_abs"),
        ),
        Figure(
            key="rms_position",
            group=group,
            label="rms position",
            unit="base",
            form=".6g",
            definition="Root of the mean squared position, weighted by time: what the risk goes by.",
            formula="sqrt(integral of position² dt / time)",
            records=records,
            of=held("rms"),
        ),
        Figure(
            key="time_at_limit",
            group=group,
            label="time at the limit",
            unit="",
            form=".2%",
            definition="Share of time at or beyond the larger of the two position limits.",
            formula="time with |position| >= limit / time",
            records=records,
            of=held("time_at_limit"),
        ),
        Figure(
            key="mean_holding",
            group=group,
            label="mean holding time",
            unit="s",
            form=",.2f",
            definition="Mean time a unit is held, by Little's law.",
            formula="integral of |position| dt / size closed",
            records=records,
            of=held("mean_holding_s"),
        ),
    ]


def _quoting() -> "list[Figure]":
    group = "Quoting"
    quoted = (
        ("quote_uptime", "quoted both sides", "a live quote of ours on both sides"),
        ("bid_uptime", "quoted bid", "a live bid of ours"),
        ("ask_uptime", "quoted ask", "a live ask of ours"),
    )
    return [
        *(
            Figure(
                key=key,
                group=group,
                label=label,
                unit="",
                form=".2%",
                definition=f"Share of time, start to stop, with {what} known to rest at the venue.",
                formula="time from an order's acceptance to its end / time",
                records=_ORDERS,
                of=lambda m, key=key: (getattr(m.figures, key), None),  # type: ignore[misc]
            )
            for key, label, what in quoted
        ),
        Figure(
            key="locked_share",
            group=group,
            label="locked out",
            unit="",
            form=".2%",
            definition="Share of time in which a lockout kept our hands off a side (its decision was HOLD by a "
            "lockout), mean of both sides. A quote may rest meanwhile.",
            formula="time from a `decisions` record to the next, where the inner level's action is HOLD and its first "
            "reason a lockout / time",
            records=("decisions",),
            of=lambda m: (m.locked_share, None),
        ),
        Figure(
            key="pulled_share",
            group=group,
            label="pulled",
            unit="",
            form=".2%",
            definition="Share of time in which a side was withdrawn, mean of both sides.",
            formula="time from a `decisions` record to the next, where the inner level's action is WITHDRAW / time",
            records=("decisions",),
            of=lambda m: (m.pulled_share, None),
        ),
        Figure(
            key="decisions",
            group=group,
            label="decisions",
            unit="",
            form=",d",
            definition="Decisions that changed an action, a reason or a target.",
            formula="number of records",
            records=("decisions",),
            of=lambda m: (m.figures.decisions, None),
        ),
    ]


def _orders() -> "list[Figure]":
    group = "Orders"
    counts = (
        ("orders_placed", "placed", "Places that left for the venue.", ("approved",)),
        ("orders_amended", "amended", "Amends the venue confirmed.", ("amended",)),
        ("orders_canceled", "canceled", "Orders the venue reported as cancelled.", ("canceled",)),
        ("orders_rejected", "rejected", "Places and amends the venue refused.", ("rejected", "amend_rejected")),
    )
    lives = (
        ("ack_ms", "place to ack", "ms", ".1f", "From the release of a place to its acceptance heard", "accepted"),
        ("amend_ms", "amend to ack", "ms", ".1f", "From the release of an amend to its confirmation heard", "amended"),
        (
            "cancel_ms",
            "cancel to end",
            "ms",
            ".1f",
            "From the release of a cancel to the cancellation heard",
            "canceled",
        ),
        ("life_s", "order life", "s", ",.3f", "From the release of a place to the end of its order heard", "canceled"),
        (
            "queue_ahead",
            "queue ahead",
            "base",
            ".4g",
            "Size displayed at our price when an acceptance or amend is heard",
            "accepted",
        ),
    )

    def median(name: str) -> Callable[[RunMarket], Told]:
        def of(m: RunMarket) -> Told:
            found: Quantiles = getattr(m.orders, name)
            return found.p50, None

        return of

    return [
        *(
            Figure(
                key=key,
                group=group,
                label=label,
                unit="",
                form=",d",
                definition=definition,
                formula="number of records",
                records=records,
                of=lambda m, key=key: (getattr(m.figures, key), None),  # type: ignore[misc]
            )
            for key, label, definition, records in counts
        ),
        *(
            Figure(
                key=f"{name}_p50",
                group=group,
                label=f"{label}, median",
                unit=unit,
                form=form,
                definition=f"{definition}: median by nearest rank. Instants are those of our own clock.",
                formula="time of the event - time of the turn that released the command"
                if unit != "base"
                else "size of the level in the book of the daemon",
                records=("approved", "decided", record) if unit != "base" else (*_MARKET, "accepted", "amended"),
                of=median(name),
            )
            for name, label, unit, form, definition, record in lives
        ),
    ]


def _market() -> "list[Figure]":
    group = "The market"
    records = (*_MARKET, "trade")
    return [
        Figure(
            key="intensity_A",
            group=group,
            label="A",
            unit="1/s",
            form=".4g",
            definition="Taker orders as large as ours that would reach a distance of zero, per second and side, by the "
            "exponential law through the distances they did reach; maximum likelihood (MODELS 6.4).",
            formula="N / integral of exp(-k c(t)) dt, c the distance where our quotes begin",
            records=records,
            of=lambda m: (m.intensity.A, m.intensity.A_error),
        ),
        Figure(
            key="intensity_k",
            group=group,
            label="k",
            unit="1/bps",
            form=".4g",
            definition="How fast taker orders become rarer with distance.",
            formula="1 / mean(distance reached - c), on the grid of prices",
            records=records,
            of=lambda m: (m.intensity.k, m.intensity.k_error),
        ),
    ]


FIGURES: tuple[Figure, ...] = tuple(_fields())
