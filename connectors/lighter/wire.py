"""What Lighter says, as typed structs decoded straight from the bytes. Only this package uses them.

Lists may be null or missing; unknown fields are skipped. Prices and sizes of the market, which the venue writes as
text, are read as floats (`connectors/shared/displayed.py`); those of our own orders and fills stay text and become
exact.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=(1 << 62) - 1)]
Id = Annotated[int, Meta(ge=0, le=(1 << 62) - 1)]


class Level(msgspec.Struct, gc=False):
    price: float
    size: float


class BookBody(msgspec.Struct, gc=False):
    nonce: Count
    begin_nonce: Count = 0
    asks: list[Level] | None = None
    bids: list[Level] | None = None


class BookFrame(msgspec.Struct, gc=False):
    channel: str
    type: str
    order_book: BookBody
    last_updated_at: Count = 0
    """Microseconds."""
    timestamp: Count = 0
    """Milliseconds."""


class Trade(msgspec.Struct, gc=False):
    trade_id: Id
    market_id: int
    size: str
    price: str
    is_maker_ask: bool
    ask_id: Id = 0
    bid_id: Id = 0
    ask_client_id: Id = 0
    bid_client_id: Id = 0
    ask_account_id: Id = 0
    bid_account_id: Id = 0
    type: str = "trade"
    timestamp: Count = 0
    transaction_time: Count = 0
    taker_fee: int = 0
    """Millionths of the notional; left out when nothing."""
    maker_fee: int = 0


class TradeFrame(msgspec.Struct, gc=False):
    channel: str
    type: str
    trades: list[Trade] | None = None
    liquidation_trades: list[Trade] | None = None


class Stats(msgspec.Struct, gc=False):
    market_id: int
    mark_price: str = ""
    index_price: str = ""
    current_funding_rate: str = ""
    """Percent of the hour; positive when longs pay."""
    funding_timestamp: Count = 0
    """Milliseconds of the last payment."""


class StatsFrame(msgspec.Struct, gc=False):
    channel: str
    type: str
    market_stats: msgspec.Raw
    """One market's, or of all of them by number (`market_stats:all`)."""
    timestamp: Count = 0

    def rows(self) -> list[Stats]:
        """Raises DecodeError."""
        if self.channel.endswith("all"):
            return list(_decode_all_stats(self.market_stats).values())
        return [_decode_one_stats(self.market_stats)]


class Order(msgspec.Struct, gc=False):
    order_index: Id
    client_order_index: Id
    market_index: int
    initial_base_amount: str
    price: str
    is_ask: bool
    status: str
    remaining_base_amount: str = "0"
    filled_base_amount: str = "0"
    updated_at: Count = 0
    transaction_time: Count = 0


class OrdersFrame(msgspec.Struct, gc=False):
    type: str
    orders: dict[str, list[Order] | None] | None = None


class AccountTradesFrame(msgspec.Struct, gc=False):
    type: str
    trades: dict[str, list[Trade] | None] | list[Trade] | None = None


class Position(msgspec.Struct, gc=False):
    market_id: int
    sign: int
    position: str


class PositionsFrame(msgspec.Struct, gc=False):
    type: str
    positions: dict[str, Position] | None = None
    timestamp: Count = 0


class UserStats(msgspec.Struct, gc=False):
    collateral: str
    portfolio_value: str = "0"
    available_balance: str = "0"


class UserStatsFrame(msgspec.Struct, gc=False):
    type: str
    stats: UserStats
    timestamp: Count = 0


class Transaction(msgspec.Struct, gc=False):
    hash: str
    status: int
    event_info: str = ""
    nonce: Count = 0


class TransactionsFrame(msgspec.Struct, gc=False):
    type: str
    txs: list[Transaction] | None = None


class Sent(msgspec.Struct, gc=False):
    """The answer to a transaction or a batch, and a refusal, over either way."""

    code: int = 0
    message: str | None = None
    id: str | None = None
    tx_hash: str | list[str] | None = None
    volume_quota_remaining: int | None = None


class Problem(msgspec.Struct, gc=False):
    code: int = 0
    message: str = ""


class ErrorFrame(msgspec.Struct, gc=False):
    error: Problem | None = None
    code: int = 0
    message: str = ""


class Shutdown(msgspec.Struct, gc=False):
    close_in_ms: Count = 0


# REST


class EventInfo(msgspec.Struct, gc=False):
    ae: str = ""
    """JSON text of why a transaction failed."""


class Contract(msgspec.Struct, gc=False):
    symbol: str
    market_id: int
    supported_size_decimals: Annotated[int, Meta(ge=0, le=18)]
    supported_price_decimals: Annotated[int, Meta(ge=0, le=18)]
    min_base_amount: str
    min_quote_amount: str
    market_type: str = "perp"
    status: str = "active"
    maker_fee: str = "0"
    """Percent."""
    taker_fee: str = "0"


class Contracts(msgspec.Struct, gc=False):
    order_books: list[Contract] | None = None


class Orders(msgspec.Struct, gc=False):
    orders: list[Order] | None = None
    next_cursor: str | None = None


class Trades(msgspec.Struct, gc=False):
    trades: list[Trade] | None = None
    next_cursor: str | None = None


class Payment(msgspec.Struct, gc=False):
    timestamp: Count
    """Seconds."""
    market_id: int
    funding_id: Id
    change: str


class Payments(msgspec.Struct, gc=False):
    position_fundings: list[Payment] | None = None
    next_cursor: str | None = None


class Account(msgspec.Struct, gc=False):
    index: Id
    positions: list[Position] | None = None
    cancel_all_time: Count = 0


class Accounts(msgspec.Struct, gc=False):
    accounts: list[Account] | None = None


class Key(msgspec.Struct, gc=False):
    api_key_index: int
    public_key: str


class Keys(msgspec.Struct, gc=False):
    api_keys: list[Key] | None = None


class Limits(msgspec.Struct, gc=False):
    user_tier: str = ""
    current_maker_fee_tick: int = 0
    """Hundredths of a basis point, which are millionths."""
    current_taker_fee_tick: int = 0


class NextNonce(msgspec.Struct, gc=False):
    nonce: Count


_decode_one_stats = msgspec.json.Decoder(Stats).decode
_decode_all_stats = msgspec.json.Decoder(dict[str, Stats]).decode
decode_book = msgspec.json.Decoder(BookFrame, strict=False).decode
decode_trades = msgspec.json.Decoder(TradeFrame, strict=False).decode
decode_stats = msgspec.json.Decoder(StatsFrame).decode
decode_orders = msgspec.json.Decoder(OrdersFrame).decode
decode_account_trades = msgspec.json.Decoder(AccountTradesFrame).decode
decode_positions = msgspec.json.Decoder(PositionsFrame).decode
decode_user_stats = msgspec.json.Decoder(UserStatsFrame).decode
decode_transactions = msgspec.json.Decoder(TransactionsFrame).decode
decode_sent = msgspec.json.Decoder(Sent).decode
decode_error = msgspec.json.Decoder(ErrorFrame).decode
decode_shutdown = msgspec.json.Decoder(Shutdown).decode
