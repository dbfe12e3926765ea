"""What dYdX's indexer and nodes say, as typed structs decoded straight from the bytes. Only this package uses them.

Prices and sizes of the market, which are text, are read as floats (`connectors/shared/displayed.py` makes ticks and
lots of them); those of our own orders and fills stay text and become exact. Unknown fields are skipped.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_NS_PER_MS = 1_000_000

Height = Annotated[int, Meta(ge=0, le=1 << 40)]
Level = tuple[float, float]
SideWord = Literal["BUY", "SELL"]

KINDS = ("connected", "subscribed", "channel_data", "channel_batch_data", "unsubscribed", "error")
"""Types of the indexer's messages; each is handled."""
IGNORED_CHANNELS = frozenset({"v4_candles", "v4_parent_subaccounts"})
"""Channels that we know and never ask for."""
OPEN_STATES = ("BEST_EFFORT_OPENED", "OPEN", "UNTRIGGERED")


def nanos(time: datetime) -> int:
    """The indexer's times have milliseconds."""
    return round(time.timestamp() * 1000) * _NS_PER_MS


class Envelope(msgspec.Struct, gc=False):
    """Any message of the websocket."""

    type: Literal["connected", "subscribed", "channel_data", "channel_batch_data", "unsubscribed", "error"]
    message_id: Annotated[int, Meta(ge=0, le=1 << 53)]
    channel: str = ""
    id: str = ""
    contents: msgspec.Raw = msgspec.Raw(b"{}")
    message: str = ""


class ShownLevel(msgspec.Struct, gc=False):
    price: float
    size: float


class Book(msgspec.Struct, gc=False):
    """A whole book, from REST or a subscription."""

    bids: list[ShownLevel]
    asks: list[ShownLevel]


class BookUpdate(msgspec.Struct, gc=False):
    bids: list[Level] = []
    asks: list[Level] = []


class Trade(msgspec.Struct, gc=False):
    id: Annotated[str, Meta(pattern="^[0-9a-fA-F]{24}$")]
    side: SideWord
    size: float
    price: float
    createdAt: datetime


class Trades(msgspec.Struct, gc=False):
    trades: list[Trade]


class Market(msgspec.Struct, gc=False):
    """A market's definition, with what changes of it."""

    ticker: str
    clobPairId: Annotated[str, Meta(pattern="^[0-9]{1,9}$")]
    status: str
    atomicResolution: Annotated[int, Meta(ge=-30, le=30)]
    quantumConversionExponent: Annotated[int, Meta(ge=-30, le=30)]
    stepBaseQuantums: Annotated[int, Meta(ge=1, le=1 << 62)]
    subticksPerTick: Annotated[int, Meta(ge=1, le=1 << 62)]
    oraclePrice: float | None = None
    nextFundingRate: float | None = None


class Markets(msgspec.Struct, gc=False):
    markets: dict[str, Market]


class MarketChange(msgspec.Struct, gc=False):
    status: str | None = None
    nextFundingRate: float | None = None


class OraclePrice(msgspec.Struct, gc=False):
    oraclePrice: float


class MarketsUpdate(msgspec.Struct, gc=False):
    trading: dict[str, MarketChange] = {}
    oraclePrices: dict[str, OraclePrice] = {}


class BlockHeight(msgspec.Struct, gc=False):
    """The first message of a subscription names it `height`."""

    blockHeight: Height | None = None
    height: Height | None = None


class OrderRow(msgspec.Struct, gc=False):
    """An order in the feed or from REST. Cancels of orders that the indexer does not know lack most of it."""

    id: str
    clientId: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
    status: str
    orderFlags: int
    ticker: str
    side: SideWord = "BUY"
    size: str = "0"
    price: str = "0"
    totalFilled: str | None = None
    removalReason: str = ""
    goodTilBlock: Height | None = None
    goodTilBlockTime: datetime | None = None
    clientMetadata: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] | None = None
    updatedAtHeight: Height = 0


class FillRow(msgspec.Struct, gc=False):
    """A fill in the feed (`ticker`) or from REST (`market`)."""

    id: str
    side: SideWord
    liquidity: Literal["MAKER", "TAKER"]
    price: str
    size: str
    createdAt: datetime
    createdAtHeight: Height
    fee: str | None = None
    ticker: str = ""
    market: str = ""
    orderId: str | None = None
    """None: a liquidation."""
    clientMetadata: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] | None = None


class AccountUpdate(msgspec.Struct, gc=False):
    orders: list[OrderRow] = []
    fills: list[FillRow] = []
    blockHeight: Height = 0


class AccountShown(msgspec.Struct, gc=False):
    """What a subscription to a subaccount begins with; nothing of it for an account that was never funded."""

    orders: list[OrderRow] = []
    blockHeight: Height = 0


class PositionRow(msgspec.Struct, gc=False):
    """`size` is signed."""

    market: str
    size: str
    side: Literal["LONG", "SHORT"]


class AssetRow(msgspec.Struct, gc=False):
    symbol: str
    size: str
    side: Literal["LONG", "SHORT"]


class Subaccount(msgspec.Struct, gc=False):
    openPerpetualPositions: dict[str, PositionRow]
    assetPositions: dict[str, AssetRow]
    latestProcessedBlockHeight: Height = 0


class SubaccountReply(msgspec.Struct, gc=False):
    subaccount: Subaccount


class Fills(msgspec.Struct, gc=False):
    fills: list[FillRow]


class PaymentRow(msgspec.Struct, gc=False):
    ticker: str
    payment: str
    createdAt: datetime
    createdAtHeight: Height


class Payments(msgspec.Struct, gc=False):
    fundingPayments: list[PaymentRow]


class Time(msgspec.Struct, gc=False):
    epoch: float


class HeightReply(msgspec.Struct, gc=False):
    """The last block that the indexer has processed, and its time."""

    height: Height
    time: datetime

    @property
    def time_ns(self) -> int:
        return nanos(self.time)


# Node


class TxResult(msgspec.Struct, gc=False):
    code: int
    codespace: str = ""
    log: str = ""


class RpcError(msgspec.Struct, gc=False):
    code: int = 0
    message: str = ""
    data: str = ""


class TxReply(msgspec.Struct, gc=False):
    result: TxResult | None = None
    error: RpcError | None = None


class AbciResponse(msgspec.Struct, gc=False):
    last_block_height: Height


class AbciResult(msgspec.Struct, gc=False):
    response: AbciResponse


class AbciReply(msgspec.Struct, gc=False):
    result: AbciResult


class AccountInfo(msgspec.Struct, gc=False):
    account_number: int


class AccountReply(msgspec.Struct, gc=False):
    info: AccountInfo


class FeeTier(msgspec.Struct, gc=False):
    maker_fee_ppm: int = 0
    taker_fee_ppm: int = 0


class FeeReply(msgspec.Struct, gc=False):
    tier: FeeTier


envelope = msgspec.json.Decoder(Envelope).decode
book = msgspec.json.Decoder(Book, strict=False).decode
book_update = msgspec.json.Decoder(BookUpdate, strict=False).decode
trades = msgspec.json.Decoder(Trades, strict=False).decode
markets = msgspec.json.Decoder(Markets, strict=False).decode
markets_update = msgspec.json.Decoder(MarketsUpdate, strict=False).decode
block_height = msgspec.json.Decoder(BlockHeight, strict=False).decode
account_update = msgspec.json.Decoder(AccountUpdate, strict=False).decode
account_shown = msgspec.json.Decoder(AccountShown, strict=False).decode
batch = msgspec.json.Decoder(list[msgspec.Raw]).decode
