"""The neutral venue without its sockets: a market with an account, spoken to in the protocol's structs.

Owns the embedded market, the books as they were published (so that a snapshot carries exactly the update it names), the
revision of each order, the dead man's switch and the file in which the account outlives the process. Everything that is
to be said, as reply or as message, has been saved before it is handed out.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from connectors.shared.account_file import AccountFile, account_path
from connectors.simulators.neutral import messages as m
from connectors.simulators.neutral.settings import NeutralVenueSettings
from mm_daemon.domain.account_history import OrderKnown
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import AmendOrder, CancelAll, CancelOrder, PlaceOrder
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import (
    BookDelta,
    BookSnapshot,
    Event,
    FundingPaid,
    FundingUpdate,
    Levels,
    MarkPriceUpdate,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderFilled,
    OrderRejected,
    PublicTrade,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue, to_units
from mm_daemon.domain.money import from_pair, to_text
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side, TimeInForce
from mm_daemon.ports.simulator import SimulatorContext
from mm_daemon.simulation.desk import Request
from mm_daemon.simulation.embedded import EmbeddedMarket, EmbeddedSettings
from mm_daemon.simulation.symbols import SymbolSettings, build_symbol

VENUE = Venue("neutral")
FILLS_PAGE = 100
_DEPTH_SHOWN = 1 << 30
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_WORDS: dict[Side, m.SideWord] = {Side.BUY: "buy", Side.SELL: "sell"}
_CODES = {
    RejectKind.POST_ONLY_CROSS: "would_take",
    RejectKind.INSUFFICIENT_MARGIN: "insufficient_margin",
    RejectKind.REDUCE_ONLY: "would_not_reduce",
    RejectKind.INVALID: "invalid",
    RejectKind.HALTED: "halted",
    RejectKind.GONE: "not_open",
    RejectKind.FILLED: "filled",
    RejectKind.OTHER: "refused",
}
_NO_FILLS_NS = 1 << 62
_REVISIONS_KEPT = 4096
_Item = TypeVar("_Item", m.PlaceItem, m.AmendItem, m.CancelItem)


class Exchange:
    """One market with one account. Every method is given the venue's time."""

    def __init__(self, context: SimulatorContext, settings: NeutralVenueSettings, opened_ns: int) -> None:
        """Raises ConfigError for symbols that cannot be, JournalError when the account's file cannot be used."""
        self._file = _account_file(context.state_dir)
        symbols = [build_symbol(VENUE, name, settings.symbols.get(name, SymbolSettings())) for name in context.symbols]
        opening = 0 if self._file is None else self._file.openings - 1
        self._market = EmbeddedMarket(
            VENUE,
            symbols,
            EmbeddedSettings(
                seed=context.seed,
                opening=opening,
                entry_latency_ms=0.0,
                response_latency_ms=0.0,
                feed_latency_ms=0.0,
                publish_interval_ms=settings.publish_interval_ms,
            ),
        )
        if self._file is not None:
            self._market.account.note = self._file.add
            self._market.account.restore(self._file.history)
        self._instruments = {instrument.symbol: instrument for instrument in self._market.instruments()}
        self._books = {instrument.id: OrderBook() for instrument in self._market.instruments()}
        self._updated_ns: dict[ClientOrderId, int] = {}
        self._opened_ns = opened_ns
        self._amended: set[ClientOrderId] = set()
        self._said: list[m.Message] = []
        self.dead_man_ns: int | None = None
        self.step_ns = 0
        """What the clock that clients are shown is ahead of the market's."""

    # Time

    def advance(self, now_ns: int) -> list[m.Message]:
        """Live up to now; everything that is to be told to the streams since this was last asked."""
        if self.dead_man_ns is not None and now_ns >= self.dead_man_ns:
            self.dead_man_ns = None
            self._say_replies(self._market.execute(CancelAll(VENUE, ()), now_ns))
        for event in self._market.advance(now_ns):
            self._say(event)
        self._save()
        said, self._said = self._said, []
        return said

    def next_deadline_ns(self) -> int:
        deadline_ns = self._market.next_deadline_ns() or 0
        return deadline_ns if self.dead_man_ns is None else min(deadline_ns, self.dead_man_ns)

    def close(self) -> None:
        """Orders die with the venue; the account is in its file."""
        self._market.close()
        if self._file is not None:
            for instrument, half_ticks in self._market.mids().items():
                self._market.account.note_mid(instrument, half_ticks)
            self._file.close()

    # What anybody may ask

    def instruments(self) -> m.Instruments:
        return m.Instruments(instruments=[_instrument_row(each) for each in self._instruments.values()])

    def book(self, symbol: str, now_ns: int) -> m.Book | None:
        """The book as it was last published; None for a symbol that is not traded here."""
        instrument = self._instruments.get(symbol)
        if instrument is None:
            return None
        book = self._books[instrument.id]
        return m.Book(
            symbol=symbol,
            update=book.update_id,
            time_ns=now_ns,
            bids=_levels(instrument, book.levels(Side.BUY, _DEPTH_SHOWN)),
            asks=_levels(instrument, book.levels(Side.SELL, _DEPTH_SHOWN)),
        )

    # What the account's owner may ask

    def place(self, items: Sequence[m.PlaceItem], now_ns: int) -> m.Results:
        return self._batch(items, self._place_command, now_ns)

    def amend(self, items: Sequence[m.AmendItem], now_ns: int) -> m.Results:
        return self._batch(items, self._amend_command, now_ns)

    def cancel(self, items: Sequence[m.CancelItem], now_ns: int) -> m.Results:
        return self._batch(items, self._cancel_command, now_ns)

    def cancel_all(self, now_ns: int) -> m.Canceled:
        replies = self._market.execute(CancelAll(VENUE, ()), now_ns)
        self._say_replies(replies)
        self._save()
        reports = [self.order(reply.client_id).order for reply in replies if isinstance(reply, OrderCanceled)]
        return m.Canceled(canceled=[report for report in reports if report is not None])

    def order(self, client_id: int) -> m.Result:
        """What the venue knows of one order; an id that it never saw is `unknown_order`."""
        account, cid = self._market.account, ClientOrderId(client_id)
        order, ended = account.orders.get(cid), account.ended(cid)
        if order is not None:
            return m.Result(client_id=client_id, order=self._report(order.known(ended=False)))
        if ended is not None:
            return m.Result(client_id=client_id, order=self._report(ended))
        refused = account.refused_instrument(cid)
        if refused is not None:
            symbol = self._instrument(refused).symbol
            return m.Result(client_id=client_id, symbol=symbol, error=m.Problem(code="refused", text="was refused"))
        return m.Result(client_id=client_id, error=m.Problem(code="unknown_order", text=f"no order {client_id}"))

    def open_orders(self) -> list[m.OrderReport]:
        return [self._report(order.known(ended=False)) for order in self._market.account.orders.values()]

    def account(self, now_ns: int) -> m.Account:
        shown = self._market.snapshot(now_ns, _NO_FILLS_NS)
        instruments = {each.id: each for each in self._instruments.values()}
        positions = [
            m.PositionRow(symbol=instruments[instrument].symbol, size=f"{instruments[instrument].size(lots):f}")
            for instrument, lots in shown.positions
        ]
        return m.Account(time_ns=shown.ts_venue_ns, orders=self.open_orders(), positions=positions)

    def fills(self, *, since_ns: int, first: int) -> m.Fills:
        """Fills from a venue time on, beginning with the number `first`, a page of them."""
        history = self._market.account.history
        forgotten = sum(holding.trades for holding in history.holdings.values()) - len(history.trades)
        page: list[m.FillRow] = []
        for number, trade in enumerate(history.trades, forgotten + 1):
            if number < first or trade.fill.ts_venue_ns < since_ns:
                continue
            if len(page) == FILLS_PAGE:
                return m.Fills(fills=page, next=number)
            row = self._fill_row(trade.fill, number)
            if row is not None:
                page.append(row)
        return m.Fills(fills=page, next=None)

    def payments(self, since_ns: int) -> m.Payments:
        rows = [self._payment_row(paid) for paid in self._market.account.history.payments_since(since_ns)]
        return m.Payments(payments=[row for row in rows if row is not None])

    def arm_dead_man(self, timeout_ms: int | None, now_ns: int) -> m.DeadMan:
        self.dead_man_ns = None if timeout_ms is None else now_ns + timeout_ms * 1_000_000
        return m.DeadMan(deadline_ns=self.dead_man_ns)

    def hit(self, client_id: int, size: str, now_ns: int) -> bool:
        """Have so much of an order filled now. Raises GridError."""
        order = self._market.account.orders.get(ClientOrderId(client_id))
        if order is None:
            return False
        instrument = self._market.account.instruments[order.instrument]
        return self._market.hit(order.client_id, to_units(size, instrument.lot, "size"), now_ns) > 0

    # Commands

    def _batch(self, items: Sequence[_Item], command: Callable[[_Item], Request], now_ns: int) -> m.Results:
        results = []
        for item in items:
            try:
                request = command(item)
            except GridError as error:
                problem = m.Problem(code="invalid", text=str(error))
                results.append(m.Result(client_id=item.client_id, error=problem))
                continue
            replies = self._market.execute(request, now_ns)
            self._say_replies(replies)
            results.append(self._result(item.client_id, replies))
        self._save()
        return m.Results(results=results)

    def _place_command(self, item: m.PlaceItem) -> PlaceOrder:
        instrument = self._traded(item.symbol)
        return PlaceOrder(
            instrument.id,
            ClientOrderId(item.client_id),
            _SIDES[item.side],
            0,
            to_units(item.price, instrument.tick, "price"),
            to_units(item.size, instrument.lot, "size"),
            (),
            post_only=item.post_only,
            reduce_only=item.reduce_only,
            time_in_force=TimeInForce(item.time_in_force),
            expires_ns=self._engine_ns(item.expires_ns),
        )

    def _amend_command(self, item: m.AmendItem) -> AmendOrder:
        instrument = self._traded(item.symbol)
        return AmendOrder(
            instrument.id,
            ClientOrderId(item.client_id),
            to_units(item.price, instrument.tick, "price"),
            to_units(item.size, instrument.lot, "size"),
            (),
            expires_ns=self._engine_ns(item.expires_ns),
        )

    def _cancel_command(self, item: m.CancelItem) -> CancelOrder:
        return CancelOrder(self._traded(item.symbol).id, ClientOrderId(item.client_id), ())

    def _engine_ns(self, shown_ns: int | None) -> int | None:
        """An instant of the clock that clients are shown, on the market's own."""
        return None if shown_ns is None else shown_ns - self.step_ns

    def _traded(self, symbol: str) -> Instrument:
        instrument = self._instruments.get(symbol)
        if instrument is None:
            raise GridError(f"{symbol} is not traded here")
        return instrument

    def _result(self, client_id: int, replies: Sequence[Event]) -> m.Result:
        """The reply to one item: what is said of its own order. Others may have been cancelled by it."""
        for reply in replies:
            if isinstance(reply, OrderRejected | OrderAmendRejected | OrderCancelRejected):
                problem = m.Problem(code=_CODES.get(reply.kind, "refused"), text=reply.text)
                return m.Result(client_id=client_id, error=problem)
        return self.order(client_id)

    # What is said

    def _say_replies(self, replies: Sequence[Event]) -> None:
        for reply in replies:
            self._say(reply)

    def _say(self, event: Event) -> None:
        message = self._message(event)
        if message is not None:
            self._said.append(message)

    def _message(self, event: Event) -> m.Message | None:
        if isinstance(event, BookDelta | BookSnapshot):
            book = self._books[event.instrument]
            book.apply(event)
            instrument = self._instrument(event.instrument)
            bids, asks = _levels(instrument, event.bids), _levels(instrument, event.asks)
            if isinstance(event, BookSnapshot):
                return None
            return m.BookMessage(
                symbol=instrument.symbol, update=event.update_id, time_ns=event.ts_venue_ns, bids=bids, asks=asks
            )
        if isinstance(event, PublicTrade):
            instrument = self._instrument(event.instrument)
            return m.TradeMessage(
                symbol=instrument.symbol,
                trade=event.trade_id,
                taker=_WORDS[event.aggressor],
                price=f"{instrument.price(event.ticks):f}",
                size=f"{instrument.size(event.lots):f}",
                time_ns=event.ts_venue_ns,
            )
        if isinstance(event, OrderFilled):
            if event.client_id not in self._market.account.orders:
                self._amended.discard(event.client_id)
            row = self._fill_row(event, self._number_of(event))
            return None if row is None else m.FillMessage(fill=row)
        if isinstance(event, OrderAccepted | OrderAmended | OrderCanceled):
            return self._order_message(event)
        if isinstance(event, FundingPaid):
            paid = self._payment_row(event)
            return None if paid is None else m.PaymentMessage(payment=paid)
        if isinstance(event, MarkPriceUpdate):
            instrument = self._instrument(event.instrument)
            price = f"{instrument.tick * event.mark_half_ticks / 2:f}"
            return m.MarkMessage(symbol=instrument.symbol, price=price, time_ns=event.ts_venue_ns)
        if isinstance(event, FundingUpdate):
            return m.FundingMessage(
                symbol=self._instrument(event.instrument).symbol,
                rate=to_text(event.rate_e12 * 1_000_000),
                due_ns=event.next_ns,
                period_ns=event.period_ns,
                time_ns=event.ts_venue_ns,
            )
        return None  # refusals are told to whoever asked, and to nobody else

    def _order_message(self, event: OrderAccepted | OrderAmended | OrderCanceled) -> m.OrderMessage | None:
        client_id = event.client_id
        self._updated_ns[client_id] = max(event.ts_venue_ns, self._updated_ns.pop(client_id, 0) + 1)
        if len(self._updated_ns) > _REVISIONS_KEPT:
            del self._updated_ns[next(iter(self._updated_ns))]
        if isinstance(event, OrderAmended):
            self._amended.add(client_id)
        reported = self.order(client_id).order
        if isinstance(event, OrderCanceled):
            self._amended.discard(client_id)
        return None if reported is None else m.OrderMessage(order=reported)

    def _report(self, order: OrderKnown) -> m.OrderReport:
        instrument = self._instrument(order.instrument)
        if order.ended:
            what = "filled" if order.filled_lots >= order.lots else "canceled"
        else:
            what = "amended" if order.client_id in self._amended else "accepted"
        return msgspec.convert(
            {
                "what": what,
                "client_id": order.client_id,
                "order_id": order.venue_order_id,
                "symbol": instrument.symbol,
                "side": _WORDS[order.side],
                "price": f"{instrument.price(order.ticks):f}",
                "size": f"{instrument.size(order.lots):f}",
                "filled": f"{instrument.size(order.filled_lots):f}",
                "updated_ns": self._updated_ns.get(order.client_id, self._opened_ns),
            },
            m.OrderReport,
        )

    def _fill_row(self, fill: OrderFilled, number: int) -> m.FillRow | None:
        instrument = next((each for each in self._instruments.values() if each.id == fill.instrument), None)
        if instrument is None:
            return None
        return m.FillRow(
            number=number,
            fill_id=fill.fill_key,
            client_id=fill.client_id,
            order_id=fill.venue_order_id,
            symbol=instrument.symbol,
            side=_WORDS[fill.side],
            price=f"{instrument.price(fill.ticks):f}",
            size=f"{instrument.size(fill.lots):f}",
            maker=fill.maker,
            fee=to_text(from_pair(fill.fee or (0, 0))),
            time_ns=fill.ts_venue_ns,
        )

    def _number_of(self, fill: OrderFilled) -> int:
        """Which fill of the account this one of the last is, counted from the first."""
        history = self._market.account.history
        number = sum(holding.trades for holding in history.holdings.values())
        for trade in reversed(history.trades):
            if trade.fill.fill_key == fill.fill_key:
                break
            number -= 1
        return number

    def _payment_row(self, paid: FundingPaid) -> m.PaymentRow | None:
        instrument = next((each for each in self._instruments.values() if each.id == paid.instrument), None)
        if instrument is None:
            return None
        return m.PaymentRow(
            payment_id=paid.payment_key,
            symbol=instrument.symbol,
            amount=to_text(from_pair(paid.amount)),
            time_ns=paid.ts_venue_ns,
        )

    def _instrument(self, instrument: InstrumentId) -> Instrument:
        return self._market.account.instruments[instrument]

    def _save(self) -> None:
        if self._file is not None:
            self._file.save()


def _account_file(folder: Path | None) -> AccountFile | None:
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return AccountFile(account_path(folder, VENUE), VENUE)


def _levels(instrument: Instrument, levels: Levels | Sequence[tuple[int, int]]) -> list[m.Level]:
    return [(f"{instrument.price(ticks):f}", f"{instrument.size(lots):f}") for ticks, lots in levels]


def _instrument_row(instrument: Instrument) -> m.InstrumentRow:
    return m.InstrumentRow(
        symbol=instrument.symbol,
        base=instrument.base,
        quote=instrument.quote,
        tick=f"{instrument.tick:f}",
        lot=f"{instrument.lot:f}",
        min_size=f"{instrument.size(instrument.min_lots):f}",
        max_size=None if instrument.max_lots is None else f"{instrument.size(instrument.max_lots):f}",
        min_notional=f"{instrument.min_notional:f}",
        maker_fee_ppm=instrument.maker_fee_ppm,
        taker_fee_ppm=instrument.taker_fee_ppm,
        tradable=instrument.tradable,
    )
