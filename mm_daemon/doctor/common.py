"""Checks that need no more than what every connector answers: contracts, capabilities, a snapshot, the venue's time.

Pure: a finding is made of what was read. Sizes are those of the configuration, prices those of the book.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from mm_daemon.backtest.explain.explanation import MarketExplanation
from mm_daemon.config.problems import ConfigProblems
from mm_daemon.core.market import MarketState
from mm_daemon.core.parameters import ReconcileRules
from mm_daemon.domain.capabilities import Bucket, BucketKind, Capabilities, CommandClass
from mm_daemon.domain.events import VenueSnapshot, VenueTime
from mm_daemon.domain.instrument import Instrument, InstrumentId, SignificantFigures, symbol_of
from mm_daemon.engine.ladder import level_lots
from mm_daemon.ports.examination import Check, failed, not_applicable, ok, warning
from mm_daemon.runtime.dead_man import in_words, silence_of

_NS_PER_MS = 1e6
_PPM_PER_BPS = 100.0
_SKEW_WARNED_MS = 100.0
"""Where the configuration names no limit."""
_FOREIGN = {
    "ignore": "they are counted and left alone",
    "cancel": "all orders of the account are cancelled",
    "halt": "a market that has one is not quoted",
}


def clock(told: Sequence[VenueTime], limit_ms: int | None) -> Check:
    """The venue's time against ours. An answer is heard after it was made: of several, the nearest says most."""
    if not told:
        return not_applicable("clock", "the venue has not named its time")
    skew_ms = min(((each.ts_venue_ns - each.ts_local_ns) / _NS_PER_MS for each in told), key=abs)
    way = "ahead of" if skew_ms > 0 else "behind"
    text = f"the venue's is {abs(skew_ms):.0f} ms {way} ours, its answer's way included"
    if limit_ms is not None and abs(skew_ms) > limit_ms:
        advice = f"synchronise this machine's clock (`timedatectl`): beyond {limit_ms} ms nothing is quoted"
        return failed("clock", text, f"{advice} (risk.max_clock_skew_ms)")
    if abs(skew_ms) > (_SKEW_WARNED_MS if limit_ms is None else limit_ms / 2):
        return warning("clock", text, "synchronise this machine's clock (`timedatectl`)")
    return ok("clock", text)


def contract(instrument: Instrument) -> Check:
    """Grids and minimums, as the venue names them."""
    grid = instrument.grid
    tick = f"tick {instrument.tick:f}"
    if isinstance(grid, SignificantFigures):
        tick += f" and {grid.figures} significant figures"
    least = f"least order {instrument.size(instrument.min_lots):f} {instrument.base}"
    if instrument.min_notional > 0:
        settled_in = instrument.base if instrument.inverse else instrument.quote
        least += f" and {instrument.min_notional:f} {settled_in}"
    text = f"{tick}, lot {instrument.lot:f} {instrument.base}, {least}"
    if not instrument.tradable:
        advice = "wait, or take another market: the daemon stays out of it until it trades again"
        return failed("contract", f"the venue does not trade it now; {text}", advice, symbol=instrument.symbol)
    return ok("contract", text, symbol=instrument.symbol)


def refused_sizes(problems: ConfigProblems) -> list[Check]:
    """What the contracts do not allow of the configuration."""
    return [
        failed("size", f"{problem.path} {problem.text}", f"correct it in {problem.place}")
        for problem in problems.problems
    ]


def size(market: MarketState) -> Check:
    """Each level's order against the venue's minimums, at the best prices of now, lots of money included."""
    instrument, book, parameters = market.instrument, market.book, market.parameters
    base, symbol = instrument.base, instrument.symbol
    ticks = book.bid_ticks if book.trusted else 0
    ratio, levels = parameters.quoting.level_size_ratio, parameters.quoting.levels
    lots = [level_lots(parameters.order_lots, ratio, level) for level in range(levels)]
    smallest = min(lots)
    text = f"{instrument.size(parameters.order_lots):f} {base} an order"
    if levels > 1:
        text += f", {instrument.size(smallest):f} on the smallest of {levels} levels"
    if ticks > 0:
        text += f" = {_worth(instrument, smallest, ticks):.2f} {instrument.quote}"
    text += f"; position up to {instrument.size(parameters.limits.max_position_lots):f} {base}"
    least = instrument.min_lots_at(ticks) if ticks > 0 and not instrument.inverse else instrument.min_lots
    if smallest < least:
        needed = f"{instrument.size(least):f} {base}"
        if ticks > 0:
            needed += f" = {_worth(instrument, least, ticks):.2f} {instrument.quote}"
        advice = f"the venue takes {needed} or more at this price: raise the size of an order"
        return failed("size", text, advice, symbol=symbol)
    return ok("size", text, symbol=symbol)


def _worth(instrument: Instrument, lots: int, ticks: int) -> Decimal:
    if instrument.inverse:
        return instrument.size(lots) * instrument.multiplier
    return instrument.size(lots) * instrument.price(ticks) * instrument.multiplier


def fees(instrument: Instrument, *, priced_in: bool, whose: str) -> Check:
    """What is paid, and whether quotes are made for it."""
    maker, taker = instrument.maker_fee_ppm / _PPM_PER_BPS, instrument.taker_fee_ppm / _PPM_PER_BPS
    text = f"maker {maker:g} bps, taker {taker:g} bps, {whose}"
    if priced_in:
        return ok("fees", f"{text}; quotes are priced for the maker fee", symbol=instrument.symbol)
    if instrument.maker_fee_ppm > 0:
        advice = "write fees_in_model: true, or see below that a fill earns more than its fee"
        text += "; fees_in_model: false: quotes are priced as if there were none"
        return warning("fees", text, advice, symbol=instrument.symbol)
    return ok("fees", text, symbol=instrument.symbol)


def limits(capabilities: Capabilities) -> Check:
    """The budgets that the outbox keeps; what is left of them only the venue knows."""
    if not capabilities.buckets:
        return not_applicable("limits", "none are known here")
    return ok("limits", "; ".join(map(bucket_in_words, capabilities.buckets)))


def bucket_in_words(bucket: Bucket) -> str:
    """One budget."""
    acting = [kind for kind in (CommandClass.PLACE, CommandClass.AMEND) if bucket.concerns(kind)]
    what = "places and amends" if acting and not bucket.concerns(CommandClass.CANCEL) else "commands"
    if bucket.kind is BucketKind.PER_BLOCK:
        span = f"in {bucket.blocks} blocks"
    elif bucket.kind is BucketKind.QUOTA:
        span = "in all, more with volume"
    else:
        span = f"in {_span(bucket.period_ms)}"
    return f"{bucket.name}: {bucket.capacity} {what} {span}"


def _span(ms: int) -> str:
    for unit, size in (("day", 86_400_000), ("minute", 60_000), ("s", 1000)):
        if ms >= size and not ms % size:
            return f"{ms // size} {unit}{'s' if unit != 's' and ms > size else ''}"
    return f"{ms} ms"


def dead_man(capabilities: Capabilities, order_blocks: int) -> Check:
    """What protects the orders when the process is gone."""
    text = in_words(capabilities).removeprefix("dead man's switch: ")
    floor_ms = capabilities.dead_man_floor_ms
    if silence_of(capabilities) is not None and floor_ms is not None:
        return ok("dead_man", f"{text}; the venue's shortest is {floor_ms / 1000:g} s; armed before the first order")
    if capabilities.simulated:
        return not_applicable("dead_man", text)
    if capabilities.max_order_blocks is not None:
        return ok("dead_man", f"{text}; orders.order_blocks: {order_blocks}")
    if capabilities.order_life_ms is not None:
        return warning("dead_man", text, "let them live shorter, or watch the process (deploy/docs/operations.md)")
    advice = (
        "write dead_man_ms where the venue has a switch, or watch the process from outside (deploy/docs/operations.md)"
    )
    return warning("dead_man", text, advice)


def orders(snapshot: VenueSnapshot, rules: ReconcileRules) -> Check:
    """Open orders in our markets: of ours, and of somebody else."""
    foreign = [order for order in snapshot.orders if order.client_id is None]
    own = len(snapshot.orders) - len(foreign)
    if foreign:
        where = ", ".join(sorted({symbol_of(order.instrument) for order in foreign}))
        text = f"{_many(len(foreign), 'open order')} of somebody else on {where}"
        if own:
            text += f", {own} of ours"
        rule = rules.on_foreign_order
        advice = f"give the daemon an account of its own; {_FOREIGN[rule]} (reconcile.on_foreign_order: {rule})"
        return warning("orders", text, advice)
    if own:
        does = "cancelled" if rules.on_orphan == "cancel" else "quoted with"
        text = f"{_many(own, 'open order')} of ours: of a daemon that runs, or left by one that died"
        advice = f"see that no other daemon trades this account; at a start they are {does} (reconcile.on_orphan)"
        return warning("orders", text, advice)
    return ok("orders", "no open order in our markets")


def positions(
    snapshot: VenueSnapshot, contracts: Mapping[InstrumentId, Instrument], rules: ReconcileRules
) -> list[Check]:
    """What the account holds of our markets."""
    found = []
    for instrument, lots in snapshot.positions:
        known = contracts.get(instrument)
        if lots and known is not None:
            found.append(_position(known, lots, rules))
    return found or [ok("position", "flat in our markets")]


def _position(instrument: Instrument, lots: int, rules: ReconcileRules) -> Check:
    text = f"{instrument.size(lots):+f} {instrument.base}"
    if rules.position_adopt == "venue":
        advice = "where the journal does not explain it, it is taken over (reconcile.position_adopt: venue)"
    else:
        advice = f"where the journal does not explain it, the market waits for `mm-daemon adopt {instrument.symbol}`"
    return warning("position", text, advice, symbol=instrument.symbol)


def quotes(explained: MarketExplanation) -> Check:
    """What the engine would quote now: price, size, distance from the mid, and what a fill earns."""
    symbol = explained.symbol
    if explained.quotes is None:
        return failed("quotes", f"none: {'; '.join(explained.words)}", "see the book above", symbol=symbol)
    sides = (explained.quotes.bid, explained.quotes.ask)
    parts = []
    for side in sides:
        text = f"{side.side} {side.size} at {side.price} ({side.from_mid_bps:.2f} bps from the mid)"
        parts.append(text if side.quoted else f"no {side.side}: {'; '.join(side.words)}")
    mid, sigma = explained.quotes.reference.mid, explained.quotes.volatility
    text = f"would quote {', '.join(parts)}; mid {mid:.10g}"
    text += f", volatility {sigma.annual:.0%} a year ({sigma.origin.replace('_', ' ')})"
    quoted = [side for side in sides if side.quoted]
    if quoted:
        text += f"; a fill earns {min(side.edge_bps for side in quoted):.2f} bps or more after its fee"
    for note in explained.notes:
        text += f"; {note}"
    if len(quoted) < len(sides):
        return warning("quotes", text, "`mm-daemon explain` shows each step of a price", symbol=symbol)
    if min(side.edge_bps for side in quoted) <= 0:
        advice = "every fill would lose: quote wider (min_edge_bps, min_spread_bps), or find lower fees"
        return warning("quotes", text, advice, symbol=symbol)
    return ok("quotes", text, symbol=symbol)


def untrusted(markets: Iterable[MarketState], waited_s: float) -> list[Check]:
    """Books that did not come."""
    return [
        failed(
            "book",
            f"no book that can be trusted within {waited_s:g} s",
            "see whether the market trades, and whether this machine's way to the venue's stream is open",
            symbol=market.instrument.symbol,
        )
        for market in markets
        if not market.book.trusted
    ]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
