"""Accounts of the simulated Hyperliquid: money, positions, orders, agents, nonces and budgets. No matching, no clock.

Money is integers of 1e-12 USDC, and so are other tokens, of 1e-12 of them (see `market.py`). Money of perpetuals and of
spot is apart, unless the account is unified.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from connectors.simulators.hyperliquid.market import MONEY_PER_TICK_LOT, Market, shown
from mm_daemon.domain.orders import Side

USDC = 10**12
NONCES_KEPT = 100
_DAY_MS = 86_400_000
_HISTORY_KEPT = 2000
FILLS_KEPT = 10_000
_NAMED_AGENTS, _MORE_BY_SUB_ACCOUNT = 3, 2
_PPM = 10**6
_TIERS = ((0, 450, 150), (5, 400, 120), (25, 350, 80), (100, 300, 40), (500, 280, 0), (2000, 260, 0), (7000, 240, 0))
"""From a volume in millions of USDC on: taker and maker fee, parts per million."""
_SPOT_FEES = ((700, 400), (600, 300), (500, 200), (400, 100), (350, 0), (300, 0), (250, 0))
"""Of spot, in the same tiers."""
_SPOT_MONEY_STEP = 10**4
"""Spot money is kept to eight decimals."""


class Order:
    """One order, open or ended. `lots` is what remains."""

    __slots__ = (
        "client_order_id",
        "lots",
        "market",
        "oid",
        "original_lots",
        "reduce_only",
        "side",
        "status",
        "status_ms",
        "ticks",
        "tif",
        "time_ms",
        "trigger",
    )

    def __init__(
        self,
        market: Market,
        oid: int,
        side: Side,
        ticks: int,
        lots: int,
        *,
        reduce_only: bool,
        tif: str,
        client_order_id: str | None,
        time_ms: int,
        trigger: "TriggerTerms | None" = None,
    ) -> None:
        self.market = market
        self.oid = oid
        self.side = side
        self.ticks = ticks
        self.lots = self.original_lots = lots
        self.reduce_only = reduce_only
        self.tif = tif
        self.client_order_id = client_order_id
        self.time_ms = self.status_ms = time_ms
        self.trigger = trigger
        self.status = "open"


class TriggerTerms(msgspec.Struct, frozen=True):
    """When a trigger order becomes one: the mark rises to or falls to `ticks`."""

    ticks: int
    above: bool
    is_market: bool
    tpsl: str


class Position:
    """`cost` is what the lots were bought (or sold) for, as a positive sum of money."""

    __slots__ = ("cost", "cross", "funding_all", "funding_open", "leverage", "lots")

    def __init__(self, leverage: int) -> None:
        self.lots = 0
        self.cost = 0
        self.leverage = leverage
        self.cross = True
        self.funding_all = self.funding_open = 0

    def trade(self, side: Side, ticks: int, lots: int) -> int:
        """Book a trade at the average cost; the profit of what it closed."""
        price = ticks * MONEY_PER_TICK_LOT
        closed = min(lots, abs(self.lots)) if self.lots * side < 0 else 0
        profit = 0
        if closed:
            share = self.cost * closed // abs(self.lots)
            profit = (price * closed - share) * (1 if self.lots > 0 else -1)
            self.cost -= share
        self.cost += price * (lots - closed)
        self.lots += side * lots
        if not self.lots or lots > closed > 0:
            self.funding_open = 0
        return profit

    def worth(self, mark_ticks: int) -> int:
        return abs(self.lots) * mark_ticks * MONEY_PER_TICK_LOT

    def unrealised(self, mark_ticks: int) -> int:
        return (self.worth(mark_ticks) - self.cost) * (1 if self.lots > 0 else -1)


class Token:
    """What is held of one token, in 1e-12 of it, and what it was bought for."""

    __slots__ = ("cost", "units")

    def __init__(self) -> None:
        self.units = 0
        self.cost = 0


class Fill(msgspec.Struct, frozen=True):
    """One fill as the venue shows it; the fields are those of the wire."""

    coin: str
    px: str
    sz: str
    side: str
    time: int
    startPosition: str
    dir: str
    closedPnl: str
    hash: str
    oid: int
    crossed: bool
    fee: str
    tid: int
    feeToken: str
    twapId: int | None
    cloid: str | msgspec.UnsetType = msgspec.UNSET


class Agent(msgspec.Struct, frozen=True):
    """A key that may trade for an account until `valid_until_ms`."""

    address: str
    name: str | None
    valid_until_ms: int


class Nonces:
    """The highest nonces of one signer."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: set[int] = set()

    def problem(self, nonce: int, now_ms: int) -> str | None:
        """Why a nonce is not taken; None: it is, and is used up."""
        if nonce in self._kept:
            return f"Invalid nonce: duplicate nonce {nonce}"
        if not now_ms - 2 * _DAY_MS < nonce < now_ms + _DAY_MS:
            return f"Invalid nonce: nonce {nonce} is not within two days before and one day after {now_ms}"
        if len(self._kept) >= NONCES_KEPT:
            lowest = min(self._kept)
            if nonce < lowest:
                return f"Invalid nonce: nonce too low {nonce} < {lowest}"
            self._kept.discard(lowest)
        self._kept.add(nonce)
        return None


class Account:
    """A user, or a sub-account of one (`master`)."""

    def __init__(
        self, address: str, usdc: int, traded: int, *, master: "Account | None" = None, name: str = ""
    ) -> None:
        self.address = address
        self.master = master
        self.name = name
        self.usdc = usdc
        self.spot_usdc = 0
        self.unified = False
        self.tokens: dict[str, Token] = {}
        """What is held of others than USDC, by name."""
        self.volume = traded
        """What was traded since inception, in 1e-12 USDC."""
        self.positions: dict[str, Position] = {}
        self.orders: dict[int, Order] = {}
        self.history: dict[int, Order] = {}
        """Ended orders by oid, the newest thousands."""
        self._oids: dict[str, int] = {}
        self.fills: deque[Fill] = deque(maxlen=FILLS_KEPT)
        self.funding: deque[dict[str, object]] = deque(maxlen=FILLS_KEPT)
        self.agents: dict[str, Agent] = {}
        self.sub_accounts: list[Account] = []
        self.requests = 0
        self.cancels = 0
        self.reserved = 0
        self.last_over_ms = 0
        """When the last request beyond the budget was let through."""
        self.schedule_cancel_ms: int | None = None
        self.triggers: tuple[int, int] = (0, 0)
        """Day, and how often the scheduled cancel has fired on it."""

    # Orders

    def open(self, order: Order) -> None:
        self.orders[order.oid] = order
        if order.client_order_id is not None:
            self._oids[order.client_order_id] = order.oid

    def end(self, order: Order, status: str, now_ms: int) -> None:
        """The order is over, or never began."""
        self.orders.pop(order.oid, None)
        order.status, order.status_ms = status, now_ms
        self.history[order.oid] = order
        if order.client_order_id is not None:
            self._oids.setdefault(order.client_order_id, order.oid)
        if len(self.history) > _HISTORY_KEPT:
            gone = self.history.pop(next(iter(self.history)))
            if gone.client_order_id is not None and self._oids.get(gone.client_order_id) == gone.oid:
                del self._oids[gone.client_order_id]

    def find(self, oid: int | str) -> Order | None:
        """By the venue's id or the client's, open or ended."""
        number = self._oids.get(oid) if isinstance(oid, str) else oid
        return None if number is None else self.orders.get(number) or self.history.get(number)

    def resting(self, market: Market, side: Side) -> list[Order]:
        return [
            order
            for order in self.orders.values()
            if order.market is market and order.side is side and order.trigger is None
        ]

    # Money

    def position(self, market: Market) -> Position:
        found = self.positions.get(market.coin)
        if found is None:
            found = self.positions[market.coin] = Position(min(20, market.max_leverage))
        return found

    def held(self, markets: Mapping[str, Market]) -> Iterable[tuple[Market, Position]]:
        return [(markets[coin], position) for coin, position in self.positions.items() if position.lots]

    def value(self, markets: Mapping[str, Market]) -> int:
        return self.usdc + sum(position.unrealised(market.mark_ticks) for market, position in self.held(markets))

    def margin_used(self, markets: Mapping[str, Market]) -> int:
        return sum(position.worth(market.mark_ticks) // position.leverage for market, position in self.held(markets))

    def margin_with_orders(self, markets: Mapping[str, Market], more: Mapping[tuple[str, Side], int]) -> int:
        """Initial margin if each coin's worse side of orders were filled, with `more` lots of them."""
        total = 0
        ordered = {order.market.coin for order in self.orders.values() if order.market.pair is None}
        for coin in sorted(ordered | set(self.positions) | {coin for coin, _ in more}):
            market, lots = markets[coin], self.position(markets[coin]).lots
            wanted = {
                side: more.get((coin, side), 0)
                + sum(order.lots for order in self.resting(market, side) if not order.reduce_only)
                for side in (Side.BUY, Side.SELL)
            }
            worst = max(abs(lots + wanted[Side.BUY]), abs(lots - wanted[Side.SELL]))
            total += worst * market.mark_ticks * MONEY_PER_TICK_LOT // self.position(market).leverage
        return total

    def fees_ppm(self, *, spot: bool = False) -> tuple[int, int]:
        """Taker's and maker's, by the volume."""
        millions = self.master_volume() // (USDC * 10**6)
        tier = max(place for place, (least, _, _) in enumerate(_TIERS) if millions >= least)
        return _SPOT_FEES[tier] if spot else _TIERS[tier][1:]

    def master_volume(self) -> int:
        return self.volume if self.master is None else self.master.volume + self.volume

    def book_fill(self, order: Order, ticks: int, lots: int, *, taker: bool) -> tuple[int, int, int]:
        """Money and position of a fill: (lots before, profit of what it closed, fee)."""
        position = self.position(order.market)
        before = position.lots
        profit = position.trade(order.side, ticks, lots)
        notional = ticks * lots * MONEY_PER_TICK_LOT
        fee = shown(notional * self.fees_ppm()[0 if taker else 1] // _PPM)
        self.usdc += profit - fee
        self.volume += notional
        order.lots -= lots
        return before, profit, fee

    # Spot

    def spot_money(self, markets: Mapping[str, Market]) -> int:
        return self.value(markets) if self.unified else self.spot_usdc

    def spot_hold(self, base: str | None) -> int:
        """What open orders hold of a token; None: of USDC."""
        held = 0
        for order in self.orders.values():
            market = order.market
            if market.pair is None:
                continue
            if base is None and order.side is Side.BUY:
                held += order.lots * order.ticks * market.money_per_tick_lot
            elif base == market.pair.base.name and order.side is Side.SELL:
                held += order.lots * market.lot_units
        return held

    def can_pay(self, order: Order, markets: Mapping[str, Market]) -> bool:
        """Whether what is free covers a new spot order."""
        market = order.market
        assert market.pair is not None
        if order.side is Side.SELL:
            name = market.pair.base.name
            return order.lots * market.lot_units <= self.token(name).units - self.spot_hold(name)
        free = self.spot_money(markets) - self.spot_hold(None)
        if self.unified:
            free -= self.margin_with_orders(markets, {})
        return order.lots * order.ticks * market.money_per_tick_lot <= free

    def token(self, name: str) -> "Token":
        return self.tokens.setdefault(name, Token())

    def book_spot_fill(self, order: Order, ticks: int, lots: int, *, taker: bool) -> tuple[int, int, int]:
        """Balances of a fill: (base before, profit of what was sold, fee). The fee is in what was received,
        rounded up to its decimals."""
        market = order.market
        assert market.pair is not None
        held = self.token(market.pair.base.name)
        before, units = held.units, lots * market.lot_units
        notional = ticks * lots * market.money_per_tick_lot
        ppm = self.fees_ppm(spot=True)[0 if taker else 1]
        profit = 0
        if order.side is Side.BUY:
            fee = _rounded_up(units * ppm, market.base_step)
            held.units += units - fee
            held.cost += notional
            self._add_spot_money(-notional)
        else:
            fee = _rounded_up(notional * ppm, _SPOT_MONEY_STEP)
            share = held.cost * units // held.units
            profit = notional - share - fee
            held.units -= units
            held.cost -= share
            self._add_spot_money(notional - fee)
        self.volume += notional
        order.lots -= lots
        return before, profit, fee

    def _add_spot_money(self, money: int) -> None:
        if self.unified:
            self.usdc += money
        else:
            self.spot_usdc += money

    def pay_funding(self, market: Market, rate_e12: int) -> int | None:
        """What is received (negative: paid) on the position at the oracle's price; None without a position."""
        position = self.positions.get(market.coin)
        if position is None or not position.lots:
            return None
        received = shown(-position.lots * market.oracle_ticks * MONEY_PER_TICK_LOT * rate_e12 // 10**12)
        self.usdc += received
        position.funding_all -= received
        position.funding_open -= received
        return received

    # Budget

    def request_cap(self, initial: int) -> int:
        return initial + self.volume // USDC + self.reserved

    def over_budget(self, count: int, initial: int, now_ms: int, *, cancel: bool) -> bool:
        """Count `count` requests; whether they are more than the address has earned. One in ten seconds is let through
        all the same, and cancels have a budget that is larger."""
        cap = self.request_cap(initial)
        if cancel:
            self.cancels += count
            return self.cancels + self.requests > min(cap + 100_000, 2 * cap)
        if self.requests + count > cap and now_ms - self.last_over_ms < 10_000:
            return True
        if self.requests + count > cap:
            self.last_over_ms = now_ms
        self.requests += count
        return False

    # Agents

    def approve(self, address: str, name: str | None, now_ms: int) -> str | None:
        """Let a key trade for us; the one that bore the name before is out at once. Why not, or None."""
        valid_until_ms = now_ms + 90 * _DAY_MS
        if name is not None and " valid_until " in name:
            name, _, until = name.partition(" valid_until ")
            if not until.isdigit() or int(until) > now_ms + 180 * _DAY_MS:
                return "Invalid agent expiration"
            valid_until_ms = int(until)
        if name is not None and not 0 < len(name) <= 16:
            return "Invalid agent name"
        others = {key: agent for key, agent in self.agents.items() if agent.name != name}
        named = sum(agent.name is not None and agent.valid_until_ms > now_ms for agent in others.values())
        if name is not None and named >= _NAMED_AGENTS + _MORE_BY_SUB_ACCOUNT * len(self.sub_accounts):
            return "Too many extra agents"
        self.agents = {**others, address: Agent(address, name, valid_until_ms)}
        return None


def usdc(amount: Decimal) -> int:
    return int(amount * USDC)


def _rounded_up(times_ppm: int, step: int) -> int:
    return -(-times_ppm // (_PPM * step)) * step
