"""What became of one market's fills and inventory: the one source of these figures for reports, screen and metrics.

Reads the market's books after they have moved, and decides nothing. Counted from `start_ns`; nothing of an earlier life
is in it. Definitions are those of MODELS 7.6, per fill and not weighted by size:

    half-spread = side * (mid when the core booked the fill - price)
    markout(h)  = side * (mid h later - price),   the last trusted mid at or before that instant
    adverse(h)  = half-spread - markout(h)

with side +1 for our buys and -1 for our sells, all in bps of the price. A fill is dated by when we learned of it.
"""

from collections.abc import Sequence

import msgspec

from mm_daemon.core.market import MarketState
from mm_daemon.domain.events import OrderFilled
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import Side
from mm_daemon.engine.equity import EquityCurve
from mm_daemon.engine.inventory_time import InventoryTime
from mm_daemon.engine.markouts import DEFAULT_HORIZONS_NS, Markouts
from mm_daemon.engine.moments import Moments
from mm_daemon.risk.limits import MarketLimits

_NS = 1_000_000_000
_S_PER_H = 3600
_PER_BP = 1e4
WIN_HORIZON_NS = 10 * _NS
"""A fill has won when its markout is positive here."""


class MarkoutFigure(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Our fills on one side at one horizon: means over the fills whose mid there is known, in bps of their price, and
    the means' standard errors. `half_spread_bps = markout_bps + adverse_bps` over the same fills. None: too few.
    """

    side: str
    """`bid`: we bought; `ask`: we sold."""
    horizon_s: int
    fills: int
    """Fills observed: the latest have not reached the horizon, some met a book that could not be trusted."""
    markout_bps: float | None
    """Positive: the fills earned."""
    markout_se_bps: float | None
    half_spread_bps: float | None
    adverse_bps: float | None
    """What the mid went against us after the fill; positive: it cost."""
    adverse_se_bps: float | None


class FillFigures(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What fills brought. None: there is nothing to take the mean of."""

    trades_per_hour: float | None
    """Fills over the time since the start."""
    spread_captured_bps: float | None
    """Mean half-spread of all fills, bps of the price; negative: they were worse than the mid."""
    spread_captured_se_bps: float | None
    win_rate: float | None
    """Share of fills with a markout above zero after 10 s, of those whose mid after 10 s is known."""
    markouts: tuple[MarkoutFigure, ...]


class InventoryFigures(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The position weighted by time, base units (contracts where a contract is not one unit)."""

    mean_abs: float
    rms: float
    time_at_limit: float
    """Share of time at or beyond the larger of the two position limits."""
    mean_holding_s: float | None
    """Mean time a unit is held, by Little's law: |position| over time, divided by the size closed. None: none was."""


class Outcome:
    """Fills of one side at one horizon. Money in the settlement currency, markout times notional."""

    __slots__ = ("adverse", "gain", "half_spread", "loss", "markout", "won")

    def __init__(self) -> None:
        self.markout, self.half_spread, self.adverse = Moments(), Moments(), Moments()
        self.won = 0
        self.gain = self.loss = 0.0

    def add(self, fill: "_Fill", markout_bps: float) -> None:
        self.markout.add(markout_bps)
        self.half_spread.add(fill.half_spread_bps)
        self.adverse.add(fill.half_spread_bps - markout_bps)
        self.won += markout_bps > 0.0
        money = fill.notional * markout_bps / _PER_BP
        if money > 0.0:
            self.gain += money
        else:
            self.loss -= money


class _Fill(msgspec.Struct, frozen=True, gc=False):
    side: Side
    half_spread_bps: float
    notional: float


class TradeStatistics:
    """One market. The owner calls `booked` after the core has taken in fills or payments, and says what the mid was:
    either `stood` before anything changes, at the latest when `due_ns` has passed, or `saw` after every turn while
    `due_ns` is not `NEVER_NS`.
    """

    __slots__ = (
        "_captured",
        "_fee_lots",
        "_fills",
        "_first_fills",
        "_inventory",
        "_limits",
        "_lots",
        "_market",
        "_markouts",
        "_spread_atto",
        "_start_ns",
        "equity",
        "orders",
        "outcomes",
        "untold",
    )

    def __init__(self, market: MarketState, start_ns: int) -> None:
        position, limits = market.position, market.parameters.limits
        self._market = market
        self._start_ns = start_ns
        self._lots, self._spread_atto = position.lots, position.spread_atto
        self._fee_lots = position.fee_lots
        self._fills = self._first_fills = _fills_of(market)
        self._captured = Moments()
        self._markouts = Markouts(DEFAULT_HORIZONS_NS, self._observed)
        self._limits = limits
        self._inventory = InventoryTime(_limit_lots(limits))
        self._inventory.on_position(start_ns, position.lots)
        self.outcomes: dict[tuple[Side, int], Outcome] = {
            (side, horizon_ns): Outcome() for side in Side for horizon_ns in DEFAULT_HORIZONS_NS
        }
        """By side of ours and horizon in nanoseconds."""
        self.equity = EquityCurve()
        """Sampled by the owner, every `EQUITY_NS`."""
        self.orders = 0
        """Places and amends sent, counted by the owner of a live run."""
        self.untold = 0
        """Fills in the books that nobody told one by one, such as those a venue's snapshot showed: of them only the
        position is known here."""

    @property
    def due_ns(self) -> int:
        """When the mid is wanted next; `NEVER_NS` while no fill waits."""
        return self._markouts.next_ns

    def booked(self, fills: Sequence[OrderFilled], now_ns: int) -> None:
        """The books may have changed; `fills` are what the venue told of this market since the last call.

        One told twice is booked once. Where fills and books do not match, the fills are left out rather than guessed.
        """
        position, held_lots = self._market.position, self._lots
        limits = self._market.parameters.limits
        if limits is not self._limits:
            self._limits = limits
            self._inventory.set_limit(now_ns, _limit_lots(limits))
        known = tuple({fill.fill_key: fill for fill in fills}.values())
        count, spread_atto = _fills_of(self._market), position.spread_atto
        new, captured_atto = count - self._fills, spread_atto - self._spread_atto
        fee_lots = position.fee_lots - self._fee_lots
        self._lots, self._fills, self._spread_atto = position.lots, count, spread_atto
        self._fee_lots = position.fee_lots
        if new == len(known) and held_lots + sum(fill.side * fill.lots for fill in known) == position.lots + fee_lots:
            if known:
                mid_ticks = self._mid_ticks(known, captured_atto, fee_lots)
                for fill in known:
                    held_lots += fill.side * fill.lots
                    self._inventory.on_position(fill.ts_local_ns, held_lots)
                    self._fill(fill, mid_ticks)
                if fee_lots:
                    self._inventory.on_position(now_ns, position.lots)
        else:
            self.untold += new
            self._inventory.on_position(now_ns, position.lots)

    def stood(self, until_ns: int) -> int:
        """Since the last turn nothing has changed, up to and with `until_ns`. Returns `due_ns`."""
        markouts, book = self._markouts, self._market.book
        if markouts.next_ns <= until_ns:
            if book.trusted:
                markouts.on_mid(markouts.next_ns, 0.5 * book.half_ticks)
                markouts.on_mid(until_ns, 0.5 * book.half_ticks)
            else:
                markouts.lose_book(markouts.next_ns)
                markouts.lose_book(until_ns + 1)
        return markouts.next_ns

    def saw(self, now_ns: int) -> None:
        """A turn at `now_ns` is over."""
        book = self._market.book
        if book.trusted:
            self._markouts.on_mid(now_ns, 0.5 * book.half_ticks)
        else:
            self._markouts.lose_book(now_ns)

    def fill_figures(self, now_ns: int) -> FillFigures:
        """As of `now_ns`."""
        passed_s = (now_ns - self._start_ns) / _NS
        wins = [outcome for (_, horizon_ns), outcome in self.outcomes.items() if horizon_ns == WIN_HORIZON_NS]
        observed = sum(outcome.markout.count for outcome in wins)
        return FillFigures(
            trades_per_hour=(self._fills - self._first_fills) * _S_PER_H / passed_s if passed_s > 0 else None,
            spread_captured_bps=self._captured.known_mean,
            spread_captured_se_bps=self._captured.error,
            win_rate=sum(outcome.won for outcome in wins) / observed if observed else None,
            markouts=tuple(
                MarkoutFigure(
                    side=side.word,
                    horizon_s=horizon_ns // _NS,
                    fills=outcome.markout.count,
                    markout_bps=outcome.markout.known_mean,
                    markout_se_bps=outcome.markout.error,
                    half_spread_bps=outcome.half_spread.known_mean,
                    adverse_bps=outcome.adverse.known_mean,
                    adverse_se_bps=outcome.adverse.error,
                )
                for (side, horizon_ns), outcome in self.outcomes.items()
            ),
        )

    def inventory_figures(self, now_ns: int) -> InventoryFigures | None:
        """From the start to `now_ns`; None while no time has passed."""
        figures = self._inventory.figures(now_ns)
        if figures is None:
            return None
        lot = float(self._market.instrument.size(1))
        return InventoryFigures(
            mean_abs=figures.mean_abs * lot,
            rms=figures.rms * lot,
            time_at_limit=figures.time_at_limit,
            mean_holding_s=figures.mean_holding,
        )

    def _fill(self, fill: OrderFilled, mid_ticks: float) -> None:
        half_spread_bps = _PER_BP * fill.side * (mid_ticks - fill.ticks) / fill.ticks
        self._captured.add(half_spread_bps)
        notional = fill.lots * abs(self._market.position.value(2 * fill.ticks)) / ATTO
        if self._market.book.trusted:
            self._markouts.on_mid(fill.ts_local_ns - 1, mid_ticks)  # earlier fills that were due while nobody looked
        self._markouts.on_fill(fill.ts_local_ns, fill.side, fill.ticks, _Fill(fill.side, half_spread_bps, notional))

    def _mid_ticks(self, fills: Sequence[OrderFilled], captured_atto: int, fee_lots: int) -> float:
        """The mid the core booked these fills at, from what they captured: all of a turn are booked at one mid. Lots
        that paid fees have gone at the price of one of the fills.

        Where buys and sells of a turn cancel out it cannot be told, and the mark stands in.
        """
        position, contract = self._market.position, self._market.instrument
        net_lots = sum(fill.side * fill.lots for fill in fills) - fee_lots
        if not net_lots:
            return 0.5 * (position.half_ticks or 0)
        ticks = fills[0].ticks
        paid_atto = sum(fill.side * fill.lots * position.value(2 * fill.ticks) for fill in fills)
        if fee_lots:
            charged = next((fill for fill in fills if fill.base_fee is not None), fills[0])
            paid_atto -= fee_lots * position.value(2 * charged.ticks)
        ratio = (captured_atto + paid_atto) / (net_lots * position.value(2 * ticks))
        return 0.5 * round(2 * ticks / ratio if contract.inverse else 2 * ticks * ratio)

    def _observed(self, horizon: int, fill: _Fill, markout_bps: float) -> None:
        self.outcomes[fill.side, DEFAULT_HORIZONS_NS[horizon]].add(fill, markout_bps)


def _limit_lots(limits: MarketLimits) -> int:
    return max(1, limits.max_position_lots, -limits.min_position_lots)


def _fills_of(market: MarketState) -> int:
    """Fills booked since the process began."""
    return sum(side.maker_fills + side.taker_fills for side in (market.position.bought, market.position.sold))
