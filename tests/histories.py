"""Account histories for tests: a few entries of each kind, and what a history amounts to, comparable."""

from mm_daemon.domain.account_history import (
    AccountHistory,
    Entry,
    MidSeen,
    OrderKnown,
    TradeBooked,
)
from mm_daemon.domain.events import FundingPaid, OrderFilled
from mm_daemon.domain.money import to_pair
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.testkit.builders import MS, SYMBOL


def order(client_id: int, side: Side = Side.BUY, lots: int = 10, filled: int = 0, *, ended: bool = False) -> OrderKnown:
    return OrderKnown(SYMBOL, ClientOrderId(client_id), f"sim-{client_id}", side, 1000, lots, filled, ended)


def booked(at_ms: int, client_id: int, n: int, lots: int, *, side: Side = Side.BUY, fee: int = 7) -> TradeBooked:
    """A fill at 1000 ticks of one atto each."""
    fill = OrderFilled(
        SYMBOL,
        at_ms * MS,
        at_ms * MS,
        ClientOrderId(client_id),
        f"sim-{client_id}",
        f"{client_id}-{n}",
        side,
        1000,
        lots,
        True,
        to_pair(fee),
    )
    return TradeBooked(fill, to_pair(-side * lots * 1000 - fee))


def payment(at_ms: int, amount: int) -> FundingPaid:
    return FundingPaid(SYMBOL, at_ms * MS, at_ms * MS, to_pair(amount), f"{SYMBOL}@{at_ms}")


def some_entries(count: int) -> list[Entry]:
    """An order, a part of it filled, its end, now and then a payment and a mid: `count` times."""
    entries: list[Entry] = []
    for n in range(1, count + 1):
        side = Side.SELL if n % 3 == 0 else Side.BUY
        entries += [order(n, side), booked(10 * n, n, 1, 1 + n % 4, side=side, fee=n % 5 - 1)]
        entries.append(order(n, side, filled=1 + n % 4, ended=True))
        if n % 4 == 0:
            entries += [payment(10 * n + 1, 3 - n), MidSeen(SYMBOL, 2000 + n)]
    return entries


def amounts(history: AccountHistory) -> dict[str, tuple[int, int, int, int, int]]:
    """(lots, cash, fees, funding, trades) of each market."""
    return {
        instrument: (held.lots, held.cash_atto, held.fees_atto, held.funding_atto, held.trades)
        for instrument, held in history.holdings.items()
    }


def summed(entries: list[Entry]) -> AccountHistory:
    history = AccountHistory()
    for entry in entries:
        history.apply(entry)
    return history


def same(one: AccountHistory, other: AccountHistory) -> bool:
    """Whether two histories remember the same."""
    return (
        amounts(one) == amounts(other)
        and list(one.trades) == list(other.trades)
        and list(one.payments) == list(other.payments)
        and (one.open, one.ended, one.mids, one.contracts) == (other.open, other.ended, other.mids, other.contracts)
        and one.last_client_id == other.last_client_id
    )
