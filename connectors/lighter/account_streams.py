"""The private channels of one account: frames to events. Pure but for what `OwnOrders` and this remember."""

from collections.abc import Callable, Mapping, Sequence

from connectors.lighter import wire
from connectors.lighter.orders import OwnOrders
from mm_daemon.domain.events import BalanceUpdate, Event, PositionUpdate
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.money import from_text, to_pair

CHANNELS = ("account_all_orders", "account_all_trades", "account_all_positions", "account_tx", "user_stats")
IGNORED_TYPES = frozenset(
    f"{verb}/{name}"
    for verb in ("subscribed", "update")
    for name in ("account_all", "account_market", "account_orders", "account_all_assets", "notification")
)
"""Channels of an account that we know and never ask for: the others tell all of it."""
_NS_PER_MS = 1_000_000
_USDC = "USDC"


class AccountStreams:
    def __init__(self, venue: Venue, orders: OwnOrders) -> None:
        self._venue = venue
        self._orders = orders
        self._positions: dict[InstrumentId, int] = {}
        self._collateral = ""
        both = ("subscribed", "update")
        self.handlers: Mapping[str, Callable[[bytes, int], Sequence[Event]]] = {
            **{f"{verb}/account_all_orders": self._on_orders for verb in both},
            **{f"{verb}/account_all_positions": self._on_positions for verb in both},
            **{f"{verb}/user_stats": self._on_user_stats for verb in both},
            "subscribed/account_all_trades": self._on_history,
            "update/account_all_trades": self._on_fills,
            "subscribed/account_tx": self._on_history,
            "update/account_tx": self._on_transactions,
        }
        """Each raises DecodeError or GridError for a frame that cannot be used."""

    @staticmethod
    def _on_history(_frame: bytes, _ts_local_ns: int) -> Sequence[Event]:
        """What a channel begins with was before: what was missed is read with its time."""
        return ()

    def _on_orders(self, frame: bytes, ts_local_ns: int) -> Sequence[Event]:
        by_market = wire.decode_orders(frame).orders or {}
        told: list[Event] = []
        for rows in by_market.values():
            for row in rows or ():
                told += self._orders.reported(row, ts_local_ns)
        return told

    def _on_fills(self, frame: bytes, ts_local_ns: int) -> Sequence[Event]:
        trades = wire.decode_account_trades(frame).trades
        lists = [trades] if isinstance(trades, list) else list((trades or {}).values())
        return [fill for rows in lists for row in rows or () for fill in self._orders.filled(row, ts_local_ns)]

    def _on_positions(self, frame: bytes, ts_local_ns: int) -> Sequence[Event]:
        """Each frame is the full set."""
        message = wire.decode_positions(frame)
        told: list[Event] = []
        for instrument, lots in self._orders.positions((message.positions or {}).values()):
            if self._positions.get(instrument) != lots:
                self._positions[instrument] = lots
                told.append(PositionUpdate(instrument, message.timestamp * _NS_PER_MS, ts_local_ns, lots))
        return told

    def _on_transactions(self, frame: bytes, ts_local_ns: int) -> Sequence[Event]:
        rows = wire.decode_transactions(frame).txs or ()
        return [event for row in rows for event in self._orders.recorded(row, ts_local_ns)]

    def _on_user_stats(self, frame: bytes, ts_local_ns: int) -> Sequence[Event]:
        message = wire.decode_user_stats(frame)
        if message.stats.collateral == self._collateral:
            return ()
        total = to_pair(from_text(message.stats.collateral)[0])
        self._collateral = message.stats.collateral
        return (BalanceUpdate(self._venue, message.timestamp * _NS_PER_MS, ts_local_ns, _USDC, total),)
