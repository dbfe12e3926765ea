"""Why a market is quoted or not, in a sentence for somebody who was woken by a pager: the cause, its figure, its limit.

`observability/words.py` has the short words of a line on a terminal; here stands what they leave out.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from mm_daemon.core.market import MarketState
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import Action, DecisionInputs, Reason
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side
from mm_daemon.observability.logs import utc_text
from mm_daemon.observability.page.figures import duration, signed, value
from mm_daemon.observability.records import Asked, Records
from mm_daemon.observability.status import MarketStatus, SideStatus
from mm_daemon.observability.words import DOUBTS, WORDS

_NS_PER_S = 1_000_000_000
_MOMENT_MS = 3000
_SEEN_BPS = 0.005
"""What is not zero with two digits."""
_BETWEEN_QUOTES = frozenset(
    {
        Reason.NEW_QUOTE,
        Reason.WITHIN_TOLERANCE,
        Reason.PLACE_PENDING,
        Reason.AMEND_PENDING,
        Reason.CANCEL_PENDING,
        Reason.FILL_LOCKOUT,
        Reason.ORDER_LOCKOUT,
    }
)
_NOT_A_CAUSE = frozenset({Reason.WITHIN_TOLERANCE, Reason.NEW_QUOTE})


class Headline(NamedTuple):
    """`tone`: quoting, partly or off. `spoken` has no figure that runs: what is read aloud is news."""

    tone: str
    text: str
    spoken: str


class Situation(NamedTuple):
    """What sentences about one market are made from."""

    core: TradingCore
    market: MarketState
    status: MarketStatus
    records: Records
    now_ns: int


def headline(at: Situation) -> Headline:
    """`Not quoting BTC-USDT: the feed is stale: no news of the book for 41 s, the limit is 5 s.`

    A side that is only between two quotes, for a moment, counts as quoted.
    """
    name, bid, ask = at.status.symbol, at.status.bid, at.status.ask
    out = [
        side
        for side in (bid, ask)
        if side.action == Action.WITHDRAW or (side.price is None and not _is_back_soon(side))
    ]
    if not out:
        shown = ", ".join(f"{side.side} {side.price or f'back in a moment ({_first(side)})'}" for side in (bid, ask))
        return Headline("quoting", f"Quoting {name}: {shown}.", f"Quoting {name} on both sides.")
    if len(out) == 1:
        works = ask if out[0] is bid else bid
        place = "" if works.price is None else f", at {works.price}"
        text = f"Quoting {name} on the {works.side} only{place}. No {out[0].side}: {_why(at, out[0])}."
        return Headline("partly", text, f"Quoting {name} on the {works.side} only. No {out[0].side}: {_short(out[0])}.")
    if bid.reasons == ask.reasons:
        why = "; ".join(_once((*_causes(at, bid), *_causes(at, ask))))
        return Headline("off", f"Not quoting {name}: {why}.", f"Not quoting {name}: {_short(bid)}.")
    text = f"Not quoting {name}: bid: {_why(at, bid)}; ask: {_why(at, ask)}."
    return Headline("off", text, f"Not quoting {name}: bid: {_short(bid)}; ask: {_short(ask)}.")


def _is_back_soon(side: SideStatus) -> bool:
    """Whether a side without a quote will have one in a moment: it is on its way, or a short lockout runs out."""
    if side.action is None or side.action == Action.WITHDRAW or not _BETWEEN_QUOTES.issuperset(side.reasons):
        return False
    return all(lockout.left_ms <= _MOMENT_MS for lockout in side.lockouts)


def reason_sentence(at: Situation, side: Side, reason: Reason) -> str:
    """One reason, with its figures where it has some."""
    say = _SENTENCES.get(reason)
    return WORDS[reason] if say is None else say(at, side)


def numbers_sentences(contract: Instrument, inputs: DecisionInputs) -> list[str]:
    """The figures behind a decision, as they were journaled with it."""
    tick = float(contract.tick)
    held = f"{contract.size(inputs.position_lots):+f}".replace("-", "−") if inputs.position_lots else "0"
    if inputs.mid_ticks is None or inputs.fair_ticks is None:
        mid = "no mid" if inputs.mid_ticks is None else f"mid {value(inputs.mid_ticks * tick)}"
        return [f"Nothing could be priced: {mid}, position {held} {contract.base}."]
    off_bps = (inputs.fair_ticks / inputs.mid_ticks - 1) * 10_000
    mid, fair = value(inputs.mid_ticks * tick), value(inputs.fair_ticks * tick)
    said = [f"Mid {mid}; fair price {fair}, {signed(off_bps)} bps off."]
    if inputs.reservation_ticks is not None and inputs.skew_bps is not None:
        shift_bps = (inputs.reservation_ticks / inputs.fair_ticks - 1) * 10_000
        said.append(
            f"Position {held} {contract.base} is {signed(inputs.q)} orders off its target: both quotes stand around "
            f"{value(inputs.reservation_ticks * tick)}, {signed(shift_bps)} bps from fair "
            f"(skew {inputs.skew_bps:.2f} bps an order)."
        )
    if inputs.half_spread_bps is not None:
        model = ", ".join(
            text
            for text in (
                None if inputs.sigma_bps is None else f"volatility {inputs.sigma_bps:.2f} bps/√s",
                None if inputs.gamma is None else f"γ {inputs.gamma:.3g}",
                None if inputs.A is None else f"A {inputs.A:.3g}/s",
                None if inputs.k is None else f"k {inputs.k:.3g}/bps",
                None if inputs.tau_s is None else f"horizon {inputs.tau_s:.3g} s",
            )
            if text is not None
        )
        said.append(f"Half-spread {inputs.half_spread_bps:.2f} bps from {model}.")
    if inputs.widening != 1.0:
        doubts = "; ".join(DOUBTS[doubt] for doubt in inputs.doubts)
        of_them = f", ×{inputs.confidence_widening:.2f} of it because: {doubts}" if doubts else ""
        said.append(f"Widened ×{inputs.widening:.2f}{of_them}.")
    if abs(inputs.shift_bps) >= _SEEN_BPS:
        said.append(f"Both quotes moved by {signed(inputs.shift_bps)} bps for other causes than inventory.")
    if inputs.impact_bps >= _SEEN_BPS:
        said.append(f"Expected impact of takers adds {inputs.impact_bps:.2f} bps.")
    if inputs.tolerance_ticks is not None:
        ticks = "tick" if inputs.tolerance_ticks == 1 else "ticks"
        said.append(f"A quote moves once it is more than {inputs.tolerance_ticks} {ticks} too passive.")
    return said


def _why(at: Situation, side: SideStatus) -> str:
    return "; ".join(_causes(at, side))


def _causes(at: Situation, side: SideStatus) -> list[str]:
    own = Side.BUY if side.side == "bid" else Side.SELL
    causes = [reason for reason in side.reasons if reason not in _NOT_A_CAUSE] or side.reasons
    said = _once(reason_sentence(at, own, reason) for reason in causes) or ["nothing has been decided yet"]
    if side.action == Action.WITHDRAW and side.price is not None:
        said.append(f"the {side.side} at {side.price} is not known to be gone yet")
    return said


def _short(side: SideStatus) -> str:
    return "; ".join(_once(WORDS[reason] for reason in side.reasons)) or "nothing has been decided yet"


def _first(side: SideStatus) -> str:
    return WORDS[side.reasons[0]]


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


# What single reasons have to say


def _killed(at: Situation, _: Side) -> str:
    return f"killed ({at.core.gate.latched}); quoting stays off until somebody runs mm-daemon clear-kill"


def _paused(at: Situation, _: Side) -> str:
    said = _by(at.records.markets[at.market.id].paused_by)
    flattening = ", and its position is being worked off" if at.market.flattening else ""
    return f"paused{said}{flattening}, until somebody resumes it"


def _disabled(at: Situation, _: Side) -> str:
    said = _by(at.records.markets[at.market.id].disabled_by) or " by its configuration"
    return f"disabled{said}, until somebody runs mm-daemon enable {at.status.symbol}"


def _by(asked: Asked | None) -> str:
    if asked is None:
        return ""
    return f" by {asked.event.who} at {utc_text(asked.event.ts_local_ns)[11:19]} UTC"


def _venue_down(at: Situation, _: Side) -> str:
    link = at.records.links.get(at.market.instrument.venue)
    if link is None or link.connected:
        return f"{at.status.venue} is not connected"
    cause = f" ({link.cause})" if link.cause else ""
    return f"{at.status.venue} has been disconnected for {_since(at, link.at_ns)}{cause}"


def _starting(at: Situation, _: Side) -> str:
    return f"the account at {at.status.venue} has not been compared with ours yet"


def _reconciling(at: Situation, _: Side) -> str:
    sources = [source for reason, source in at.status.held if reason is Reason.RECONCILING]
    return "our account differs from the venue's" + (f": {', '.join(sources)}" if sources else "")


def _clock_skew(at: Situation, _: Side) -> str:
    skew_ns = at.core.safeguards.skewed().get(at.market.instrument.venue)
    return f"our clock and that of {at.status.venue} differ" + (
        "" if skew_ns is None else f" by {skew_ns / _NS_PER_S:+.2f} s"
    )


def _loop_stall(_: Situation, __: Side) -> str:
    return "this process was late; quotes return once it has kept time again for a while"


def _stale(at: Situation, _: Side) -> str:
    limit = duration(at.market.max_book_age_ns / _NS_PER_S)
    return f"the feed is stale: no news of the book for {_since(at, at.market.book.ts_local_ns)}, the limit is {limit}"


def _invalid(at: Situation, _: Side) -> str:
    trouble = str(at.status.book.trouble or "it has just come back").replace("_", " ")
    return f"the book cannot be trusted ({trouble}), last heard of {_since(at, at.market.book.ts_local_ns)} ago"


def _unresolved(at: Situation, _: Side) -> str:
    named = [str(order.client_id) for order in at.core.ledger.alive(at.market.id) if order.uncertain]
    return f"the outcome of {'order ' + ', '.join(named) if named else 'an order'} at the venue is unknown"


def _max_position(at: Situation, side: Side) -> str:
    limit = at.status.max_position if side is Side.BUY else at.status.min_position
    return f"position {at.status.position} {at.status.base} leaves no room below its limit {limit}"


def _stop_loss(at: Situation, _: Side) -> str:
    guard = at.status.guard
    held = "" if guard is None or guard.age_s is None else f", held for {duration(guard.age_s)}"
    return f"the position has lost too much and is being reduced ({at.status.position} {at.status.base}{held})"


def _loss_limit(at: Situation, _: Side) -> str:
    guard = at.status.guard
    result = "" if guard is None or guard.day_result is None else f": {guard.day_result} {at.status.currency}"
    return f"the loss of the day is at its limit{result}; until midnight UTC"


def _lockout(reason: Reason) -> Callable[[Situation, Side], str]:
    def say(at: Situation, side: Side) -> str:
        left_ns = at.market.lockouts.until_ns(side, reason) - at.now_ns
        return f"{WORDS[reason]}, {max(left_ns, 0) / _NS_PER_S:.1f} s left"

    return say


def _bar(reason: Reason) -> Callable[[Situation, Side], str]:
    def say(at: Situation, side: Side) -> str:
        bar = at.market.bid_bar if side is Side.BUY else at.market.ask_bar
        return WORDS[reason] if bar is None else f"{WORDS[reason]}: {bar[1]} against a limit of {bar[2]}"

    return say


def _since(at: Situation, then_ns: int) -> str:
    return duration(max(0, at.now_ns - then_ns) / _NS_PER_S) if then_ns else "ever"


_SENTENCES: dict[Reason, Callable[[Situation, Side], str]] = {
    Reason.KILL_LATCHED: _killed,
    Reason.OPERATOR_PAUSED: _paused,
    Reason.MARKET_DISABLED: _disabled,
    Reason.STARTING: _starting,
    Reason.LOOP_STALL: _loop_stall,
    Reason.CLOCK_SKEW: _clock_skew,
    Reason.VENUE_DOWN: _venue_down,
    Reason.RECONCILING: _reconciling,
    Reason.UNRESOLVED_ORDER: _unresolved,
    Reason.STOP_LOSS: _stop_loss,
    Reason.LOSS_LIMIT: _loss_limit,
    Reason.BOOK_INVALID: _invalid,
    Reason.BOOK_STALE: _stale,
    Reason.MAX_POSITION: _max_position,
    Reason.MAX_NOTIONAL: _bar(Reason.MAX_NOTIONAL),
    Reason.MARGIN_LOW: _bar(Reason.MARGIN_LOW),
    **{
        reason: _lockout(reason)
        for reason in (Reason.FILL_LOCKOUT, Reason.ORDER_LOCKOUT, Reason.REJECT_LOCKOUT, Reason.FILL_BURST)
    },
}
