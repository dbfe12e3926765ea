"""What was done, as tables for other programs: fills, orders, decisions, P&L after each booking, days.

One line a fact, times in UTC to the microsecond, numbers exact decimals in the market's own units; an empty cell is a
fact that was not told. `run` and `record` say where it stands in a journal, for `journal show`.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from importlib.util import find_spec
from typing import BinaryIO, NamedTuple, TextIO

import msgspec

from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, DecisionsChanged, PlaceOrder
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderExpired,
    OrderFilled,
    OrderRejected,
)
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.money import from_pair, to_decimal
from mm_daemon.domain.orders import Side
from mm_daemon.journal.history import Booked, Day, History, Trade, days, utc
from mm_daemon.journal.kept import Kept, KeptRuns

Cell = str | int | float | Decimal | None
Row = Sequence[Cell]
Choice = Callable[[int, str, str], bool]
"""Whether a row of this time (ns), venue and symbol is wanted."""


class Table(NamedTuple):
    columns: tuple[str, ...]
    rows: Callable[[KeptRuns, Choice], Iterable[Row]]


def _fills(runs: KeptRuns, wanted: Choice) -> Iterator[Row]:
    for trade in History(runs):
        if isinstance(trade, Trade) and wanted(trade.time_ns, trade.contract.venue, trade.contract.symbol):
            yield (
                *(utc(trade.time_ns), trade.contract.venue, trade.contract.symbol, _verb(trade.side)),
                *(trade.price, trade.size, trade.value, trade.currency, trade.fee),
                *("maker" if trade.maker else "taker", trade.client_id, trade.order_id, trade.trade_id, trade.run),
                *((None, None) if trade.charged is None else (trade.charged.size, trade.charged.currency)),
            )


def _pnl(runs: KeptRuns, wanted: Choice) -> Iterator[Row]:
    for booked in History(runs):
        if isinstance(booked, Booked) and wanted(booked.time_ns, booked.contract.venue, booked.contract.symbol):
            state, contract = booked.state, booked.contract
            parts = [from_pair(part) for part in (state.spread, state.inventory, state.fees, state.funding)]
            yield (
                *(utc(booked.time_ns), contract.venue, contract.symbol, contract.size(state.lots)),
                *(to_decimal(part) for part in (sum(parts), *parts, from_pair(state.cash))),
                *(contract.base if contract.inverse else contract.quote, booked.run),
            )


def _days(runs: KeptRuns, wanted: Choice) -> Iterator[Row]:
    entries = (
        entry
        for entry in History(runs)
        if not isinstance(entry, Trade | Booked) or wanted(entry.time_ns, entry.contract.venue, entry.contract.symbol)
    )
    for day in days(entries):
        yield tuple(getattr(day, name) for name in Day.__struct_fields__)


def _decisions(runs: KeptRuns, wanted: Choice) -> Iterator[Row]:
    for kept in runs:
        changed = kept.record
        contract = kept.contracts.get(changed.instrument) if isinstance(changed, DecisionsChanged) else None
        if not isinstance(changed, DecisionsChanged) or contract is None:
            continue
        if not wanted(changed.now_ns, contract.venue, contract.symbol):
            continue
        inputs = changed.inputs
        for decision in changed.decisions:
            target = decision.target
            yield (
                *(utc(changed.now_ns), contract.venue, contract.symbol, decision.side.word, decision.level),
                *(decision.action.value, " ".join(decision.reasons)),
                *((None, None) if target is None else (contract.price(target.ticks), contract.size(target.lots))),
                *(_price(contract, ticks) for ticks in (inputs.mid_ticks, inputs.fair_ticks, inputs.reservation_ticks)),
                *(inputs.half_spread_bps, inputs.skew_bps, inputs.shift_bps, inputs.sigma_bps),
                *(contract.size(inputs.position_lots), kept.run, kept.seq),
            )


class _Known(NamedTuple):
    side: Side
    ticks: int
    lots: int


def _orders(runs: KeptRuns, wanted: Choice) -> Iterator[Row]:
    """What was asked and what was answered, each as it was released or heard."""
    known: dict[int, _Known] = {}
    for kept in runs:
        told = _order_fact(kept, known)
        if told is None:
            continue
        contract, what, client_id, venue_id, text = told
        if not wanted(kept.time_ns, contract.venue, contract.symbol):
            continue
        order = known.get(client_id)
        fill = kept.record if isinstance(kept.record, OrderFilled) else None
        side, ticks, lots = (None, None, None) if order is None else order
        if fill is not None:
            side, ticks, lots = fill.side, fill.ticks, fill.lots
        yield (
            *(utc(kept.time_ns), contract.venue, contract.symbol, what, client_id, venue_id),
            None if side is None else _verb(side),
            None if ticks is None else contract.price(ticks),
            None if lots is None else contract.size(lots),
            *(text, kept.run, kept.seq),
        )


_HEARD: Mapping[type, str] = {
    OrderAccepted: "accepted",
    OrderRejected: "rejected",
    OrderAmended: "amended",
    OrderAmendRejected: "amend rejected",
    OrderFilled: "filled",
    OrderCanceled: "cancelled",
    OrderCancelRejected: "cancel rejected",
    OrderExpired: "expired",
    CommandOutcomeUnknown: "outcome unknown",
}


def _order_fact(kept: Kept, known: dict[int, _Known]) -> tuple[Instrument, str, int, str | None, str] | None:
    """Contract, what, client id, the venue's id, and why. `known` follows price and size."""
    record: object = kept.record
    what, text = _HEARD.get(type(record)), ""
    if isinstance(record, ApprovedCommand):
        record = record.command
        text = " ".join(record.reasons)
        if isinstance(record, PlaceOrder):
            what, known[record.client_id] = "place", _Known(record.side, record.ticks, record.lots)
        elif isinstance(record, AmendOrder):
            what = "amend"
            if record.client_id in known:
                known[record.client_id] = _Known(known[record.client_id].side, record.ticks, record.lots)
        elif isinstance(record, CancelOrder):
            what = "cancel"
    contract = kept.contracts.get(getattr(record, "instrument", None))  # type: ignore[arg-type]
    if what is None or contract is None:
        return None
    if isinstance(record, OrderRejected | OrderAmendRejected | OrderCancelRejected):
        text = f"{record.kind.value} {record.text}".strip()
    elif isinstance(record, CommandOutcomeUnknown):
        text = f"{record.operation.value} {record.text}".strip()
    elif isinstance(record, OrderAmended) and record.client_id in known:
        known[record.client_id] = _Known(known[record.client_id].side, record.ticks, record.lots)
    return contract, what, getattr(record, "client_id", 0), getattr(record, "venue_order_id", None), text


def _price(contract: Instrument, ticks: float | None) -> float | None:
    return None if ticks is None else float(f"{ticks * float(contract.tick):.12g}")


def _verb(side: Side) -> str:
    return "buy" if side is Side.BUY else "sell"


TABLES: Mapping[str, Table] = {
    "fills": Table(
        (
            *("time", "venue", "symbol", "side", "price", "size", "value", "currency", "fee", "liquidity", "client_id"),
            *("order_id", "trade_id", "run", "charged", "charged_currency"),
        ),
        _fills,
    ),
    "orders": Table(
        (
            *("time", "venue", "symbol", "event", "client_id", "order_id", "side", "price", "size", "why"),
            *("run", "record"),
        ),
        _orders,
    ),
    "decisions": Table(
        (
            *("time", "venue", "symbol", "side", "level", "action", "reasons", "price", "size", "mid", "fair"),
            *("reservation", "half_spread_bps", "skew_bps", "shift_bps", "sigma_bps", "position", "run", "record"),
        ),
        _decisions,
    ),
    "pnl": Table(
        (
            *("time", "venue", "symbol", "position", "total", "spread", "inventory", "fees", "funding", "cash"),
            *("currency", "run"),
        ),
        _pnl,
    ),
    "days": Table(Day.__struct_fields__, _days),
}
"""By the word that asks for it."""


# Files


def write_csv(table: Table, rows: Iterable[Row], out: TextIO) -> int:
    """How many rows were written."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    count = 0
    for row in rows:
        count += 1
        writer.writerow([_text(cell) for cell in row])
    return count


def write_jsonl(table: Table, rows: Iterable[Row], out: TextIO) -> int:
    """One object a line. Exact numbers are texts, so that no reader makes floats of them."""
    count = 0
    for row in rows:
        count += 1
        shown = {name: _text(cell) for name, cell in zip(table.columns, row, strict=True)}
        out.write(msgspec.json.encode(shown).decode() + "\n")
    return count


def check_parquet() -> None:
    """Before anything is opened: can Parquet be written at all? Raises ConfigError."""
    if find_spec("polars") is None:
        raise ConfigError("Parquet needs polars: pip install 'mm-daemon[research]'")


def write_parquet(table: Table, rows: Iterable[Row], out: BinaryIO) -> int:
    """Exact numbers become floats, which is what programs that read Parquet compute with; CSV keeps them."""
    import polars

    columns: list[list[Cell]] = [[] for _ in table.columns]
    for row in rows:
        for column, cell in zip(columns, row, strict=True):
            column.append(float(cell) if isinstance(cell, Decimal) else cell)
    frame = polars.DataFrame(dict(zip(table.columns, columns, strict=True)), infer_schema_length=None)
    if "time" in frame.columns:
        frame = frame.with_columns(polars.col("time").str.to_datetime(time_zone="UTC", time_unit="us"))
    frame.write_parquet(out)
    return frame.height


def _text(cell: Cell) -> Cell:
    return f"{cell:f}" if isinstance(cell, Decimal) else cell
