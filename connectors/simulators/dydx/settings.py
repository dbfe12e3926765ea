"""What a person may set at the simulated dYdX."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from connectors.simulators.faults import Chance
from mm_daemon.simulation.flow import FlowSettings


class MarketSettings(FlowSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One perpetual; null: by its ticker."""

    start_price: Annotated[Decimal, Meta(gt=0, description="price at the start, USDC; null = by the ticker")] | None = (
        None
    )
    typical_notional: Annotated[Decimal, Meta(gt=0, description="median worth of a taker's order, USDC")] = Decimal(
        3000
    )
    initial_margin_ppm: Annotated[int, Meta(ge=1, le=1_000_000, description="initial margin, millionths")] = 20_000


class DydxVenueSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The simulated dYdX's own keys: a YAML file for `mm-daemon simulate dydx --settings FILE`."""

    markets: Annotated[dict[str, MarketSettings], Meta(description="keys of single markets; others: defaults")] = {}
    chain_id: Annotated[str, Meta(min_length=1, description="chain that transactions must be signed for")] = (
        "localdydxprotocol"
    )
    accounts: Annotated[int, Meta(ge=1, le=20, description="accounts that are there at the start")] = 2
    deposit: Annotated[Decimal, Meta(ge=0, description="what subaccount 0 of each has at the start, USDC")] = Decimal(
        100_000
    )
    block_ms: Annotated[int, Meta(ge=1, le=60_000, description="time between blocks, ms")] = 500
    first_height: Annotated[int, Meta(ge=1, description="height at the start")] = 66_624_120
    short_block_window: Annotated[
        int, Meta(ge=1, le=1000, description="how many blocks ahead a short-term message may end")
    ] = 20
    maker_fee_ppm: Annotated[int, Meta(ge=-1000, le=1000, description="fee of resting orders, millionths")] = 100
    taker_fee_ppm: Annotated[int, Meta(ge=0, le=1000, description="fee of taking orders, millionths")] = 500
    short_term_per_5_blocks: Annotated[
        int, Meta(ge=1, description="short-term places and cancels of an owner in 5 blocks")
    ] = 4000
    stateful_per_block: Annotated[int, Meta(ge=1, description="stateful places of an owner in a block")] = 2
    stateful_per_100_blocks: Annotated[int, Meta(ge=1, description="stateful places of an owner in 100 blocks")] = 20
    node_requests_per_s: Annotated[int, Meta(ge=1, description="requests a second that a node takes")] = 1000
    indexer_requests_per_10s: Annotated[
        int, Meta(ge=1, description="indexer requests in 10 s, each limiter for itself")
    ] = 100
    indexer_lag_ms: Annotated[int, Meta(ge=0, le=60_000, description="how far the indexer is behind, ms")] = 0
    geoblocked: Annotated[bool, Meta(description="the indexer refuses every request by its country")] = False
    batch_ms: Annotated[int, Meta(ge=1, description="time between batches of a batched subscription, ms")] = 250
    ping_s: Annotated[float, Meta(gt=0, description="time between ping frames, seconds")] = 30.0
    pong_s: Annotated[float, Meta(gt=0, description="wait for the pong before the connection is closed, seconds")] = (
        10.0
    )
    subscriptions: Annotated[int, Meta(ge=1, description="subscriptions of a public channel per connection")] = 32
    funding_period_s: Annotated[int, Meta(ge=1, description="time between funding ticks, seconds")] = 3600
    funding_rate_ppm: Annotated[
        float, Meta(ge=-1000, le=1000, description="hourly funding rate, millionths; > 0: longs pay")
    ] = 2.5
    chances: Annotated[tuple[Chance, ...], Meta(description="faults that may strike at any time, by the seed")] = ()

    @property
    def stateful_limits(self) -> tuple[tuple[int, int], ...]:
        """(blocks, places) each."""
        return (1, self.stateful_per_block), (100, self.stateful_per_100_blocks)


class MarketFacts(msgspec.Struct, frozen=True):
    """What is known of a market by its ticker: its exponents are those of mainnet."""

    pair_id: int
    price: Decimal
    atomic_resolution: int
    step_base_quantums: int
    subticks_per_tick: int


KNOWN: Mapping[str, MarketFacts] = {
    "BTC-USD": MarketFacts(0, Decimal(60_000), -10, 1_000_000, 100_000),
    "ETH-USD": MarketFacts(1, Decimal(3000), -9, 1_000_000, 100_000),
    "LINK-USD": MarketFacts(2, Decimal(14), -6, 1_000_000, 1_000_000),
    "SOL-USD": MarketFacts(5, Decimal(150), -7, 1_000_000, 1_000_000),
    "DOGE-USD": MarketFacts(10, Decimal("0.14"), -4, 1_000_000, 1_000_000),
    "PEPE-USD": MarketFacts(28, Decimal("0.000012"), 1, 1_000_000, 1_000_000),
}
OTHER = MarketFacts(100, Decimal(100), -7, 1_000_000, 1_000_000)
"""Of the first other market; each further one has the next pair id."""
