"""What a person may set at the simulated Hyperliquid."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from connectors.simulators.faults import Chance
from mm_daemon.simulation.flow import FlowSettings


class CoinSettings(FlowSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One perpetual or spot pair; null: by the coin's name."""

    start_price: Annotated[Decimal, Meta(gt=0, description="price at the start, USDC; null = by the coin")] | None = (
        None
    )
    sz_decimals: Annotated[int, Meta(ge=0, le=6, description="decimals of sizes; null = by the coin")] | None = None
    max_leverage: Annotated[int, Meta(ge=1, le=100, description="highest leverage; null = by the coin")] | None = None
    held: Annotated[
        Decimal, Meta(ge=0, description="of a spot pair: what each account has of its base at the start")
    ] = Decimal(0)
    typical_notional: Annotated[Decimal, Meta(gt=0, description="median worth of a taker's order, USDC")] = Decimal(
        3000
    )
    open_interest_cap: (
        Annotated[Decimal, Meta(ge=0, description="open interest at which no position may grow, USDC; null = none")]
        | None
    ) = None
    tier_notional: (
        Annotated[
            Decimal, Meta(gt=0, description="position above which only half the leverage is allowed, USDC; null = none")
        ]
        | None
    ) = None


class HyperliquidVenueSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The simulated Hyperliquid's own keys: a YAML file for `mm-daemon simulate hyperliquid --settings FILE`."""

    coins: Annotated[
        dict[str, CoinSettings], Meta(description="keys of single coins, as --symbols names them; others take defaults")
    ] = {}
    delisted: Annotated[
        tuple[str, ...], Meta(description="delisted coins; they keep their place behind the first one")
    ] = ("MATIC",)
    mainnet: Annotated[bool, Meta(description="whose signatures are taken; the test network's, unless true")] = False
    accounts: Annotated[int, Meta(ge=1, le=20, description="accounts that are there at the start")] = 2
    deposit: Annotated[Decimal, Meta(ge=0, description="what each has at the start, USDC")] = Decimal(100_000)
    spot_deposit: Annotated[
        Decimal, Meta(ge=0, description="what each has in spot at the start, USDC, where there are pairs")
    ] = Decimal(100_000)
    unified: Annotated[bool, Meta(description="accounts are unified: their money shows in the spot balance")] = False
    traded: Annotated[Decimal, Meta(ge=0, description="what each has traded before the start, USDC")] = Decimal(0)
    block_ms: Annotated[int, Meta(ge=1, le=10_000, description="time between blocks, ms")] = 70
    full_book_ms: Annotated[int, Meta(ge=10, description="time between books of 20 levels, ms")] = 5400
    fast_book_ms: Annotated[int, Meta(ge=10, description="time between books of 5 levels, ms")] = 540
    context_ms: Annotated[int, Meta(ge=10, description="time between contexts of a coin, ms")] = 1000
    funding_period_s: Annotated[int, Meta(ge=1, description="time between funding payments, seconds")] = 3600
    silence_s: Annotated[
        float, Meta(gt=0, description="a connection to which nothing was sent for so long is closed, seconds")
    ] = 60.0
    weight_per_minute: Annotated[int, Meta(ge=1, description="REST weight in a minute")] = 1200
    messages_per_minute: Annotated[int, Meta(ge=1, description="socket messages in a minute")] = 2000
    connections: Annotated[int, Meta(ge=1, description="sockets at a time")] = 10
    new_connections_per_minute: Annotated[int, Meta(ge=1, description="sockets opened in a minute")] = 30
    subscriptions: Annotated[int, Meta(ge=1, description="subscriptions at a time")] = 1000
    users: Annotated[int, Meta(ge=1, description="different users in subscriptions")] = 10
    posts_in_flight: Annotated[int, Meta(ge=1, description="posts without their reply")] = 100
    initial_requests: Annotated[int, Meta(ge=0, description="an address's requests before it has traded")] = 10_000
    schedule_cancel_volume: Annotated[
        int, Meta(ge=0, description="what an address must have traded to use scheduleCancel, USDC")
    ] = 1_000_000
    post_only_ms: Annotated[
        int, Meta(ge=0, description="after a restart only post-only orders are taken for so long, ms")
    ] = 0
    chances: Annotated[tuple[Chance, ...], Meta(description="faults that may strike at any time, by the seed")] = ()


class CoinFacts(msgspec.Struct, frozen=True):
    """What is known of a coin by its name."""

    price: Decimal
    sz_decimals: int
    max_leverage: int


KNOWN: Mapping[str, CoinFacts] = {
    "BTC": CoinFacts(Decimal(60_000), 5, 40),
    "ETH": CoinFacts(Decimal(3000), 4, 25),
    "SOL": CoinFacts(Decimal(150), 2, 20),
    "HYPE": CoinFacts(Decimal(40), 2, 10),
    "DOGE": CoinFacts(Decimal("0.1"), 0, 10),
    "kPEPE": CoinFacts(Decimal("0.01"), 0, 10),
}
OTHER = CoinFacts(Decimal(100), 2, 10)
