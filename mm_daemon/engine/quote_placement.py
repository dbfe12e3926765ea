"""From wanted depths to quotes: to where the touch and the guard let both sides stand, onto the grid, into levels, of
the size that limits leave (MODELS 0.3 and 5.2).

A `QuotePlacement` belongs to one `QuoteEngine`, which says how far from the fair price both sides want to be.
"""

import math
from fractions import Fraction

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.instrument import Instrument, grid_rounding
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import Side
from mm_daemon.engine.ladder import Ladder
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.position_guard import Guarded
from mm_daemon.engine.pricing import SideQuote, WantedDepths
from mm_daemon.engine.rounding import round_quotes
from mm_daemon.engine.tolerance import tolerance_ticks
from mm_daemon.engine.units import BPS

_MAX_POSITION = Reason.MAX_POSITION.bit
_SIZE_BELOW_MIN = Reason.SIZE_BELOW_MIN.bit
_PRICE_COLLAR = Reason.PRICE_COLLAR.bit
_LEVEL_MERGED = Reason.LEVEL_MERGED.bit
_BUY, _SELL = Side.BUY, Side.SELL
_NO_CAP = (1 << 62) - 1
"""Lots; the largest number that compiled code keeps in a register."""


class QuotePlacement:
    """Sizes and limits are in lots; `collar_bps` and `max_notional_atto`, the largest value of an order, are the
    gate's: a target it would refuse is withdrawn with a reason, or smaller, instead of being refused again and again.
    """

    __slots__ = (
        "_behind",
        "_collar_share",
        "_improve_touch",
        "_ladder",
        "_max_position_lots",
        "_max_tick_lots",
        "_min_lots",
        "_min_position_lots",
        "_min_tick_lots",
        "_order_lots",
        "_round_ask",
        "_round_bid",
        "_tolerance_frac",
        "ladder_lots",
    )

    def __init__(
        self,
        instrument: Instrument,
        parameters: QuoteParameters,
        *,
        order_lots: int,
        min_position_lots: int,
        max_position_lots: int,
        collar_bps: float,
        max_notional_atto: int | None,
    ) -> None:
        """Raises DomainError for levels that are not finite."""
        self._improve_touch = parameters.improve_touch
        self._tolerance_frac = parameters.tolerance_frac
        self._collar_share = collar_bps * BPS
        self._round_bid, self._round_ask = grid_rounding(instrument.grid)
        self._min_lots = instrument.min_lots
        # A product of ticks and lots below this is under the venue's notional minimum.
        unit = instrument.tick * instrument.lot * instrument.multiplier
        self._min_tick_lots = math.ceil(instrument.min_notional / unit)
        # And one above this is over our own largest notional.
        self._max_tick_lots = (
            None if max_notional_atto is None else math.floor(Fraction(max_notional_atto, ATTO) / Fraction(unit))
        )
        self._ladder = Ladder(
            parameters.levels, parameters.level_step_bps, parameters.level_growth, parameters.level_size_ratio
        )
        self.resize(order_lots, min_position_lots, max_position_lots)

    def resize(self, order_lots: int, min_position_lots: int, max_position_lots: int) -> None:
        """Sizes have changed. No lots: there is nothing to quote with."""
        self._order_lots = order_lots
        self._min_position_lots, self._max_position_lots = min_position_lots, max_position_lots
        behind = self._ladder.behind(max(order_lots, 1))
        self._behind = behind if order_lots else tuple((beyond_bps, 0) for beyond_bps, _ in behind)
        """Of each level but the inner one: how far beyond that, bps, and its full size, lots."""
        self.ladder_lots = order_lots + sum(lots for _, lots in self._behind)
        """All levels of a side at their full size."""

    def quotes(
        self,
        book: OrderBook,
        position_lots: int,
        guarded: Guarded,
        fair: float,
        wanted: WantedDepths,
        most: tuple[int, int] | None,
    ) -> tuple[tuple[SideQuote, ...], tuple[SideQuote, ...]]:
        """Bids and asks, by level, innermost first. `fair`: the fair price in ticks; `most`: the largest bid and ask
        that the displayed depth allows, None where it has no say. Raises DomainError.
        """
        mid, best_bid, best_ask = book.half_ticks * 0.5, book.bid_ticks, book.ask_ticks
        bp = mid * BPS
        bid_bps, ask_bps = wanted.bid_bps, wanted.ask_bps
        bid_obstacles, ask_obstacles = wanted.bid_obstacles, wanted.ask_obstacles
        bid_raw, ask_raw = fair - bid_bps * bp, fair + ask_bps * bp
        if not self._improve_touch:
            bid_raw, ask_raw = min(bid_raw, float(best_bid)), max(ask_raw, float(best_ask))
            bid_bps, ask_bps = (fair - bid_raw) / bp, (ask_raw - fair) / bp
        bid_room, ask_room = self._max_position_lots - position_lots, position_lots - self._min_position_lots
        buys_back = sells_off = False
        if guarded.reasons:
            buys_back, sells_off = position_lots < 0, position_lots > 0
            bid_raw, ask_raw = _worked_off(position_lots, bid_raw, ask_raw, best_bid, best_ask)
            if buys_back:
                bid_bps, bid_room = (fair - bid_raw) / bp, min(bid_room, -position_lots)
            else:
                bid_obstacles |= guarded.reasons
            if sells_off:
                ask_bps, ask_room = (ask_raw - fair) / bp, min(ask_room, position_lots)
            else:
                ask_obstacles |= guarded.reasons
        bid, ask = round_quotes(bid_raw, ask_raw, best_bid, best_ask, self._round_bid, self._round_ask)
        bid_clamped = buys_back or bid_raw >= best_ask
        ask_clamped = sells_off or ask_raw <= bid or ask_raw <= best_bid
        if bid_clamped:
            bid_raw = float(bid)
        if ask_clamped:
            ask_raw = float(ask)
        frac = self._tolerance_frac
        bid_lots = ask_lots = self._order_lots
        if wanted.bid_size != wanted.ask_size:
            bid_lots, ask_lots = self._sized(bid_lots, wanted.bid_size), self._sized(ask_lots, wanted.ask_size)
        if most is not None:
            bid_lots, ask_lots = min(bid_lots, most[0]), min(ask_lots, most[1])
        bid_tolerance = tolerance_ticks(wanted.half_bps * bp, bid, frac)
        ask_tolerance = bid_tolerance if frac is None else tolerance_ticks(wanted.half_bps * bp, ask, frac)
        inner_bid = self._level(
            bid, bid_lots, bid_raw, bid_clamped, bid_tolerance, bid_bps, bid_room, bid_obstacles, mid
        )
        inner_ask = self._level(
            ask, ask_lots, ask_raw, ask_clamped, ask_tolerance, ask_bps, ask_room, ask_obstacles, mid
        )
        if not self._behind:
            return (inner_bid,), (inner_ask,)
        bid_most, ask_most = most or (_NO_CAP, _NO_CAP)
        return (
            (
                inner_bid,
                *self._levels_behind(_BUY, inner_bid, wanted.bid_size, bid_most, bid_bps, bid_room, bid_obstacles, mid),
            ),
            (
                inner_ask,
                *self._levels_behind(
                    _SELL, inner_ask, wanted.ask_size, ask_most, ask_bps, ask_room, ask_obstacles, mid
                ),
            ),
        )

    def _levels_behind(
        self,
        side: Side,
        inner: SideQuote,
        share: float,
        most_lots: int,
        depth_bps: float,
        room_lots: int,
        obstacles: int,
        mid_ticks: float,
    ) -> tuple[SideQuote, ...]:
        """The levels behind the inner one, each no larger than `most_lots`, which take the room that those before them
        left.
        """
        quotes = []
        before = inner
        for beyond_bps, size_lots in self._behind:
            room_lots -= before.lots
            raw = inner.raw_ticks - side * beyond_bps * (mid_ticks * BPS)
            ticks = self._round_bid(raw) if side is _BUY else self._round_ask(raw)
            merged = 0 if side * (before.ticks - ticks) > 0 else _LEVEL_MERGED
            before = self._level(
                ticks,
                min(self._sized(size_lots, share), most_lots),
                raw,
                False,
                inner.tolerance_ticks,
                depth_bps + beyond_bps,
                room_lots,
                obstacles | merged,
                mid_ticks,
            )
            quotes.append(before)
        return tuple(quotes)

    def _sized(self, lots: int, share: float) -> int:
        """A share of a full size, in lots, but no less than the venue's least order."""
        return lots if share == 1.0 else max(math.floor(lots * share), min(lots, self._min_lots))

    def _level(
        self,
        ticks: int,
        size_lots: int,
        raw: float,
        clamped: bool,
        tolerance: int,
        depth_bps: float,
        room_lots: int,
        obstacles: int,
        mid_ticks: float,
    ) -> SideQuote:
        most = self._max_tick_lots
        if most is not None and size_lots * ticks > most:
            size_lots = most // ticks
        lots = size_lots if size_lots < room_lots else room_lots
        if lots <= 0:
            lots = 0
            obstacles |= _MAX_POSITION if size_lots > 0 else _SIZE_BELOW_MIN
        elif lots < self._min_lots or lots * ticks < self._min_tick_lots:
            obstacles |= _SIZE_BELOW_MIN
        if abs(ticks - mid_ticks) > self._collar_share * mid_ticks or ticks <= 0:
            obstacles |= _PRICE_COLLAR
        return SideQuote(ticks, lots, lots < size_lots, raw, clamped, tolerance, obstacles, depth_bps)


def _worked_off(
    position_lots: int, bid_raw: float, ask_raw: float, best_bid: int, best_ask: int
) -> tuple[float, float]:
    """Prices in ticks while a position may only be reduced. The side that does stands next to the other side's best,
    where an order that must not take is the first to trade; the other one, withdrawn, is no better than the market.
    """
    if position_lots > 0:
        return min(bid_raw, float(best_bid)), min(ask_raw, best_bid + 1.0)
    if position_lots < 0:
        return max(bid_raw, best_ask - 1.0), max(ask_raw, float(best_ask))
    return min(bid_raw, float(best_bid)), max(ask_raw, float(best_ask))
