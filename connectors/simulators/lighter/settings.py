"""What a person may set at the simulated Lighter."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from connectors.simulators.faults import Chance
from mm_daemon.simulation.symbols import SymbolSettings

FIRST_KEY_INDEX = 4
"""Lower ones are for the venue's own apps."""


class Tier(StrEnum):
    """Of the account: its fees, its delays and its limits."""

    STANDARD = "standard"
    PREMIUM = "premium"


class TierFacts(msgspec.Struct, frozen=True):
    maker_fee_bps: float
    taker_fee_bps: float
    maker_delay_ms: int
    taker_delay_ms: int
    transactions_per_minute: int
    weight_per_minute: int


TIERS = {
    Tier.STANDARD: TierFacts(0.0, 0.0, 200, 300, 60, 18_000),
    Tier.PREMIUM: TierFacts(0.4, 2.8, 0, 200, 4000, 24_000),
}


class LighterVenueSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The simulated Lighter's own keys: a YAML file for `mm-daemon simulate lighter --settings FILE`."""

    symbols: Annotated[
        dict[str, SymbolSettings], Meta(description="keys of single symbols; the others take the defaults")
    ] = {}
    chain_id: Annotated[int, Meta(ge=1, description="enters every hash; the test network's by default")] = 300
    account_index: Annotated[int, Meta(ge=1, le=(1 << 48) - 2, description="index of the one account")] = 700_001
    api_keys: Annotated[int, Meta(ge=1, le=200, description="its keys, from index 4 on")] = 3
    deposit: Annotated[Decimal, Meta(ge=0, description="its collateral at the start, USDC")] = Decimal(100_000)
    max_leverage: Annotated[int, Meta(ge=1, le=100, description="largest notional, in collaterals")] = 50
    tier: Annotated[Tier, Meta(description="standard or premium: fees, delays and limits")] = Tier.PREMIUM
    maker_delay_ms: (
        Annotated[int, Meta(ge=0, le=60_000, description="from admission to execution, ms; null = the tier's")] | None
    ) = None
    taker_delay_ms: (
        Annotated[int, Meta(ge=0, le=60_000, description="the same for orders that may take; null = the tier's")] | None
    ) = None
    transactions_per_minute: Annotated[int, Meta(ge=1, description="null = the tier's")] | None = None
    weight_per_minute: Annotated[int, Meta(ge=1, description="weight of REST reads; null = the tier's")] | None = None
    quota: Annotated[int, Meta(ge=0, description="volume quota at the start (premium)")] = 1000
    usd_per_quota: Annotated[int, Meta(ge=1, description="USD traded for one more")] = 10
    verify_signatures: Annotated[bool, Meta(description="false: hashes are not checked against signatures")] = True
    publish_interval_ms: Annotated[float, Meta(ge=1, le=60000, description="time between book frames, ms")] = 50.0
    stats_interval_ms: Annotated[int, Meta(ge=10, description="time between market_stats and user_stats, ms")] = 1000
    idle_s: Annotated[float, Meta(gt=0, description="a client silent for so long is dropped, seconds")] = 120.0
    ping_s: Annotated[float, Meta(gt=0, description="time between the venue's own pings, seconds")] = 30.0
    life_s: Annotated[float, Meta(gt=0, description="age at which a connection is dropped, seconds")] = 86_400.0
    connections: Annotated[int, Meta(ge=1, description="sockets at a time")] = 200
    subscriptions: Annotated[int, Meta(ge=1, description="subscriptions of a connection")] = 500
    messages_per_minute: Annotated[int, Meta(ge=1, description="client messages a minute, but for transactions")] = 200
    chances: Annotated[tuple[Chance, ...], Meta(description="faults that may strike at any time, by the seed")] = ()

    @property
    def facts(self) -> TierFacts:
        """The tier's, with what was set instead."""
        own, tier = self, TIERS[self.tier]
        return TierFacts(
            tier.maker_fee_bps,
            tier.taker_fee_bps,
            tier.maker_delay_ms if own.maker_delay_ms is None else own.maker_delay_ms,
            tier.taker_delay_ms if own.taker_delay_ms is None else own.taker_delay_ms,
            own.transactions_per_minute or tier.transactions_per_minute,
            own.weight_per_minute or tier.weight_per_minute,
        )
