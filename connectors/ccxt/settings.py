"""What a person may set for a venue that is spoken to through ccxt."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta


class MarketData(StrEnum):
    NATIVE = "native"
    """Our own translator on the venue's own stream, where there is one."""
    CCXT = "ccxt"
    """ccxt.pro's books and trades, with guards around them."""


class MarginMode(StrEnum):
    CROSS = "cross"
    ISOLATED = "isolated"


class PositionMode(StrEnum):
    ONE_WAY = "one_way"
    """One net position a symbol."""
    TWO_WAY = "two_way"
    """Long and short apart: hedge mode, long/short mode, dual-side positions."""

    @property
    def hedged(self) -> bool:
        """In ccxt's words."""
        return self is PositionMode.TWO_WAY


class CcxtSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a ccxt venue. Key, secret and (where the venue has one) passphrase are `secrets: {api_key,
    api_secret, passphrase}`; without them there are market data only, which is enough for paper."""

    exchange: Annotated[str, Meta(min_length=2, description="ccxt's name of the exchange, such as binanceusdm")]
    testnet: Annotated[bool, Meta(description="the exchange's test or demo system")] = False
    url: (
        Annotated[str, Meta(min_length=1, description="another address, such as a simulator's; null = the exchange's")]
        | None
    ) = None
    market_data: Annotated[
        MarketData, Meta(description="native: our translator on the venue's stream; ccxt: ccxt.pro with guards")
    ] = MarketData.CCXT
    client_id_prefix: Annotated[
        str, Meta(pattern="^[a-zA-Z][a-zA-Z0-9]{0,7}$", description="what our client order ids begin with")
    ] = "mm"
    leverage: (
        Annotated[int, Meta(ge=1, le=125, description="leverage to set at the start; null = left as it is")] | None
    ) = None
    margin_mode: Annotated[MarginMode, Meta(description="to set at the start; null = left as it is")] | None = None
    position_mode: Annotated[
        PositionMode,
        Meta(description="one_way: a net position; two_way: long and short apart (hedge mode). The account must be so"),
    ] = PositionMode.ONE_WAY
    set_position_mode: Annotated[bool, Meta(description="switch the account to position_mode at the start")] = False
    fee_prices: Annotated[
        dict[str, Annotated[Decimal, Meta(gt=0)]],
        Meta(
            description="price of a currency that fees are charged in, in that of settlement, where the exchange has "
            "no market of it, such as {KCS: 10.5}"
        ),
    ] = {}
    dead_man_ms: (
        Annotated[
            int, Meta(ge=1000, le=3_600_000, description="silence after which the venue cancels all, ms; null = never")
        ]
        | None
    ) = 30_000
    ack_timeout_ms: Annotated[int, Meta(ge=200, le=60_000, description="longest wait for an answer, ms")] = 3000
    d_max_ms: (
        Annotated[
            int,
            Meta(ge=1000, le=600_000, description="longest time from sending to effect, ms; null = what we know of it"),
        ]
        | None
    ) = None
    orders_per_10s: (
        Annotated[int, Meta(ge=1, description="places and amends in 10 s; null = what we know of the venue")] | None
    ) = None
    book_levels: Annotated[int, Meta(ge=1, le=1000, description="levels a side that ccxt's book is cut to")] = 50
    book_max_age_ms: Annotated[
        int, Meta(ge=100, le=600_000, description="silence after which ccxt's book is void, ms")
    ] = 10_000
    book_compare_s: Annotated[
        float, Meta(ge=1, le=3600, description="time between comparisons of ccxt's book with a snapshot, seconds")
    ] = 30.0
