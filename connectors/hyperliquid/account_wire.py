"""Hyperliquid's accounts on the wire: user streams, replies to actions, answers to reads, as typed structs.

Numbers are text as the venue writes them; `orders.py` and `account.py` make ticks, lots and money of them. What the
venue adds or leaves out does no harm: unknown keys are skipped, optional ones have defaults.
"""

import msgspec
from msgspec import field

from connectors.hyperliquid.wire import Id, Millis

# Orders


class OrderRow(msgspec.Struct, gc=False):
    """`sz` is what remains. Triggers and children, which we never send, are left out."""

    coin: str
    side: str
    limitPx: str
    sz: str
    oid: Id
    timestamp: Millis
    origSz: str | None = None
    cloid: str | None = None
    reduceOnly: bool | None = None
    tif: str | None = None


class OrderUpdate(msgspec.Struct, gc=False):
    order: OrderRow
    status: str
    statusTimestamp: Millis


class OrderStatus(msgspec.Struct, gc=False):
    """The answer to `orderStatus`; without an order: `unknownOid`."""

    status: str
    order: OrderUpdate | None = None


# Fills and funding


class Fill(msgspec.Struct, gc=False):
    coin: str
    px: str
    sz: str
    side: str
    time: Millis
    oid: Id
    crossed: bool
    fee: str = "0"
    feeToken: str = "USDC"
    tid: Id = 0
    cloid: str | None = None


class Funding(msgspec.Struct, gc=False):
    """`usdc` is what we received, negative when we paid."""

    time: Millis
    coin: str
    usdc: str


class UserFills(msgspec.Struct, gc=False):
    user: str
    fills: list[Fill]
    isSnapshot: bool = False


class UserFundings(msgspec.Struct, gc=False):
    user: str
    fundings: list[Funding]
    isSnapshot: bool = False


class FundingDelta(msgspec.Struct, gc=False):
    coin: str
    usdc: str
    type: str = "funding"


class FundingEntry(msgspec.Struct, gc=False):
    """A row of `userFunding`."""

    time: Millis
    delta: FundingDelta


# Frames


class UpdatesFrame(msgspec.Struct, gc=False):
    data: list[OrderUpdate]


class FillsFrame(msgspec.Struct, gc=False):
    data: UserFills


class FundingsFrame(msgspec.Struct, gc=False):
    data: UserFundings


class Subscribed(msgspec.Struct, gc=False):
    type: str


class Acknowledgement(msgspec.Struct, gc=False):
    method: str
    subscription: Subscribed


class AcknowledgementFrame(msgspec.Struct, gc=False):
    data: Acknowledgement


class PostResponse(msgspec.Struct, gc=False):
    """`payload`: the reply of `POST /exchange` (type action), type and data of a read (info), or a text (error)."""

    type: str
    payload: msgspec.Raw


class Post(msgspec.Struct, gc=False):
    id: int
    response: PostResponse


class PostFrame(msgspec.Struct, gc=False):
    data: Post


# Replies to actions


class Resting(msgspec.Struct, gc=False):
    oid: Id
    cloid: str | None = None


class Filled(msgspec.Struct, gc=False):
    totalSz: str
    avgPx: str
    oid: Id
    cloid: str | None = None


class Status(msgspec.Struct, gc=False):
    """What became of one element of an action; one of the three."""

    resting: Resting | None = None
    filled: Filled | None = None
    error: str | None = None


class Statuses(msgspec.Struct, gc=False):
    statuses: list[Status | str]


class Response(msgspec.Struct, gc=False):
    type: str
    data: Statuses | None = None


class Reply(msgspec.Struct, gc=False):
    """`response` is a text when the whole action was refused (`status` is err)."""

    status: str
    response: Response | str


# Reads


class AssetRow(msgspec.Struct, gc=False):
    name: str
    szDecimals: int
    maxLeverage: int = 1
    isDelisted: bool | None = None


class Meta(msgspec.Struct, gc=False):
    universe: list[AssetRow]


class PerpDex(msgspec.Struct, gc=False):
    name: str


class SpotToken(msgspec.Struct, gc=False):
    name: str
    szDecimals: int
    index: int


class SpotPair(msgspec.Struct, gc=False):
    """`tokens`: indices of base and quote. `index` is the pair's own, whatever its place in the list."""

    name: str
    tokens: list[int]
    index: int


class SpotMeta(msgspec.Struct, gc=False):
    tokens: list[SpotToken]
    universe: list[SpotPair]


class Balance(msgspec.Struct, gc=False):
    """`total` of a token; `hold` of it is behind open orders."""

    coin: str
    total: str
    hold: str = "0"


class SpotState(msgspec.Struct, gc=False):
    balances: list[Balance]


class Held(msgspec.Struct, gc=False):
    """`szi`: signed size."""

    coin: str
    szi: str


class AssetPosition(msgspec.Struct, gc=False):
    position: Held


class ClearinghouseState(msgspec.Struct, gc=False):
    assetPositions: list[AssetPosition]
    time: Millis = 0


class ExchangeStatus(msgspec.Struct, gc=False):
    time: Millis


class RoleData(msgspec.Struct, gc=False):
    user: str | None = None
    master: str | None = None


class UserRole(msgspec.Struct, gc=False):
    role: str
    data: RoleData | None = None


class UserFees(msgspec.Struct, gc=False):
    taker: str = field(name="userCrossRate")
    maker: str = field(name="userAddRate")
    spot_taker: str | None = field(name="userSpotCrossRate", default=None)
    spot_maker: str | None = field(name="userSpotAddRate", default=None)


class UserRateLimit(msgspec.Struct, gc=False):
    cumVlm: str = "0"
    nRequestsUsed: int = 0
    nRequestsCap: int = 0
    nRequestsSurplus: int = 0


decode_updates = msgspec.json.Decoder(UpdatesFrame).decode
decode_fills = msgspec.json.Decoder(FillsFrame).decode
decode_fundings = msgspec.json.Decoder(FundingsFrame).decode
decode_acknowledgement = msgspec.json.Decoder(AcknowledgementFrame).decode
decode_post = msgspec.json.Decoder(PostFrame).decode
decode_reply = msgspec.json.Decoder(Reply).decode
