"""The simulated Lighter without its sockets: admitted transactions, the market behind, and everything that is told.

An admitted transaction waits for its key's turn and its delay, and is then carried out: nobody hears of that but by the
streams and by the transaction's record. Every method is given the venue's time, which never goes back.
"""

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from connectors.simulators.lighter import codes
from connectors.simulators.lighter.account import Account
from connectors.simulators.lighter.admission import (
    CANCEL,
    CANCEL_ALL,
    CREATE,
    MARKET,
    MODIFY,
    Transaction,
)
from connectors.simulators.lighter.market import Market, decimals, party, percent
from connectors.simulators.lighter.orders import CANCELED, FILLED, FIRST_INDEX, Order
from connectors.simulators.lighter.settings import LighterVenueSettings
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, PlaceOrder, Reason
from mm_daemon.domain.events import (
    BookDelta,
    BookSnapshot,
    Event,
    FundingPaid,
    FundingUpdate,
    MarkPriceUpdate,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    PublicTrade,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue
from mm_daemon.domain.money import from_pair, to_text
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side, TimeInForce
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.embedded import EmbeddedMarket, EmbeddedSettings
from mm_daemon.simulation.symbols import SymbolSettings, build_symbol

VENUE = Venue("lighter")
_NS_PER_MS = 1_000_000
_KEPT = 5000
_ENDED = {
    RejectKind.POST_ONLY_CROSS: "canceled-post-only",
    RejectKind.REDUCE_ONLY: "canceled-reduce-only",
    RejectKind.INSUFFICIENT_MARGIN: "canceled-margin-not-allowed",
}
FAILED, EXECUTED, PENDING = 0, 2, 1

Key = tuple[str, ...]
"""Channel and what it is of: `("order_book", "0")`."""


class Said(msgspec.Struct, frozen=True):
    """An update for whoever listens to `key`."""

    key: Key
    body: dict[str, Any]


class Exchange:
    """Structurally admission's `Floor`."""

    def __init__(self, symbols: Sequence[str], settings: LighterVenueSettings, seed: int) -> None:
        """Raises ConfigError for symbols that cannot be."""
        facts = settings.facts
        fees = SymbolSettings(maker_fee_bps=facts.maker_fee_bps, taker_fee_bps=facts.taker_fee_bps)
        made = [build_symbol(VENUE, name, settings.symbols.get(name, fees)) for name in symbols]
        self._market = EmbeddedMarket(
            VENUE,
            made,
            EmbeddedSettings(
                seed=seed,
                opening=0,
                entry_latency_ms=0.0,
                response_latency_ms=0.0,
                feed_latency_ms=0.0,
                publish_interval_ms=settings.publish_interval_ms,
            ),
        )
        self._settings = settings
        self._delays_ns = facts.maker_delay_ms * _NS_PER_MS, facts.taker_delay_ms * _NS_PER_MS
        rng = Rng(seed).split("nonces")
        self.books = {
            number: Market(number, instrument, rng.split(instrument.symbol))
            for number, instrument in enumerate(self._market.instruments())
        }
        for each in self.books.values():
            decimals(each.instrument)
        self._numbers: Mapping[InstrumentId, int] = {each.instrument.id: n for n, each in self.books.items()}
        self.account = Account(settings.account_index, settings.deposit, self.markets)
        self.active: dict[ClientOrderId, Order] = {}
        self.inactive: deque[Order] = deque(maxlen=_KEPT)
        self.transactions: dict[str, dict[str, Any]] = {}
        """Records by hash."""
        self._queue: list[tuple[int, int, Transaction]] = []
        self._coming: dict[str, set[tuple[int, int]]] = {}
        """Client indexes of orders that are admitted and not carried out, by hash."""
        self._turns_ns: dict[int, int] = {}
        self._internal = 0
        self._sequence = 0
        self._now_ns = 0
        self._said: list[Said] = []
        self._changed: dict[ClientOrderId, Order] = {}
        self._traded: dict[int, list[dict[str, Any]]] = {}
        self._prints: dict[int, list[dict[str, Any]]] = {}
        self._expected: deque[Order] = deque()
        """Whose orders are the takers of the next prints."""
        self.cancel_all_ms = 0
        self.height = 227_535_532
        self.volume = 0.0
        """USD traded by the account since this was last taken."""

    # What admission asks

    @property
    def markets(self) -> Mapping[int, Instrument]:
        return {number: each.instrument for number, each in self.books.items()}

    def is_known(self, market: int, index: int) -> bool:
        return self.find(market, index) is not None or any((market, index) in each for each in self._coming.values())

    def find(self, market: int, index: int) -> Order | None:
        """The active order of a client's or the venue's index."""
        for order in self.active.values():
            if order.market_id == market and index == (order.client_index if index < FIRST_INDEX else order.index):
                return order
        return None

    def orders_of(self, market: int) -> int:
        return sum(order.market_id == market for order in self.active.values())

    def mark_ticks(self, market: int) -> float:
        return self.books[market].mark_half_ticks / 2

    def marks(self) -> dict[int, float]:
        return {number: self.mark_ticks(number) for number in self.books}

    # Time

    def submit(self, transactions: Sequence[Transaction], now_ns: int) -> int:
        """Admitted transactions take their turn; when the last one is carried out, ms."""
        at_ns = now_ns
        for each in transactions:
            delay_ns = self._delays_ns[each.may_take]
            at_ns = max(now_ns + delay_ns, self._turns_ns.get(each.key_index, 0))
            self._turns_ns[each.key_index] = at_ns
            self._sequence += 1
            heapq.heappush(self._queue, (at_ns, self._sequence, each))
            if each.tx_type == CREATE:
                self._coming[each.hash] = {(each.info["MarketIndex"], each.info["ClientOrderIndex"])}
            self.transactions[each.hash] = _record(each, now_ns // _NS_PER_MS, self._sequence)
            while len(self.transactions) > _KEPT:
                del self.transactions[next(iter(self.transactions))]
        return at_ns // _NS_PER_MS

    def advance(self, now_ns: int) -> list[Said]:
        """Live up to now; everything that is to be told since this was last asked."""
        while True:
            due_ns = self._queue[0][0] if self._queue else now_ns + 1
            fires_ns = self.cancel_all_ms * _NS_PER_MS or now_ns + 1
            if min(due_ns, fires_ns) > now_ns:
                break
            self._live(min(due_ns, fires_ns))
            if fires_ns <= due_ns:
                self.cancel_all_ms = 0
                self._cancel_orders(list(self.active.values()), CANCELED)
            else:
                self._carry_out(heapq.heappop(self._queue)[2])
            self._tell()
        self._live(now_ns)
        for order in [each for each in self.active.values() if 0 < each.expiry_ms * _NS_PER_MS <= now_ns]:
            self._cancel_orders([order], "canceled-expired")
        self._tell()
        said, self._said = self._said, []
        return said

    def next_deadline_ns(self) -> int:
        deadlines = [self._market.next_deadline_ns() or 0]
        deadlines += [self._queue[0][0]] if self._queue else []
        deadlines += [self.cancel_all_ms * _NS_PER_MS] if self.cancel_all_ms else []
        return min(deadlines)

    def hit(self, index: int, lots: int, now_ns: int) -> bool:
        """Have so much of an order filled now, found in any market."""
        for market in self.books:
            order = self.find(market, index)
            if order is not None:
                return self._market.hit(order.internal, lots, now_ns) > 0
        return False

    def _live(self, now_ns: int) -> None:
        self._now_ns = max(self._now_ns, now_ns)
        for event in self._market.advance(self._now_ns):
            self._hear(event)

    # Transactions

    def _carry_out(self, transaction: Transaction) -> None:
        self.height += 1
        self._coming.pop(transaction.hash, None)
        done = {
            CREATE: self._create,
            CANCEL: self._cancel,
            MODIFY: self._modify,
            CANCEL_ALL: self._cancel_all,
        }.get(transaction.tx_type, self._update_leverage)(transaction)
        record = self.transactions.get(transaction.hash)
        if record is None:
            return
        now_ms = self._now_ns // _NS_PER_MS
        failure = None if done is None else msgspec.json.encode({"code": done[0], "message": done[1]}).decode()
        event = {"m": transaction.info.get("MarketIndex", 255), "ae": "" if failure is None else failure}
        record |= {
            "status": EXECUTED if done is None else FAILED,
            "executed_at": now_ms,
            "block_height": self.height,
            "event_info": msgspec.json.encode(event).decode(),
            "transaction_time": now_ms * 1000,
        }
        self._say(("account_tx",), {"txs": [record]})

    def _create(self, transaction: Transaction) -> tuple[int, str] | None:
        info = transaction.info
        market = self.books[info["MarketIndex"]]
        self._internal += 1
        order = Order(market.instrument, market.number, ClientOrderId(self._internal), info)
        order.nonce = market.nonce
        order.created_ms = self._now_ns // _NS_PER_MS
        if order.reduce_only and order.side * self.account.positions[market.number].lots >= 0:
            return None  # as at the venue: nobody is told of an order that could only open a position
        if not self._affords(order):
            self._end(order, _ENDED[RejectKind.INSUFFICIENT_MARGIN])
            return None
        resting = order.time_in_force != 0
        self.active[order.internal] = order
        self._changed[order.internal] = order
        place = PlaceOrder(
            market.instrument.id,
            order.internal,
            order.side,
            0,
            order.ticks,
            order.lots,
            (Reason.NEW_QUOTE,),
            post_only=order.time_in_force == 2,
            reduce_only=order.reduce_only,
            time_in_force=TimeInForce.GTC if resting else TimeInForce.IOC,
        )
        self._execute(order, place)
        return None

    def _affords(self, order: Order) -> bool:
        """Whether the account's value, levered, holds what it would have at the worst."""
        marks, contract = self.marks(), order.instrument
        held = self.account.positions[order.market_id].lots
        if order.side * held < 0 and order.lots <= abs(held):
            return True
        wanted = contract.tick * contract.lot * order.ticks * order.lots
        room = self.account.value(marks) * self._settings.max_leverage
        return self.account.notional(marks) + wanted <= room

    def _cancel(self, transaction: Transaction) -> tuple[int, str] | None:
        order = self.find(transaction.info["MarketIndex"], transaction.info["Index"])
        if order is None:
            return codes.ORDER_NOT_ACTIVE, "order is not active"
        self._cancel_orders([order], CANCELED)
        return None

    def _modify(self, transaction: Transaction) -> tuple[int, str] | None:
        info = transaction.info
        order = self.find(info["MarketIndex"], info["Index"])
        if order is None:
            return codes.ORDER_NOT_ACTIVE, "order is not active"
        amend = AmendOrder(
            order.instrument.id, order.internal, info["Price"], info["BaseAmount"], (Reason.TOO_PASSIVE,)
        )
        return self._execute(order, amend)

    def _cancel_all(self, transaction: Transaction) -> tuple[int, str] | None:
        when = transaction.info["TimeInForce"]
        if when == 1:
            self.cancel_all_ms = transaction.info["Time"]
        elif when == 2:
            self.cancel_all_ms = 0
        else:
            only = transaction.attributes.get(MARKET)
            self._cancel_orders([each for each in self.active.values() if only in (None, each.market_id)], CANCELED)
        return None

    def _update_leverage(self, transaction: Transaction) -> tuple[int, str] | None:
        info = transaction.info
        held = self.account.positions[info["MarketIndex"]]
        if bool(info["MarginMode"]) is not held.isolated:
            if held.lots or self.orders_of(info["MarketIndex"]):
                return codes.MARGIN_MODE_IN_USE, "margin mode cannot change with orders or a position"
            held.isolated = bool(info["MarginMode"])
        held.margin_fraction = info["InitialMarginFraction"]
        return None

    def _cancel_orders(self, orders: Sequence[Order], status: str) -> None:
        for order in orders:
            self._market.execute(CancelOrder(order.instrument.id, order.internal, (Reason.FOREIGN,)), self._now_ns)
            self._end(order, status)
        self._live(self._now_ns)

    def _execute(self, order: Order, request: PlaceOrder | AmendOrder) -> tuple[int, str] | None:
        """Have the market carry out a request of ours. Its replies come now, what others see of it by `advance`."""
        problem: tuple[int, str] | None = None
        taken = 0
        ended: str | None = None
        for reply in self._market.execute(request, self._now_ns):
            if isinstance(reply, OrderRejected):
                ended = _ENDED.get(reply.kind, CANCELED)
            elif isinstance(reply, OrderAmendRejected):
                problem = (codes.BELOW_MINIMUM, reply.text)
            elif isinstance(reply, OrderAmended):
                order.ticks, order.lots = reply.ticks, reply.lots
                self._changed[order.internal] = order
            elif isinstance(reply, OrderFilled):
                taken += 1
            elif isinstance(reply, OrderCanceled) and reply.client_id != order.internal:
                other = self.active.get(reply.client_id)
                if other is not None:
                    self._end(other, "canceled-self-trade")
            elif isinstance(reply, OrderCanceled):
                post_only = order.time_in_force == 2
                ended = "canceled-post-only" if post_only else "canceled-not-enough-liquidity"
        self._expected.extend(order for _ in range(taken))
        self._live(self._now_ns)
        if ended is not None and order.active:
            self._end(order, ended)
        return problem

    def _end(self, order: Order, status: str) -> None:
        order.status = status
        self.active.pop(order.internal, None)
        self.inactive.append(order)
        self._changed[order.internal] = order

    # The market's words

    def _hear(self, event: Event) -> None:
        if isinstance(event, BookSnapshot | BookDelta):
            market = self._of(event.instrument)
            market.book.apply(event)
            before = market.step_nonce()
            frame = market.book_frame(event.bids, event.asks, before, self._now_ns)
            self._say(("order_book", str(market.number)), frame)
            self._say(("ticker", str(market.number)), market.ticker(self._now_ns))
        elif isinstance(event, PublicTrade):
            self._print(self._of(event.instrument), event)
        elif isinstance(event, OrderFilled):
            self._made(event)
        elif isinstance(event, MarkPriceUpdate):
            self._of(event.instrument).told_mark_half_ticks = event.mark_half_ticks
        elif isinstance(event, FundingUpdate):
            self._of(event.instrument).settle(event)
        elif isinstance(event, FundingPaid):
            self._paid(event)

    def _of(self, instrument: InstrumentId) -> Market:
        return self.books[self._numbers[instrument]]

    def _print(self, market: Market, event: PublicTrade) -> None:
        row = market.print_row(event, self.height)
        self._prints.setdefault(market.number, []).append(row)
        if self._expected:
            fee_ppm = market.instrument.taker_fee_ppm
            self._ours(row, self._expected.popleft(), event.ticks, event.lots, fee_ppm)

    def _made(self, event: OrderFilled) -> None:
        """A maker's fill, which follows the print that it belongs to."""
        order = self.active.get(event.client_id)
        if order is None:
            return
        market = self.books[order.market_id]
        self._ours(market.trades[-1], order, event.ticks, event.lots, market.instrument.maker_fee_ppm)

    def _ours(self, row: dict[str, Any], order: Order, ticks: int, lots: int, fee_ppm: int) -> None:
        """A print that is a fill of ours."""
        side = "bid" if order.side is Side.BUY else "ask"
        row |= party(side, order.index, order.client_index, self.account.index)
        order.filled_lots += lots
        order.filled_money += ticks * lots
        self.volume += float(self.account.book(order.market_id, order.side, ticks, lots, fee_ppm))
        self.account.trades.append(row)
        self._traded.setdefault(order.market_id, []).append(row)
        self._changed[order.internal] = order
        if order.filled_lots >= order.lots:
            self._end(order, FILLED)

    def _paid(self, event: FundingPaid) -> None:
        market = self._of(event.instrument)
        held = self.account.positions[market.number].lots
        self._sequence += 1
        self.account.pay(
            {
                "timestamp": event.ts_venue_ns // 1_000_000_000,
                "market_id": market.number,
                "funding_id": self._sequence,
                "change": to_text(from_pair(event.amount)),
                "rate": percent(market.rate_e12),
                "position_size": f"{market.instrument.size(abs(held)):f}",
                "position_side": "long" if held > 0 else "short",
                "discount": "0",
            }
        )

    # What is told

    def _say(self, key: Key, body: dict[str, Any]) -> None:
        self._said.append(Said(key, body))

    def _tell(self) -> None:
        """Prints, then orders with their state as it is now, then the fills, then positions."""
        for number, rows in self._prints.items():
            body = {"trades": rows, "liquidation_trades": [], "nonce": self.books[number].nonce}
            self._say(("trade", str(number)), body)
        now_ms = self._now_ns // _NS_PER_MS
        orders: dict[int, list[dict[str, Any]]] = {}
        for order in self._changed.values():
            order.updated_ms = now_ms
            orders.setdefault(order.market_id, []).append(order.row(self.account.index))
        if orders:
            self._say(("account_all_orders",), {"orders": {str(n): rows for n, rows in orders.items()}})
        for number, rows in orders.items():
            told = {"account": self.account.index, "nonce": self.books[number].nonce, "orders": {str(number): rows}}
            self._say(("account_orders", str(number)), told)
        if self._traded:
            trades = {str(number): rows for number, rows in self._traded.items()}
            self._say(("account_all_trades",), {"trades": trades})
            self._say(("account_all_positions",), {"positions": self.positions(), "shares": []})
            self._say(("account_all_assets",), {"assets": {"3": self.account.asset()}})
        for number in {*orders, *self._traded}:
            rows = self._traded.get(number, [])
            self._say(("account_market", str(number)), self.market_of_account(number, orders.get(number, []), rows))
        self._prints, self._changed, self._traded = {}, {}, {}

    def positions(self) -> dict[str, dict[str, Any]]:
        """By market; a flat one is left out."""
        held = [number for number, position in self.account.positions.items() if position.lots]
        return {
            str(number): self.account.position_row(number, self.mark_ticks(number), self.orders_of(number))
            for number in held
        }

    def market_of_account(
        self, number: int, orders: list[dict[str, Any]], trades: list[dict[str, Any]]
    ) -> dict[str, Any]:
        return {
            "account": self.account.index,
            "assets": None,
            "funding_history": None,
            "orders": orders,
            "position": self.account.position_row(number, self.mark_ticks(number), self.orders_of(number)),
            "trades": trades,
        }

    def book_snapshot(self, number: int) -> dict[str, Any]:
        return self.books[number].snapshot(self._now_ns)

    def ticker(self, number: int) -> dict[str, Any]:
        return self.books[number].ticker(self._now_ns)

    def open_rows(self, number: int | None = None) -> list[dict[str, Any]]:
        return [
            order.row(self.account.index)
            for order in self.active.values()
            if number is None or order.market_id == number
        ]


def _record(transaction: Transaction, now_ms: int, sequence: int) -> dict[str, Any]:
    return {
        "hash": transaction.hash,
        "type": transaction.tx_type,
        "info": transaction.text,
        "event_info": "{}",
        "status": PENDING,
        "transaction_index": 0,
        "l1_address": f"0x{0:040x}",
        "account_index": transaction.info["AccountIndex"],
        "nonce": transaction.nonce,
        "expire_at": transaction.info["ExpiredAt"],
        "block_height": 0,
        "queued_at": now_ms,
        "executed_at": 0,
        "sequence_index": sequence,
        "parent_hash": "",
        "api_key_index": transaction.key_index,
        "transaction_time": 0,
    }
