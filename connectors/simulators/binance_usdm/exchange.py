"""The simulated venue without its sockets: one market with one account, in Binance's words.

Owns the embedded market, the books as they were published, the names of the orders, the countdowns, the wallet and the
file in which the account outlives the process. Whatever is to be said, as reply or on a stream, has been saved before
it is handed out. Every method is given the market's time.
"""

from decimal import Decimal
from pathlib import Path

import msgspec

from connectors.shared.account_file import AccountFile, account_path
from connectors.simulators.binance_usdm import bnb_fees, rows
from connectors.simulators.binance_usdm.limits import Refused
from connectors.simulators.binance_usdm.order_names import ORDER_ID_BASE, Named, OrderNames
from connectors.simulators.binance_usdm.orders import Asked
from connectors.simulators.binance_usdm.positions import BOTH, HEDGED, Positions, closes
from connectors.simulators.binance_usdm.published import Published, Said
from connectors.simulators.binance_usdm.rows import NS_PER_MS, Row
from connectors.simulators.binance_usdm.settings import BinanceUsdmSettings
from mm_daemon.domain.account_history import Entry, OrderKnown, TradeBooked
from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, PlaceOrder
from mm_daemon.domain.events import (
    Event,
    FundingPaid,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue
from mm_daemon.domain.money import to_decimal
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side, TimeInForce
from mm_daemon.ports.simulator import SimulatorContext
from mm_daemon.simulation.account import VenueOrder
from mm_daemon.simulation.embedded import EmbeddedMarket, EmbeddedSettings
from mm_daemon.simulation.symbols import SymbolSettings, build_symbol

VENUE = Venue("binance-usdm")
_MARKET_REACH = 2
_REJECTED = {
    RejectKind.POST_ONLY_CROSS: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    ),
    RejectKind.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    RejectKind.INSUFFICIENT_MARGIN: (-2019, "Margin is insufficient."),
    RejectKind.HALTED: (-4108, "Symbol is not trading."),
}


class Exchange:
    """One market with one account."""

    def __init__(self, context: SimulatorContext, settings: BinanceUsdmSettings) -> None:
        """Raises ConfigError for symbols that cannot be, JournalError when the account's file cannot be used."""
        self._settings = settings
        self._file = _account_file(context.state_dir)
        symbols = [build_symbol(VENUE, name, settings.symbols.get(name, SymbolSettings())) for name in context.symbols]
        self._market = EmbeddedMarket(
            VENUE,
            symbols,
            EmbeddedSettings(
                seed=context.seed,
                opening=0 if self._file is None else self._file.openings - 1,
                entry_latency_ms=0.0,
                response_latency_ms=0.0,
                feed_latency_ms=0.0,
                publish_interval_ms=settings.publish_interval_ms,
            ),
        )
        self._account = account = self._market.account
        account.note = self._note
        if self._file is not None:
            account.restore(self._file.history)
        self._positions = Positions()
        self._bnb = bnb_fees.BnbFees(settings.bnb_balance, account.history, self._bnb_price)
        account.charge = self._bnb.charge
        names = None if context.state_dir is None else context.state_dir / f"venue-{VENUE}.orders"
        self._names = OrderNames(names, account.history.last_client_id)
        self._positions.restore(account.history, account.instruments, self._position_side)
        self.published = Published(self._market.instruments())
        self._instruments = self.published.instruments
        self._countdowns: dict[str, int] = {}
        self.leverage: dict[str, int] = dict.fromkeys(self._instruments, settings.leverage)
        self._said: list[Said] = []

    # Time

    def advance(self, now_ns: int) -> list[Said]:
        """Live up to now; everything that is to be told to the streams since this was last asked."""
        for symbol, due_ns in tuple(self._countdowns.items()):
            if now_ns >= due_ns:
                del self._countdowns[symbol]
                self.cancel_all(self.published.traded(symbol), now_ns)
        for event in self._market.advance(now_ns):
            self._say(event, now_ns)
        self._save()
        said, self._said = self._said, []
        return said

    def next_deadline_ns(self) -> int:
        return min(self._market.next_deadline_ns() or 0, *self._countdowns.values(), 1 << 62)

    def close(self) -> None:
        """Orders die with the venue; the account is in its files."""
        self._market.close()
        if self._file is not None:
            for instrument, half_ticks in self._market.mids().items():
                self._account.note_mid(instrument, half_ticks)
            self._file.close()
        self._names.close()

    # Orders

    def place(self, asked: Asked, now_ns: int) -> Row:
        """Raises Refused."""
        instrument = self.published.traded(asked.symbol)
        taken = self._names.of_client(asked.client_id)
        if taken is not None and ClientOrderId(taken.number) in self._account.orders:
            raise Refused(-4116, "ClientOrderId is duplicated.")
        ticks = asked.ticks(instrument)
        if ticks is None:
            ticks = self._market_price(instrument, asked.side)
        else:
            self._check_band(instrument, asked.side, ticks)
        lots = asked.lots(instrument)
        if not asked.reduce_only and lots < instrument.min_lots_at(ticks):
            raise Refused(-4164, f"Order's notional must be no smaller than {instrument.min_notional:f}.")
        if asked.closes:
            self._check_leg(instrument, asked.side, asked.position_side, lots)
        elif not asked.reduce_only:
            self._check_margin(instrument, asked.side, ticks, lots)
        open_here = [each for each in self._account.orders.values() if each.instrument == instrument.id]
        if len(open_here) >= self._settings.open_orders_max:
            raise Refused(-2025, "Reach max open order limit.")
        named = self._names.add(
            asked.client_id,
            order_type=asked.order_type,
            time_in_force=asked.time_in_force,
            reduce_only=asked.reduce_only,
            position_side=asked.position_side,
            created_ms=now_ns // NS_PER_MS,
        )
        command = PlaceOrder(
            instrument.id,
            ClientOrderId(named.number),
            asked.side,
            0,
            ticks,
            lots,
            (),
            post_only=asked.time_in_force == "GTX",
            reduce_only=asked.reduce_only,
            time_in_force=TimeInForce.IOC if asked.immediate else TimeInForce.GTC,
        )
        replies = self._market.execute(command, now_ns)
        for reply in replies:
            if isinstance(reply, OrderRejected):
                code, text = _REJECTED.get(reply.kind, (-2010, f"NEW_ORDER_REJECTED: {reply.text}"))
                raise Refused(code, text)
            if isinstance(reply, OrderCanceled):
                own = reply.client_id == command.client_id
                self._named(reply.client_id).status = "EXPIRED" if own else "EXPIRED_IN_MATCH"
        for reply in replies:
            self._say(reply, now_ns)
        self._save()
        return self.order(named)

    def modify(self, named: Named, asked: Asked, now_ns: int) -> Row:
        """Raises Refused."""
        instrument = self.published.traded(asked.symbol)
        order = self._open(named)
        ticks, lots = asked.ticks(instrument), asked.lots(instrument)
        if ticks is None:
            raise Refused(-1102, "Mandatory parameter 'price' was not sent, was empty/null, or malformed.")
        if asked.side is not order.side:
            raise Refused(-1106, "Parameter 'side' sent when not required.")
        if (ticks, lots) == (order.ticks, order.lots):
            raise Refused(-5027, "No need to modify the order.")
        self._check_band(instrument, asked.side, ticks)
        if lots > order.filled_lots and lots < instrument.min_lots_at(ticks):
            raise Refused(-4164, f"Order's notional must be no smaller than {instrument.min_notional:f}.")
        if closes(order.side, named.position_side):
            self._check_leg(instrument, order.side, named.position_side, lots - order.lots)
        amend = AmendOrder(instrument.id, order.client_id, ticks, lots, ())
        replies = self._market.execute(amend, now_ns)
        for reply in replies:
            if isinstance(reply, OrderAmendRejected):
                raise Refused(-2010, f"Order could not be modified: {reply.text}")
            self._say(reply, now_ns)
        self._save()
        return self.order(named)

    def cancel(self, named: Named, now_ns: int) -> Row:
        """Raises Refused."""
        order = self._open(named)
        for reply in self._market.execute(CancelOrder(order.instrument, order.client_id, ()), now_ns):
            self._say(reply, now_ns)
        self._save()
        return self.order(named)

    def cancel_all(self, instrument: Instrument, now_ns: int) -> None:
        for order in tuple(self._account.orders.values()):
            if order.instrument == instrument.id:
                self.cancel(self._named(order.client_id), now_ns)

    def count_down(self, symbol: str, ms: int, now_ns: int) -> None:
        """Cancel a symbol's orders in `ms`, unless told again before; 0: never."""
        self.published.traded(symbol)
        self._countdowns.pop(symbol, None)
        if ms:
            self._countdowns[symbol] = now_ns + ms * NS_PER_MS

    def named(self, symbol: str, order_id: str, client_id: str, unknown: int) -> Named:
        """The order that a request names; Refused with the code `unknown` when there is none."""
        self.published.traded(symbol)
        found = None
        if order_id:
            found = self._names.of_number(int(order_id) - ORDER_ID_BASE) if order_id.isdigit() else None
        elif client_id:
            found = self._names.of_client(client_id)
        else:
            raise Refused(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        known = None if found is None else self._known(found)
        if found is None or known is None or self._instruments[symbol].id != known.instrument:
            text = "Unknown order sent." if unknown == -2011 else "Order does not exist."
            raise Refused(unknown, text)
        return found

    def order(self, named: Named, *, full: bool = False) -> Row:
        known = self._known(named)
        if known is None:
            raise Refused(-2013, "Order does not exist.")
        return rows.order_row(known, named, self._instrument(known.instrument), full=full)

    def open_orders(self, symbol: str) -> list[Row]:
        return [
            self.order(self._named(order.client_id), full=True)
            for order in self._account.orders.values()
            if not symbol or self._instrument(order.instrument).symbol == symbol
        ]

    def is_open(self, named: Named) -> bool:
        return ClientOrderId(named.number) in self._account.orders

    def all_orders(self, symbol: str, since_ms: int, limit: int) -> list[Row]:
        """Orders made since, open or not, by their number; the last of them."""
        known = [*self._account.history.ended.values(), *(o.known(ended=False) for o in self._account.orders.values())]
        found = []
        for order in sorted(known, key=lambda each: each.client_id):
            named = self._names.of_number(order.client_id)
            if named is None or named.created_ms < since_ms or self._instrument(order.instrument).symbol != symbol:
                continue
            found.append(self.order(named, full=True))
        return found[-limit:]

    # Account

    def trades(self, symbol: str, *, since_ms: int, until_ms: int, first: int, order_id: int, limit: int) -> list[Row]:
        """Fills of a symbol in their order: from `first` on, or of a stretch of time."""
        instrument, history = self.published.traded(symbol), self._account.history
        forgotten = sum(holding.trades for holding in history.holdings.values()) - len(history.trades)
        found = []
        for number, trade in enumerate(history.trades, forgotten + 1):
            fill, at_ms = trade.fill, trade.fill.ts_venue_ns // NS_PER_MS
            if fill.instrument != instrument.id or number < first or not since_ms <= at_ms <= until_ms:
                continue
            if order_id and ORDER_ID_BASE + fill.client_id != order_id:
                continue
            side = self._position_side(fill)
            found.append(rows.fill_row(fill, number, ORDER_ID_BASE + fill.client_id, side, instrument))
        return found[:limit] if since_ms or first else found[-limit:]

    def income(self, symbol: str, since_ms: int, until_ms: int, limit: int) -> list[Row]:
        """Funding paid and received."""
        found = []
        for paid in self._account.history.payments:
            instrument = self._find(paid.instrument)
            at_ms = paid.ts_venue_ns // NS_PER_MS
            if instrument is not None and symbol in ("", instrument.symbol) and since_ms <= at_ms <= until_ms:
                found.append(rows.income_row(paid, instrument))
        return found[:limit]

    def positions(self, symbol: str, *, hedged: bool = False) -> list[Row]:
        """Symbols with a position or an open order; LONG and SHORT apart where the account is so."""
        found = []
        for instrument in self._instruments.values():
            held = any(lots for lots, _ in self._positions.of(instrument.id))
            orders = any(order.instrument == instrument.id for order in self._account.orders.values())
            if (held or orders) and symbol in ("", instrument.symbol):
                found += [self._position_row(instrument, side) for side in (HEDGED if hedged else (BOTH,))]
        return found

    @property
    def flat(self) -> bool:
        return not any(lots for each in self._instruments.values() for lots, _ in self._positions.of(each.id))

    def balances(self, now_ns: int, *, hedged: bool = False) -> Row:
        """`/fapi/v3/account`."""
        wallet = f"{self.wallet():f}"
        asset = {"asset": "USDT", "updateTime": now_ns // NS_PER_MS}
        names = ("walletBalance", "marginBalance", "crossWalletBalance", "availableBalance", "maxWithdrawAmount")
        zeros = ("unrealizedProfit", "maintMargin", "initialMargin", "positionInitialMargin", "openOrderInitialMargin")
        asset |= dict.fromkeys(names, wallet) | dict.fromkeys((*zeros, "crossUnPnl"), "0")
        totals = {"totalWalletBalance": wallet, "totalMarginBalance": wallet, "totalCrossWalletBalance": wallet}
        free = {"availableBalance": wallet, "maxWithdrawAmount": wallet}
        none = dict.fromkeys(("totalInitialMargin", "totalMaintMargin", "totalUnrealizedProfit"), "0")
        more = dict.fromkeys(("totalPositionInitialMargin", "totalOpenOrderInitialMargin", "totalCrossUnPnl"), "0")
        bnb = {**asset, "asset": "BNB"} | dict.fromkeys(names, f"{self._bnb.left:f}")
        assets = [asset, bnb] if self._settings.bnb_balance else [asset]
        return {**totals, **free, **none, **more, "assets": assets, "positions": self.positions("", hedged=hedged)}

    def wallet(self) -> Decimal:
        """USDT: what was there, and what trades, fees and funding have brought."""
        total = self._settings.balance
        for instrument, holding in self._account.history.holdings.items():
            contract = self._account.history.contracts.get(instrument)
            lot = contract.lot if contract is not None else Decimal(0)
            held = sum(entry * lot * lots for lots, entry in self._positions.of(instrument))
            total += to_decimal(holding.cash_atto) + held
        return round(total, 8)

    def hit(self, client_id: str, size: str, now_ns: int) -> bool:
        """Have so much of an order filled now. Raises Refused."""
        named = self._names.of_client(client_id)
        order = None if named is None else self._account.orders.get(ClientOrderId(named.number))
        if order is None:
            return False
        lots = int(Decimal(size) / self._instrument(order.instrument).lot)
        return self._market.hit(order.client_id, lots, now_ns) > 0

    # Checks

    def _check_band(self, instrument: Instrument, side: Side, ticks: int) -> None:
        half_ticks = self.published.mark_half_ticks(instrument.id)
        share = self._settings.percent_price
        if half_ticks and side is Side.BUY and ticks > half_ticks / 2 * (1 + share):
            raise Refused(-4016, f"Limit price can't be higher than {instrument.tick * half_ticks / 2:f} by {share:g}.")
        if half_ticks and side is Side.SELL and ticks < half_ticks / 2 * (1 - share):
            raise Refused(-4024, f"Limit price can't be lower than {instrument.tick * half_ticks / 2:f} by {share:g}.")

    def _check_margin(self, instrument: Instrument, side: Side, ticks: int, lots: int) -> None:
        """The larger of what the orders of one side could make of the position, at this price."""
        waiting = sum(o.remaining_lots for o in self._account.orders.values() if self._same(o, instrument, side))
        worst = abs(self._account.history.lots(instrument.id) + side * (waiting + lots))
        notional = instrument.price(ticks) * instrument.size(worst)
        if notional > self.wallet() * self.leverage[instrument.symbol]:
            raise Refused(-2019, "Margin is insufficient.")

    def _check_leg(self, instrument: Instrument, side: Side, position_side: str, lots: int) -> None:
        """A LONG or SHORT position covers all orders that close it, with so many lots more."""
        closing = [
            order.remaining_lots
            for order in self._account.orders.values()
            if self._same(order, instrument, side) and self._named(order.client_id).position_side == position_side
        ]
        if sum(closing) + lots > abs(self._positions.lots(instrument.id, position_side)):
            raise Refused(-2022, "ReduceOnly Order is rejected.")

    @staticmethod
    def _same(order: VenueOrder, instrument: Instrument, side: Side) -> bool:
        return order.instrument == instrument.id and order.side is side

    def _market_price(self, instrument: Instrument, side: Side) -> int:
        """A limit that no market order reaches."""
        bid, _, ask, _ = self.published.best_of(instrument.id)
        if bid == NO_BID or ask == NO_ASK:
            raise Refused(-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit.")
        return ask * _MARKET_REACH if side is Side.BUY else max(bid // _MARKET_REACH, 1)

    # Look-ups

    def _instrument(self, instrument: InstrumentId) -> Instrument:
        return self._account.instruments[instrument]

    def _find(self, instrument: InstrumentId) -> Instrument | None:
        """None for a symbol of an earlier opening that is not traded now."""
        return self._account.instruments.get(instrument)

    def _named(self, client_id: ClientOrderId) -> Named:
        named = self._names.of_number(client_id)
        assert named is not None, client_id
        return named

    def _open(self, named: Named) -> VenueOrder:
        order = self._account.orders.get(ClientOrderId(named.number))
        if order is None:
            raise Refused(-2011, "Unknown order sent.")
        return order

    def _known(self, named: Named) -> OrderKnown | None:
        order = self._account.orders.get(ClientOrderId(named.number))
        return order.known(ended=False) if order is not None else self._account.ended(ClientOrderId(named.number))

    # What is said

    def _say(self, event: Event, now_ns: int) -> None:
        at_ms = now_ns // NS_PER_MS
        if isinstance(event, OrderFilled):
            self._say_fill(event)
        elif isinstance(event, FundingPaid):
            self._say_payment(event)
        elif isinstance(event, OrderAccepted):
            self._say_order(event.client_id, "NEW", at_ms)
        elif isinstance(event, OrderAmended):
            self._say_order(event.client_id, "AMENDMENT", at_ms)
        elif isinstance(event, OrderCanceled):
            ended = self._named(event.client_id).status
            self._say_order(event.client_id, "CANCELED" if not ended else "EXPIRED", at_ms)
        else:
            self._said += self.published.take(event)

    def _say_order(self, client_id: ClientOrderId, execution: str, at_ms: int) -> None:
        named = self._named(client_id)
        named.updated_ms = max(named.updated_ms, at_ms)
        known = self._known(named)
        if known is not None:
            data = rows.order_update(known, named, self._instrument(known.instrument), execution, at_ms)
            self._said.append(Said(f"ORDER_TRADE_UPDATE:{execution}", "", data))

    def _say_fill(self, fill: OrderFilled) -> None:
        named, instrument = self._named(fill.client_id), self._instrument(fill.instrument)
        named.updated_ms = max(named.updated_ms, fill.ts_venue_ns // NS_PER_MS)
        side = named.position_side
        named.told_lots += fill.lots
        known = self._known(named)
        if known is not None:
            ended = known.ended and named.told_lots >= known.filled_lots
            known = msgspec.structs.replace(known, filled_lots=named.told_lots, ended=ended)
            data = rows.order_update(known, named, instrument, "TRADE", 0, fill, self._number_of(fill))
            self._said.append(Said("ORDER_TRADE_UPDATE:TRADE", "", data))
        held = (instrument, side, self._positions.lots(instrument.id, side), self._positions.entry(instrument.id, side))
        at_ms = fill.ts_venue_ns // NS_PER_MS
        update = rows.account_update("ORDER", instrument.quote, self.wallet(), Decimal(0), [held], at_ms)
        self._said.append(Said("ACCOUNT_UPDATE", "", update))

    def _say_payment(self, paid: FundingPaid) -> None:
        instrument = self._instrument(paid.instrument)
        change = Decimal(rows.income_row(paid, instrument)["income"])
        at_ms = paid.ts_venue_ns // NS_PER_MS
        update = rows.account_update("FUNDING_FEE", instrument.quote, self.wallet(), change, [], at_ms)
        self._said.append(Said("ACCOUNT_UPDATE", "", update))

    def _bnb_price(self) -> Decimal | None:
        market = self._instruments.get(bnb_fees.SYMBOL)
        half_ticks = 0 if market is None else self.published.mark_half_ticks(market.id)
        return None if market is None or not half_ticks else market.tick * half_ticks / 2

    def _note(self, entry: Entry) -> None:
        """Whatever the account books."""
        if isinstance(entry, TradeBooked):
            self._positions.add(entry.fill, self._instrument(entry.fill.instrument), self._position_side(entry.fill))
            self._bnb.note(entry.fill)
        if self._file is not None:
            self._file.add(entry)

    def _position_side(self, fill: OrderFilled) -> str:
        named = self._names.of_number(fill.client_id)
        return BOTH if named is None else named.position_side

    def _number_of(self, fill: OrderFilled) -> int:
        """Which fill of the account this one of the last is, counted from the first."""
        history = self._account.history
        number = sum(holding.trades for holding in history.holdings.values())
        for trade in reversed(history.trades):
            if trade.fill.fill_key == fill.fill_key:
                break
            number -= 1
        return number

    def _position_row(self, instrument: Instrument, side: str) -> Row:
        lots, entry = self._positions.lots(instrument.id, side), self._positions.entry(instrument.id, side)
        mark = instrument.tick * self.published.mark_half_ticks(instrument.id) / 2
        last = [each.fill for each in self._account.history.trades if each.fill.instrument == instrument.id]
        updated_ms = last[-1].ts_venue_ns // NS_PER_MS if last else 0
        return rows.position_row(instrument, side, lots, entry, mark, updated_ms)

    def _save(self) -> None:
        if self._file is not None:
            self._file.save()


def _account_file(folder: Path | None) -> AccountFile | None:
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return AccountFile(account_path(folder, VENUE), VENUE)
