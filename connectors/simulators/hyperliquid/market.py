"""One market of the simulated Hyperliquid: its grid, its book with the others in it, its prices and its context.

A price is an integer of 10**-(6 - szDecimals), a size one of 10**-szDecimals, so that a tick of a lot of a perpetual is
always a millionth of a USDC, and of a spot pair, whose prices have two decimals more, a hundredth of that: money below
is exact in integers of 1e-12 USDC.
"""

from collections import deque
from decimal import Decimal

from connectors.simulators.hyperliquid.settings import KNOWN, OTHER, CoinFacts, CoinSettings
from connectors.simulators.hyperliquid.spot import PRICE_DECIMALS as SPOT_PRICE_DECIMALS
from connectors.simulators.hyperliquid.spot import Pair
from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.instrument import SignificantFigures, grid_ceil, grid_floor
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.flow import Flow
from mm_daemon.simulation.matching import Match, PriceTimeBook

FIGURES, PRICE_DECIMALS = 5, 6
MONEY_DECIMALS = 12
MONEY_ONE = 10**MONEY_DECIMALS
"""A USDC."""
MONEY_PER_TICK_LOT = 10**6
"""What a tick of a lot is worth, in 1e-12 USDC."""
_SHOWN = 10**6
"""The last decimal of money on the wire, in 1e-12 USDC."""
_TRADES_SHOWN = 200
_IMPACT_USDC = {"BTC": 20_000, "ETH": 20_000}
_OTHER_IMPACT_USDC = 6_000
_EMA = 0.02
"""Share of each look in the average distance of the mid from the oracle."""


class GridBook(PriceTimeBook):
    """A book in which the others too stand on valid prices only: their bids are lowered, their asks raised."""

    __slots__ = ("_grid",)

    def __init__(self, grid: SignificantFigures) -> None:
        super().__init__()
        self._grid = grid

    def rest(self, order_id: int, side: Side, ticks: int, lots: int) -> None:
        if order_id < 0:
            ticks = max(grid_floor(ticks, self._grid) if side is Side.BUY else grid_ceil(ticks, self._grid), 1)
        super().rest(order_id, side, ticks, lots)


class Trade:
    """One print."""

    __slots__ = ("aggressor", "lots", "maker", "taker", "ticks", "time_ms", "trade_id")

    def __init__(
        self, aggressor: Side, ticks: int, lots: int, time_ms: int, trade_id: int, maker: str, taker: str
    ) -> None:
        self.aggressor = aggressor
        self.ticks = ticks
        self.lots = lots
        self.time_ms = time_ms
        self.trade_id = trade_id
        self.maker = maker
        self.taker = taker


class Market:
    """`number` is its own in actions. A delisted one has a number and nothing else. `pair`: it is spot."""

    def __init__(
        self,
        coin: str,
        number: int,
        settings: CoinSettings,
        rng: Rng,
        *,
        delisted: bool = False,
        pair: Pair | None = None,
    ) -> None:
        self.dex, _, name = coin.partition(":") if ":" in coin else ("", "", coin)
        known = KNOWN.get(name, OTHER) if pair is None else CoinFacts(pair.base.price, pair.base.size_decimals, 1)
        self.coin = coin
        self.number = number
        self.delisted = delisted
        self.pair = pair
        self.size_decimals = known.sz_decimals if settings.sz_decimals is None else settings.sz_decimals
        self.price_decimals = (PRICE_DECIMALS if pair is None else SPOT_PRICE_DECIMALS) - self.size_decimals
        self.money_per_tick_lot: int = 10 ** (MONEY_DECIMALS - self.price_decimals - self.size_decimals)
        self.lot_units: int = 10 ** (MONEY_DECIMALS - self.size_decimals)
        """A lot in 1e-12 of the base."""
        wei_decimals = 0 if pair is None else max(pair.base.wei_decimals, self.size_decimals)
        self.base_step: int = 10 ** (MONEY_DECIMALS - wei_decimals)
        """What balances of the base are kept to, in 1e-12 of it."""
        self.max_leverage = settings.max_leverage or known.max_leverage
        self.open_interest_cap = settings.open_interest_cap
        self.tier_notional = settings.tier_notional
        self.grid = SignificantFigures(FIGURES, self.price_decimals)
        self.book = GridBook(self.grid)
        price = settings.start_price or known.price
        start = float(price.scaleb(self.price_decimals))
        typical = float((settings.typical_notional / price).scaleb(self.size_decimals))
        self.flow = Flow(settings, self.book, rng, fair_ticks=start, typical_lots=typical)
        self.oracle_ticks = self.mark_ticks = self.last_ticks = self.day_open_ticks = round(start)
        self.trades: deque[Trade] = deque(maxlen=_TRADES_SHOWN)
        self.unsaid: list[Trade] = []
        """Prints since the last block."""
        self.said_best: tuple[int, int, int, int] | None = None
        self.day_lots = 0
        self.day_money = 0
        self.premiums: list[float] = []
        """Samples of the running funding period."""
        self.funding: list[tuple[int, int, float]] = []
        """Settled: time in ms, rate in 1e-12, premium."""
        self._basis = 0.0

    def open(self, now_ns: int) -> None:
        if not self.delisted:
            self.flow.open(now_ns)

    def live(self, now_ns: int) -> list[tuple[Side, list[Match]]]:
        """What the others do up to now: their trades, by taker."""
        done: list[tuple[Side, list[Match]]] = []
        while not self.delisted and self.flow.next_ns <= now_ns:
            side, matches = self.flow.step(self.flow.next_ns)
            if matches:
                done.append((side, matches))
        return done

    def best(self) -> tuple[int, int, int, int]:
        """(bid ticks, lots, ask ticks, lots); no lots: nobody there."""
        bid, ask = self.book.best(Side.BUY), self.book.best(Side.SELL)
        return bid, self.book.lots_at(Side.BUY, bid), ask, self.book.lots_at(Side.SELL, ask)

    def mid_half_ticks(self) -> int | None:
        bid, ask = self.book.best(Side.BUY), self.book.best(Side.SELL)
        return None if bid == NO_BID or ask == NO_ASK else bid + ask

    def note(self, trade: Trade) -> None:
        self.trades.append(trade)
        self.unsaid.append(trade)
        self.last_ticks = trade.ticks
        self.day_lots += trade.lots
        self.day_money += trade.ticks * trade.lots * self.money_per_tick_lot

    def look(self) -> None:
        """Validators look at the market: oracle and mark (median of the oracle with its basis, the book and the last
        trade) are new."""
        if self.delisted:
            return
        self.oracle_ticks = max(round(self.flow.price.public_ticks), 1)
        mid = self.mid_half_ticks()
        if mid is not None:
            self._basis += _EMA * (mid / 2 - self.oracle_ticks - self._basis)
        bid, ask = self.book.best(Side.BUY), self.book.best(Side.SELL)
        book = sorted((bid, ask, self.last_ticks))[1] if mid is not None else self.last_ticks
        self.mark_ticks = sorted((round(self.oracle_ticks + self._basis), book, self.oracle_ticks))[1]

    # Funding

    def impact_ticks(self) -> tuple[float, float] | None:
        """Average prices at which the impact notional could be sold and bought; None: the book is too thin."""
        notional = _IMPACT_USDC.get(self.coin, _OTHER_IMPACT_USDC) * 10**PRICE_DECIMALS
        found = []
        for side in (Side.BUY, Side.SELL):
            left, lots = notional, 0.0
            for ticks, here in self.book.depth(side):
                part = min(left / ticks, here)
                lots += part
                left -= round(part * ticks)
                if left <= 0:
                    break
            if left > 0:
                return None
            found.append(notional / lots)
        return found[0], found[1]

    def premium(self) -> float:
        impact = self.impact_ticks()
        if impact is None:
            return 0.0
        bid, ask = impact
        return (max(bid - self.oracle_ticks, 0.0) - max(self.oracle_ticks - ask, 0.0)) / self.oracle_ticks

    @property
    def is_funded(self) -> bool:
        return not self.delisted and self.pair is None

    def sample(self) -> None:
        if self.is_funded:
            self.premiums.append(self.premium())

    def rate_e12(self) -> int:
        """The running estimate of the hourly rate, in 1e-12: an eighth of premium and clamped interest, capped."""
        premium = sum(self.premiums) / len(self.premiums) if self.premiums else 0.0
        rate = (premium + min(max(0.0001 - premium, -0.0005), 0.0005)) / 8.0
        return round(min(max(rate, -0.04), 0.04) * 10**12)

    def settle(self, time_ms: int) -> int:
        """A period has ended: the rate, which is remembered."""
        rate = self.rate_e12()
        premium = sum(self.premiums) / len(self.premiums) if self.premiums else 0.0
        self.premiums.clear()
        self.funding.append((time_ms, rate, premium))
        return rate

    # Texts

    def leverage_at(self, worth: int) -> int:
        """The highest leverage of a position worth so much money."""
        tier = self.tier_notional
        return self.max_leverage if tier is None or worth <= tier * MONEY_ONE else max(self.max_leverage // 2, 1)

    def price(self, ticks: int) -> str:
        return number(ticks, self.price_decimals)

    def size(self, lots: int) -> str:
        return number(lots, self.size_decimals)

    def half(self, half_ticks: int) -> str:
        """A price given in half ticks."""
        return number(half_ticks * 5, self.price_decimals + 1)


def number(units: int, decimals: int) -> str:
    """As the venue shows numbers: no zeros at the end, but one decimal always."""
    text = f"{Decimal(units).scaleb(-decimals):f}"
    if "." not in text:
        return f"{text}.0"
    text = text.rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def money(units: int) -> str:
    """USDC, from 1e-12; at most six decimals are shown, rounded down."""
    return number(units // _SHOWN, MONEY_DECIMALS - 6)


def shown(units: int) -> int:
    """What `money` tells of it. Fees and funding are charged as they are shown: the rows add up to the balance."""
    return units // _SHOWN * _SHOWN
