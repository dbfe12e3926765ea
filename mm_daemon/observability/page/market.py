"""One market, in pieces: book and quotes, position, P&L, the standing decision and its numbers, orders, fills."""

from collections.abc import Iterator, Mapping
from html import escape
from math import isfinite

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.domain.orders import Side
from mm_daemon.observability.logs import utc_text
from mm_daemon.observability.page.figures import duration, value
from mm_daemon.observability.page.marks import (
    Fragments,
    Marks,
    amount,
    bps,
    events,
    low,
    minus,
    pair,
    position_bar,
    shape,
    signed_size,
    table,
)
from mm_daemon.observability.page.sentences import Headline, Situation, numbers_sentences, reason_sentence
from mm_daemon.observability.page.trail import Trail, drawn
from mm_daemon.observability.recent import Recent
from mm_daemon.observability.status import MarketStatus, Surroundings
from mm_daemon.observability.trade_statistics import WIN_HORIZON_NS

_NS_PER_S = 1_000_000_000
_WIN_S = WIN_HORIZON_NS // _NS_PER_S
_SHARPE_FROM_S = 3600
"""What fewer seconds say of a year is not worth reading."""
_LEVELS_SHOWN = 8
_FILLS_SHOWN = 12
_ORDERS_SHOWN = 20
_PHASES = {
    "queued": "waiting to be sent",
    "sent": "sent, no answer yet",
    "unknown": "outcome unknown",
    "closing": "ending",
}
_ACTIONS = {"quote": "quote", "hold": "keep", "withdraw": "none"}


def market_fragments(
    at: Situation, said: Headline, around: Surroundings, recent: Recent, trail: Trail, marks: Marks
) -> Iterator[Fragments]:
    """Everything about one market, piece by piece: between two of them the core may have its turn."""
    status, own = at.status, at.records.markets[at.market.id]
    yield {
        "headline": f'<p class="headline {said.tone}">{shape(said.tone)} {escape(said.text)}</p>',
        "spoken": escape(said.spoken),
    }
    yield {"book": _book(at)}
    for text in drawn(trail, at.market, own.fills, at.now_ns):
        yield {"trail": text} if text else {}
    yield {
        "position": _position(status, marks.mark(own.booked)),
        "pnl": _pnl(status, marks.mark(own.booked)),
        "quality": _quality(at),
    }
    yield {"decision": _decision(at, marks), "lockouts": _lockouts(at, marks)}
    yield {"orders": _orders(at, around, marks), "fills": _fills(at, marks)}
    yield {"events": events(recent.about(status.symbol, status.venue, ""), marks)}


def _book(at: Situation) -> str:
    market, contract, book = at.market, at.market.instrument, at.market.book
    status = at.status.book
    if not book.trusted:
        return f'<p class="none warn">No trusted book: {escape(str(status.trouble or "lost just now"))}.</p>'
    ours: dict[tuple[Side, int], int] = {}
    for side, orders in market.quotes.items():
        for order in orders:
            if not order.final:
                ours[side, order.ticks] = ours.get((side, order.ticks), 0) + order.remaining_lots
    shown = {side: _with_ours(side, book.levels(side, _LEVELS_SHOWN), ours) for side in (Side.SELL, Side.BUY)}
    most = max((lots for rows in shown.values() for _, lots in rows), default=1) or 1

    def row(side: Side, ticks: int, lots: int) -> str:
        own = ours.get((side, ticks))
        mark = "" if own is None else f'<b class="ours">{contract.size(own):f}</b>'
        return (
            f'<tr class="{side.word}{"" if own is None else " mine"}"><td>{mark}</td>'
            f'<td class="price">{contract.price(ticks):f}</td><td>{contract.size(lots):f}</td>'
            f'<td class="depth"><svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="part" width="{lots / most * 100:.1f}" height="6"/></svg></td></tr>'
        )

    spread = "" if status.spread_bps is None else f"spread {status.spread_bps:.2f} bps"
    age = "" if status.age_ms is None else f" · {duration(status.age_ms / 1000)} old"
    asks = "".join(row(Side.SELL, *level) for level in reversed(shown[Side.SELL]))
    bids = "".join(row(Side.BUY, *level) for level in shown[Side.BUY])
    heads = ("ours", "price", "size", '<span class="unseen">depth</span>')
    between = f'<tr class="spread"><td colspan="4">{spread}{age}</td></tr>'
    return table("ladder", "Best levels of the book, asks above bids", heads, f"{asks}{between}{bids}")


def _with_ours(
    side: Side, levels: list[tuple[int, int]], ours: Mapping[tuple[Side, int], int]
) -> list[tuple[int, int]]:
    """The best levels and those of our quotes, best first; where a quote is not in the book yet, its size is zero."""
    rows = dict(levels)
    for own_side, ticks in ours:
        if own_side is side:
            rows.setdefault(ticks, 0)
    return sorted(rows.items(), reverse=side is Side.BUY)


def _position(status: MarketStatus, mark: str) -> str:
    rows = [
        pair("Limits", f"{minus(status.min_position)} to {minus(status.max_position)} {escape(status.base)}"),
        pair("If all orders filled", f"{minus(status.worst_short)} to {minus(status.worst_long)}"),
    ]
    if status.average_price is not None:
        rows.append(pair("Average price", value(status.average_price)))
    if status.inventory is not None:
        rows.append(
            pair(
                "Mean size",
                f"{status.inventory.mean_abs:.3g}, at a limit {status.inventory.time_at_limit:.0%} of the time",
            )
        )
    if status.guard is not None and status.guard.age_s is not None:
        rows.append(pair("Held for", duration(status.guard.age_s)))
    return (
        f'<p class="big">{signed_size(status.position)} <small>{escape(status.base)}</small> {mark}</p>'
        f"{position_bar(status, wide=True)}<dl>{''.join(rows)}</dl>"
    )


def _pnl(status: MarketStatus, mark: str) -> str:
    pnl = status.pnl
    parts = "".join(
        f'<tr><th scope="row">{name}</th><td>{amount(part, 4)}</td></tr>'
        for name, part in (
            ("spread captured", pnl.spread),
            ("inventory", pnl.inventory),
            ("fees", pnl.fees),
            ("funding", pnl.funding),
        )
    )
    return (
        f'<p class="big">{amount(pnl.total, 4)} <small>{escape(status.currency)}</small> {mark}</p>'
        f"{table('parts', 'What the P&amp;L is made of', (), parts)}"
    )


def _quality(at: Situation) -> str:
    status = at.status
    trades = status.trades
    rate = "–" if trades.trades_per_hour is None else f"{trades.trades_per_hour:.0f} an hour"
    rows = [
        pair("Both sides", f"quoted {status.uptime:.1%} of the time"),
        pair("Fills", f"{status.fills} ({status.maker_fills} as maker), {rate}"),
        pair("Fills an order", "–" if status.fills_per_order is None else f"{status.fills_per_order:.3f}"),
        pair("Spread captured", f"{bps(trades.spread_captured_bps)} a fill"),
        pair("Decisions", str(status.decisions)),
    ]
    for horizon_s in dict.fromkeys(figure.horizon_s for figure in trades.markouts):
        said = " · ".join(
            f"{figure.side} {bps(figure.markout_bps)}" for figure in trades.markouts if figure.horizon_s == horizon_s
        )
        rows.append(pair(f"Markout, {horizon_s} s", said))
    if trades.win_rate is not None:
        rows.append(pair("Fills that won", f"{trades.win_rate:.0%}, by the mid {_WIN_S} s later"))
    equity = status.equity
    rows.append(pair("Largest fall", f"{equity.max_drawdown:.2f} {escape(status.currency)} from the best so far"))
    long_enough = equity.samples * equity.interval_s >= _SHARPE_FROM_S
    if long_enough and equity.sharpe_annual is not None and equity.sharpe_annual_se is not None:
        rows.append(pair("Sharpe, a year", f"{equity.sharpe_annual:.1f} ± {equity.sharpe_annual_se:.1f}"))
    limits, budget = at.market.facts.limits, at.core.gate.budget
    if limits.actions_per_minute is not None:
        used = budget.actions(at.market.id, at.now_ns)
        tone = low(1 - used / limits.actions_per_minute)
        rows.append(pair("Action budget", f"{used} of {limits.actions_per_minute} used in the last minute", tone))
    if limits.max_order_to_trade is not None:
        ratio = budget.order_to_trade(at.market.id, at.now_ns)
        said = f"{ratio:.1f} of {limits.max_order_to_trade:g} allowed in an hour"
        rows.append(pair("Messages a fill", said, low(1 - ratio / limits.max_order_to_trade)))
    return f"<dl>{''.join(rows)}</dl>"


def _decision(at: Situation, marks: Marks) -> str:
    decided = at.records.markets[at.market.id].decided
    market, contract = at.market, at.market.instrument
    if decided is None or not market.decisions:
        return '<p class="none">Nothing has been decided yet.</p>'
    rows = []
    for decision in market.decisions:
        target = decision.target
        aim = "" if target is None else f" {contract.size(target.lots):f} at {contract.price(target.ticks):f}"
        level = "" if market.levels == 1 else f" {decision.level + 1}"
        reasons = "; ".join(dict.fromkeys(reason_sentence(at, decision.side, reason) for reason in decision.reasons))
        rows.append(
            f'<tr><th scope="row">{decision.side.word}{level}</th><td class="action {decision.action.lower()}">'
            f"{_ACTIONS[decision.action.lower()]}{aim}</td><td>{escape(reasons)}"
            f" <code>{', '.join(decision.reasons)}</code></td></tr>"
        )
    age = duration(max(0, at.now_ns - decided.changed.now_ns) / _NS_PER_S)
    numbers = "".join(f"<li>{escape(text)}</li>" for text in numbers_sentences(contract, decided.changed.inputs))
    standing = table("decision", "The standing decision of each quote", (), "".join(rows))
    return (
        f'{standing}<p class="since">Stands since {age} ago {marks.mark(decided.record)}, made of:</p>'
        f'<ul class="numbers">{numbers}</ul>'
    )


def _lockouts(at: Situation, marks: Marks) -> str:
    own = at.records.markets[at.market.id]
    rows = []
    for side in (at.status.bid, at.status.ask):
        for lockout in side.lockouts:
            rows.append(
                (
                    side.side,
                    reason_sentence(at, Side.BUY if side.side == "bid" else Side.SELL, lockout.reason),
                    lockout.reason,
                    "",
                )
            )
    halted = {*at.status.halts}
    for reason in at.status.halts:
        mark = marks.mark(own.paused_by.record) if own.paused_by is not None and reason == "operator_paused" else ""
        rows.append(("both", reason_sentence(at, Side.BUY, reason), reason, mark))
    for reason, source in at.status.held:
        if reason not in halted:
            rows.append(
                ("both", f"{reason_sentence(at, Side.BUY, reason)} ({source}), until it is cleared", reason, "")
            )
    if not rows:
        return '<p class="none">None: nothing keeps a side from being quoted or moved.</p>'
    items = "".join(
        f"<li><b>{side}</b> {escape(text)} <code>{escape(reason)}</code> {mark}</li>"
        for side, text, reason, mark in rows
    )
    return f'<ul class="lockouts">{items}</ul>'


def _orders(at: Situation, around: Surroundings, marks: Marks) -> str:
    contract, known = at.market.instrument, at.records.markets[at.market.id].orders
    fronts = around.fronts.get(contract.venue, {})
    alive = sorted(at.core.ledger.alive(at.market.id), key=lambda order: (order.side, -order.ticks * order.side))
    if not alive:
        return '<p class="none">No order of ours may be alive.</p>'

    def row(order: LedgerOrder) -> str:
        front = fronts.get(order.client_id)
        queue = "–" if front is None or not isfinite(front) else f"{contract.size(round(front)):f}"
        age = duration(max(0, at.now_ns - order.since_ns) / _NS_PER_S)
        return (
            f'<tr class="{order.side.word}"><th scope="row">{order.side.word}</th>'
            f"<td>{contract.price(order.ticks):f}</td><td>{contract.size(order.remaining_lots):f}</td><td>{age}</td>"
            f"<td>{queue}</td><td>{_state(order)}</td><td>{marks.mark(known.get(order.client_id))}</td>"
            f"<td>{order.client_id}</td></tr>"
        )

    rows = "".join(row(order) for order in alive[:_ORDERS_SHOWN])
    more = f'<p class="none">and {len(alive) - _ORDERS_SHOWN} more</p>' if len(alive) > _ORDERS_SHOWN else ""
    heads = ("side", "price", "left", "age", "ahead", "state", "record", "order")
    shown = table("list", "Orders of ours that may be alive", heads, rows)
    return f'<div class="scroll" tabindex="0" role="group" aria-label="Orders">{shown}</div>{more}'


def _state(order: LedgerOrder) -> str:
    """As a person would say it."""
    phase = order.phase.lower()
    said = [] if phase == "live" else [_PHASES.get(phase, phase)]
    if order.purpose != "quote":
        said.insert(0, order.purpose.value)
    said += [
        f"{what} {flight}" for what, flight in (("move", order.amend), ("cancel", order.cancel)) if flight != "none"
    ]
    return escape(", ".join(said) or "live")


def _fills(at: Situation, marks: Marks) -> str:
    contract = at.market.instrument
    fills = list(at.records.markets[at.market.id].fills)[: -_FILLS_SHOWN - 1 : -1]
    if not fills:
        return '<p class="none">None in this run yet.</p>'
    rows = "".join(
        f'<tr class="{fill.event.side.word}"><td><time>{utc_text(fill.event.ts_local_ns)[11:19]}</time></td>'
        f"<td>{'bought' if fill.event.side is Side.BUY else 'sold'}</td><td>{contract.size(fill.event.lots):f}</td>"
        f"<td>{contract.price(fill.event.ticks):f}</td><td>{'maker' if fill.event.maker else 'taker'}</td>"
        f"<td>{marks.mark(fill.record)}</td></tr>"
        for fill in fills
    )
    return table("list", "Latest fills, the newest first", ("UTC", "side", "size", "price", "as", "record"), rows)
