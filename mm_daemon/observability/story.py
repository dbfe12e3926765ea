"""Records of a journal as sentences, prices and sizes in the market's own units: what `logs` prints.

Only what a person wants to read of a past day: orders and decisions where they are asked for; fills, refusals,
differences, links, operators and the beginnings and ends of runs always.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from mm_daemon.domain.codec import Record
from mm_daemon.domain.decisions import (
    AmendOrder,
    ApprovedCommand,
    CancelAll,
    CancelOrder,
    Command,
    DecisionsChanged,
    DroppedCommand,
    PlaceOrder,
    Refusal,
)
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    CoreFailed,
    FundingPaid,
    LoopLagged,
    OperatorRequest,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderResolved,
    ParametersChanged,
    PositionAdopted,
    RateLimited,
    RunEnded,
    RunStarted,
    ShutdownRequested,
    VenueConnected,
    VenueDisconnected,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.domain.money import from_pair, to_decimal
from mm_daemon.domain.orders import Side
from mm_daemon.domain.reconciliation import Reconciled
from mm_daemon.observability.words import WORDS, difference, in_words

Contracts = Mapping[InstrumentId, Instrument]


class Kind(StrEnum):
    FILLS = "fills"
    ORDERS = "orders"
    DECISIONS = "decisions"
    TROUBLE = "trouble"
    RUNS = "runs"


class Sentence(NamedTuple):
    kind: Kind
    subject: str
    """Market or venue; empty for the daemon itself."""
    text: str


def sentence(record: Record, contracts: Contracts) -> Sentence | None:
    """None for a record that is for programs only, or of a market whose contract is not known."""
    market = getattr(record, "instrument", None)
    contract = contracts.get(market) if market is not None else None
    if contract is not None:
        return _of_market(record, contract)
    if isinstance(record, ApprovedCommand):
        return _command(record.command, contracts)
    if isinstance(record, Refusal):
        told = _command(record.intent, contracts)
        bounds = "" if record.limit is None else f": {record.value} against a limit of {record.limit}"
        why = f"refused by the gate, {record.code.value}{bounds}"
        return None if told is None else Sentence(Kind.TROUBLE, told.subject, f"{told.text}: {why}")
    if isinstance(record, DroppedCommand):
        told = _command(record.command, contracts)
        return (
            None if told is None else Sentence(Kind.ORDERS, told.subject, f"{told.text}: dropped, {record.code.value}")
        )
    return _of_venue(record) or _of_run(record)


def _of_market(record: Record, contract: Instrument) -> Sentence | None:
    name = contract.id
    if isinstance(record, OrderFilled):
        fee = "" if record.fee is None else f", fee {to_decimal(from_pair(record.fee)):f}"
        if record.charged is not None:
            fee += f" ({record.charged} at {to_decimal(from_pair(record.charged.price)):f})"
        verb = "bought" if record.side is Side.BUY else "sold"
        size, price = contract.size(record.lots), contract.price(record.ticks)
        text = f"{verb} {size} at {price} as {'maker' if record.maker else 'taker'}{fee} (order {record.client_id})"
        return Sentence(Kind.FILLS, name, text)
    if isinstance(record, DecisionsChanged):
        slots = [f"{each.side.word} {in_words(each, {})}{_at(contract, each.target)}" for each in record.decisions]
        return Sentence(Kind.DECISIONS, name, " | ".join(slots))
    if isinstance(record, FundingPaid):
        amount = to_decimal(from_pair(record.amount))
        return Sentence(Kind.FILLS, name, f"funding {'received' if amount >= 0 else 'paid'}: {abs(amount):f}")
    if isinstance(record, OrderRejected | OrderAmendRejected | OrderCancelRejected):
        what = {OrderRejected: "place", OrderAmendRejected: "move", OrderCancelRejected: "cancel"}[type(record)]
        said = f": {record.text}" if record.text else ""
        return Sentence(Kind.TROUBLE, name, f"venue refused to {what} {record.client_id}, {record.kind.value}{said}")
    if isinstance(record, CommandOutcomeUnknown):
        text = f"outcome of {record.operation.value} {record.client_id} is unknown: {record.text or 'no answer'}"
        return Sentence(Kind.TROUBLE, name, text)
    if isinstance(record, PositionAdopted):
        return Sentence(Kind.RUNS, name, f"the venue's position is right, says {record.who}")
    if isinstance(record, OperatorRequest):
        return Sentence(Kind.RUNS, name, f"{record.action.value.replace('_', '-')} asked by {record.who}")
    return _of_order(record, contract)


def _of_order(record: Record, contract: Instrument) -> Sentence | None:
    text = ""
    if isinstance(record, OrderAccepted):
        text = f"{record.client_id} accepted as {record.venue_order_id}"
    elif isinstance(record, OrderAmended):
        text = f"{record.client_id} is now {contract.size(record.lots)} at {contract.price(record.ticks)}"
    elif isinstance(record, OrderCanceled):
        text = f"{record.client_id} cancelled"
    elif isinstance(record, OrderExpired):
        text = f"{record.client_id} expired"
    return Sentence(Kind.ORDERS, contract.id, text) if text else None


def _command(command: Command, contracts: Contracts) -> Sentence | None:
    why = ", ".join(WORDS[reason] for reason in command.reasons)
    if isinstance(command, CancelAll):
        return Sentence(Kind.ORDERS, command.venue, f"cancel all ({why})")
    contract = contracts.get(command.instrument)
    if contract is None:
        return None
    if isinstance(command, PlaceOrder):
        size, price = contract.size(command.lots), contract.price(command.ticks)
        text = f"place {command.client_id}: {command.side.word} {size} at {price} ({why})"
    elif isinstance(command, AmendOrder):
        size, price = contract.size(command.lots), contract.price(command.ticks)
        text = f"move {command.client_id} to {size} at {price} ({why})"
    else:
        assert isinstance(command, CancelOrder)
        text = f"cancel {command.client_id} ({why})"
    return Sentence(Kind.ORDERS, contract.id, text)


def _of_venue(record: Record) -> Sentence | None:
    if isinstance(record, VenueConnected):
        return Sentence(Kind.RUNS, record.venue, "connected")
    if isinstance(record, VenueDisconnected):
        return Sentence(Kind.TROUBLE, record.venue, f"disconnected: {record.cause or 'no cause given'}")
    if isinstance(record, RateLimited):
        wait = "" if record.retry_after_ms is None else f" for {record.retry_after_ms} ms"
        return Sentence(Kind.TROUBLE, record.venue, f"{'banned' if record.banned else 'asked to slow down'}{wait}")
    if isinstance(record, Reconciled) and record.diffs:
        said = ", ".join(map(difference, record.diffs))
        return Sentence(Kind.TROUBLE, record.venue, f"account differs: {said}{': settled' if record.clean else ''}")
    return None


def _of_run(record: Record) -> Sentence | None:
    if isinstance(record, RunStarted):
        what = "a first run" if record.resumed is None else "continues the run before"
        return Sentence(Kind.RUNS, "", f"mm-daemon {record.version} starts: {what}")
    if isinstance(record, RunEnded):
        return Sentence(Kind.RUNS, "", f"ended ({record.reason}){'' if record.clean else ', orders may still be open'}")
    if isinstance(record, ShutdownRequested):
        return Sentence(Kind.RUNS, "", f"stopping: {record.reason}")
    if isinstance(record, OperatorRequest):
        return Sentence(Kind.RUNS, "", f"{record.action.value.replace('_', '-')} asked by {record.who}")
    if isinstance(record, ParametersChanged):
        return Sentence(Kind.RUNS, "", f"other parameters from here on, asked by {record.who}")
    if isinstance(record, OrderResolved):
        return Sentence(Kind.RUNS, "", f"order {record.client_id} is {record.outcome.value}, says {record.who}")
    if isinstance(record, CoreFailed):
        return Sentence(Kind.TROUBLE, "", f"the core has failed: {record.text}")
    if isinstance(record, LoopLagged):
        return Sentence(Kind.TROUBLE, "", "this process did not get to run: quotes were pulled")
    return None


def _at(contract: Instrument, target: object) -> str:
    ticks, lots = getattr(target, "ticks", None), getattr(target, "lots", None)
    return "" if ticks is None or lots is None else f", {contract.size(lots)} at {contract.price(ticks)}"
