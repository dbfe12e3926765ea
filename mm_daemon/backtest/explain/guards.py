"""What watches over a position and a market, as `explain` shows it: each guard that is configured, and what it sees.

The guards are the engine's own, given the state that a person or a running daemon told: when the position was opened,
at what price, and what the day has cost.
"""

from collections.abc import Iterator

import msgspec

from mm_daemon.backtest.explain.explanation import Guard
from mm_daemon.core.parameters import MarketParameters
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.money import ATTO, to_pair
from mm_daemon.domain.signal_states import GuardState
from mm_daemon.engine.inventory import Position
from mm_daemon.engine.position_guard import UNGUARDED, Guarded, guard_of
from mm_daemon.engine.quote_engine import QuoteEngine
from mm_daemon.engine.units import BPS, annual_vol_to_bps

_S = 1_000_000_000
_DAY_NS = 86_400 * _S
_CLOSED = Reason.SESSION_CLOSED.bit
_TOXIC = Reason.TOXIC_FLOW.bit


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a position beside its size. `entry_ticks`: its average price; `age_s`: how long it has not been
    flat; `day_loss`: of this day (UTC), settlement currency, negative for a profit. None: not said.

    `stopped`: its stop-loss has tripped, `day_stopped`: the day's loss has, which both last.
    """

    entry_ticks: float | None = None
    age_s: float | None = None
    day_loss: float | None = None
    stopped: bool = False
    day_stopped: bool = False


def guarded(
    parameters: MarketParameters,
    held: Held,
    book: OrderBook,
    position_lots: int,
    now_ns: int,
    fill: tuple[int, int] | None = None,
) -> Guarded:
    """What the guard of this market says of such a position in a trusted book, or of what is left of it after a `fill`
    of signed lots at ticks.
    """
    limits, contract = parameters.limits, parameters.instrument
    guard = guard_of(
        contract,
        parameters.quoting,
        min_position_lots=limits.min_position_lots,
        max_position_lots=limits.max_position_lots,
    )
    if guard is None:
        return UNGUARDED
    mid = book.half_ticks
    position = Position(contract, position_lots, mid if held.entry_ticks is None else round(2.0 * held.entry_ticks))
    position.mark(mid)
    lost_atto = round((held.day_loss or 0.0) * ATTO)
    since_ns = now_ns - round((held.age_s or 0.0) * _S) if position_lots else None
    began = to_pair(position.total_atto + lost_atto)
    guard.restore(GuardState(since_ns, held.stopped, held.day_stopped, now_ns // _DAY_NS, began), position)
    if fill is not None:
        guard.judge(position, mid * 0.5, now_ns)
        position.fill(fill[0], fill[1], mid, fee_atto=0)
    return guard.judge(position, mid * 0.5, now_ns)


def guards(
    parameters: MarketParameters, engine: QuoteEngine, held: Held, book: OrderBook, position_lots: int, now_ns: int
) -> tuple[Guard, ...]:
    """All that are configured, in the order of the configuration."""
    said = guarded(parameters, held, book, position_lots, now_ns) if book.trusted else UNGUARDED
    mid_ticks = book.half_ticks * 0.5 if book.trusted else None
    return (
        _inventory(parameters, engine, said, position_lots),
        *_of_position(parameters, held, said, mid_ticks, position_lots),
        *_of_market(parameters, engine, mid_ticks, now_ns),
    )


def _inventory(parameters: MarketParameters, engine: QuoteEngine, said: Guarded, position_lots: int) -> Guard:
    quoting, used = parameters.quoting, abs(engine.conditions.used(position_lots))
    exits = quoting.inventory_exit_at
    text = (
        f"{used:.0%} of the limit; above {quoting.inventory_widen_at:.0%} what grows it is "
        f"{quoting.inventory_widening:g} times as wide, above {quoting.inventory_skip_at:.0%} not quoted"
    )
    if exits is not None:
        text += f", above {exits:.0%} it is worked off"
    acts = used > min(quoting.inventory_widen_at, quoting.inventory_skip_at) or Reason.MAX_POSITION.bit & said.reasons
    return Guard(name="inventory", acts=bool(acts), words=text)


def _of_position(
    parameters: MarketParameters, held: Held, said: Guarded, mid_ticks: float | None, position_lots: int
) -> Iterator[Guard]:
    quoting, contract = parameters.quoting, parameters.instrument
    if quoting.stop_loss_bps is not None:
        if not position_lots or mid_ticks is None:
            state = "nothing is held" if not position_lots else "there is no mid"
        elif held.entry_ticks is None:
            state = "no entry price was given: taken to be the mid"
        else:
            sign = 1 if position_lots > 0 else -1
            lost = sign * (held.entry_ticks - mid_ticks) / held.entry_ticks / BPS
            entry = held.entry_ticks * float(contract.tick)
            state = f"entered at {entry:.10g}, {'loses' if lost >= 0 else 'gains'} {abs(lost):.1f} bps"
        yield Guard(
            name="stop_loss",
            acts=bool(said.reasons & Reason.STOP_LOSS.bit),
            words=f"{state}; worked off from a loss of {quoting.stop_loss_bps:g} bps",
        )
    if quoting.max_position_age_s is not None:
        if not position_lots:
            state = "nothing is held"
        else:
            state = "no age was given: taken to be new" if held.age_s is None else f"held for {held.age_s:.0f} s"
        yield Guard(
            name="position_age",
            acts=bool(said.reasons & Reason.POSITION_AGE.bit),
            words=f"{state}; worked off from {quoting.max_position_age_s:g} s",
        )
    if quoting.day_loss_stop is not None:
        currency = contract.base if contract.inverse else contract.quote
        cost = held.day_loss
        if cost is None:
            state = "no loss of the day was given: taken to be none"
        else:
            state = f"the day has {'cost' if cost >= 0 else 'brought'} {abs(cost):.10g} {currency}"
        widens = ""
        if quoting.day_loss_widen is not None:
            widens = f"wider from {quoting.day_loss_widen:g} (now {said.widening:.3g} times), "
        yield Guard(
            name="day_loss",
            acts=said.widening != 1.0 or bool(said.reasons & Reason.LOSS_LIMIT.bit),
            words=f"{state}; {widens}the position is only worked off from {quoting.day_loss_stop:g}",
        )


def _of_market(
    parameters: MarketParameters, engine: QuoteEngine, mid_ticks: float | None, now_ns: int
) -> Iterator[Guard]:
    quoting, conditions = parameters.quoting, engine.conditions
    if quoting.volatility_stop is not None and mid_ticks is not None:
        sigma_bps = engine.sigma_bps(mid_ticks)
        widening = conditions.widening(sigma_bps)
        widens = ""
        if quoting.volatility_widen is not None and widening is not None:
            widens = f"wider from {quoting.volatility_widen:.0%} (now {widening:.3g} times), "
        yield Guard(
            name="volatility",
            acts=widening != 1.0,
            words=f"{sigma_bps / annual_vol_to_bps(1.0):.1%} a year; {widens}nothing is quoted from "
            f"{quoting.volatility_stop:.0%}",
        )
    bid, ask = conditions.obstacles(0.0, now_ns)
    if quoting.sessions or quoting.blackouts:
        hours = f"quoted {', '.join(quoting.sessions) or 'all day'}"
        if quoting.blackouts:
            hours += f" but for {', '.join(quoting.blackouts)}"
        at = now_ns // (60 * _S) % 1440
        yield Guard(
            name="hours",
            acts=bool(bid & _CLOSED),
            words=f"{'closed' if bid & _CLOSED else 'open'} at {at // 60:02d}:{at % 60:02d} UTC; {hours}",
        )
    if quoting.toxic_cool_down_ms:
        pulled = [name for name, bits in (("bid", bid), ("ask", ask)) if bits & _TOXIC]
        state = f"{' and '.join(pulled)} pulled" if pulled else "nothing is pulled"
        change_ns = conditions.next_change_ns(now_ns) if pulled else None
        if change_ns is not None:
            state += f" for {(change_ns - now_ns) / _S:.1f} s"
        yield Guard(
            name="toxic_flow",
            acts=bool(pulled),
            words=f"{state}; a side is for {quoting.toxic_cool_down_ms} ms after an outsized taker order or flow",
        )
