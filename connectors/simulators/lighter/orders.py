"""Orders of the simulated Lighter: what the venue remembers of each and how it shows them."""

from decimal import Decimal
from typing import Any

from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import ClientOrderId, Side

FIRST_INDEX = 1 << 48
"""Order indexes begin here; smaller numbers are the clients'."""
_LAST_BID_INDEX = (1 << 49) - 1
TYPES = {0: "limit", 1: "market"}
TIMES_IN_FORCE = {0: "immediate-or-cancel", 1: "good-till-time", 2: "post-only"}
OPEN, FILLED, CANCELED = "open", "filled", "canceled"


def order_index(number: int, side: Side) -> int:
    """Asks count up from 2**48, bids down from 2**49."""
    return FIRST_INDEX + number if side is Side.SELL else _LAST_BID_INDEX - number


class Order:
    """`internal` is its name in the market behind; sizes in lots, prices in ticks, money in ticks times lots."""

    __slots__ = (
        "client_index",
        "created_ms",
        "expiry_ms",
        "filled_lots",
        "filled_money",
        "index",
        "instrument",
        "internal",
        "kind",
        "lots",
        "market_id",
        "nonce",
        "reduce_only",
        "side",
        "status",
        "ticks",
        "time_in_force",
        "updated_ms",
    )

    def __init__(self, instrument: Instrument, market_id: int, internal: ClientOrderId, info: dict[str, Any]) -> None:
        """`info` is the transaction's."""
        self.instrument = instrument
        self.market_id = market_id
        self.internal = internal
        self.side = Side.SELL if info["IsAsk"] else Side.BUY
        self.client_index: int = info["ClientOrderIndex"]
        self.index = order_index(internal, self.side)
        self.ticks: int = info["Price"]
        self.lots: int = info["BaseAmount"]
        self.kind: int = info["Type"]
        self.time_in_force: int = info["TimeInForce"]
        self.reduce_only = bool(info["ReduceOnly"])
        self.expiry_ms: int = info["OrderExpiry"]
        self.filled_lots = 0
        self.filled_money = 0
        self.status = OPEN
        self.nonce = 0
        self.created_ms = self.updated_ms = 0

    @property
    def active(self) -> bool:
        return self.status == OPEN

    def row(self, account: int) -> dict[str, Any]:
        """As REST and streams show it. A canceled order remains with nothing, whatever was filled of it."""
        contract = self.instrument
        remaining = self.lots - self.filled_lots if self.active else 0
        quote = contract.tick * contract.lot * self.filled_money
        return {
            "order_index": self.index,
            "client_order_index": self.client_index,
            "order_id": str(self.index),
            "client_order_id": str(self.client_index),
            "market_index": self.market_id,
            "owner_account_index": account,
            "initial_base_amount": f"{contract.size(self.lots):f}",
            "price": f"{contract.price(self.ticks):f}",
            "nonce": self.nonce,
            "remaining_base_amount": f"{contract.size(remaining):f}",
            "is_ask": self.side is Side.SELL,
            "base_size": self.lots,
            "base_price": self.ticks,
            "filled_base_amount": f"{contract.size(self.filled_lots):f}",
            "filled_quote_amount": f"{quote.quantize(Decimal('0.000001')):f}",
            "side": "sell" if self.side is Side.SELL else "buy",
            "type": TYPES[self.kind],
            "time_in_force": TIMES_IN_FORCE[self.time_in_force],
            "reduce_only": self.reduce_only,
            "trigger_price": f"{contract.price(0):f}",
            "order_expiry": self.expiry_ms,
            "status": self.status,
            "trigger_status": "na",
            "trigger_time": 0,
            "parent_order_index": 0,
            "parent_order_id": "0",
            "to_trigger_order_id_0": "0",
            "to_trigger_order_id_1": "0",
            "to_cancel_order_id_0": "0",
            "integrator_fee_collector_index": "0",
            "integrator_taker_fee": "0",
            "integrator_maker_fee": "0",
            "block_height": self.nonce,
            "timestamp": self.updated_ms,
            "created_at": self.created_ms,
            "updated_at": self.updated_ms,
            "transaction_time": self.updated_ms * 1000,
        }
