"""What a person may set at Lighter, the venue's deployments, and what the venue can do."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from mm_daemon.domain.capabilities import AmendQuantity, Bucket, BucketKind, Capabilities, CommandClass, Validity

ACK_TIMEOUT_MS = 3000
BATCH_MAX = 15
TRANSACTION_LIFE_MS = 600_000
"""The signer makes every transaction valid for so long (less a second), and lets nobody choose."""
DEAD_MAN_FLOOR_MS = 300_000
QUOTA = "quota"
TRANSACTIONS = "transactions"
QUOTA_START = 1000
_QUOTA_RESERVE = 50
_KEY_MIN = 4
_KEY_MAX = 254


class Deployment(StrEnum):
    """Which of the venue's networks. Accounts, keys and markets are separate; the chain id is in every signature."""

    MAINNET = "mainnet"
    TESTNET = "testnet"
    ROBINHOOD = "robinhood"
    ROBINHOOD_TESTNET = "robinhood-testnet"


class _Network(msgspec.Struct, frozen=True):
    url: str
    chain_id: int


_NETWORKS = {
    Deployment.MAINNET: _Network("https://mainnet.zklighter.elliot.ai", 304),
    Deployment.TESTNET: _Network("https://testnet.zklighter.elliot.ai", 300),
    Deployment.ROBINHOOD: _Network("https://api.rh.lighter.xyz", 466_324),
    Deployment.ROBINHOOD_TESTNET: _Network("https://api.rh-testnet.lighter.xyz", 300),
}


class Tier(StrEnum):
    """The account's: its rate limits."""

    STANDARD = "standard"
    PREMIUM = "premium"
    PLUS = "plus"


_TRANSACTIONS_PER_MINUTE = {Tier.STANDARD: 60, Tier.PREMIUM: 4000, Tier.PLUS: 8000}
_READS_PER_MINUTE = {Tier.STANDARD: 60, Tier.PREMIUM: 24_000, Tier.PLUS: 120_000}
"""Requests of a standard account; weight of the others."""


class LighterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lighter's own keys. The private keys that sign are `secrets: {api_key_<index>: ...}`, one for each of
    `api_keys`."""

    network: Annotated[Deployment, Meta(description="mainnet, testnet, robinhood or robinhood-testnet")]
    url: (
        Annotated[str, Meta(min_length=1, description="another address of the venue; null = the network's own")] | None
    ) = None
    chain_id: (
        Annotated[int, Meta(ge=1, description="of another deployment, in every signature; null = the network's own")]
        | None
    ) = None
    account: (
        Annotated[int, Meta(ge=0, le=(1 << 48) - 2, description="index of the account; null = market data only")] | None
    ) = None
    api_keys: Annotated[
        tuple[Annotated[int, Meta(ge=_KEY_MIN, le=_KEY_MAX)], ...],
        Meta(min_length=1, max_length=16, description="key indexes; several take turns, the last with what may take"),
    ] = (4,)
    tier: Annotated[Tier, Meta(description="standard, premium or plus: the account's rate limits")] = Tier.STANDARD
    transactions_per_minute: Annotated[int, Meta(ge=1, description="null = the tier's")] | None = None
    signer_library: (
        Annotated[str, Meta(min_length=1, description="file or folder of the signer library; null = the usual place")]
        | None
    ) = None
    order_expiry_s: Annotated[
        int, Meta(ge=600, le=2_592_000, description="age at which the venue ends a resting order, seconds")
    ] = 86_400
    auth_token_s: Annotated[
        int, Meta(ge=10, le=28_800, description="life of a token for private reads; renewed at two thirds, seconds")
    ] = 3600
    dead_man_ms: (
        Annotated[
            int,
            Meta(ge=300_000, le=1_296_000_000, description="silence after which the venue cancels all; null = never"),
        ]
        | None
    ) = 600_000
    contracts_every_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="time between looks at status, grids and minimums, seconds")
    ] = 60.0
    leverage: (
        Annotated[int, Meta(ge=1, le=100, description="set at the start for each market; null = as it is")] | None
    ) = None
    isolated: Annotated[bool, Meta(description="margin of its own for each market, where leverage is set")] = False

    @property
    def rest_url(self) -> str:
        return (self.url or _NETWORKS[self.network].url).rstrip("/")

    @property
    def socket_url(self) -> str:
        """Market data alone may come over a read-only connection, which is open to more regions."""
        return f"ws{self.rest_url.removeprefix('http')}/stream{'' if self.account is not None else '?readonly=true'}"

    @property
    def chain(self) -> int:
        return self.chain_id or _NETWORKS[self.network].chain_id

    @property
    def reads_per_minute(self) -> int:
        return _READS_PER_MINUTE[self.tier]


def capabilities(settings: LighterSettings) -> Capabilities:
    """What the venue can do. A premium account's volume quota is a bucket of its own, corrected by every answer."""
    acting = dict.fromkeys((CommandClass.PLACE, CommandClass.AMEND, CommandClass.REDUCE, CommandClass.CANCEL_ALL), 1)
    buckets = [
        Bucket(
            name=TRANSACTIONS,
            kind=BucketKind.WINDOW,
            capacity=settings.transactions_per_minute or _TRANSACTIONS_PER_MINUTE[settings.tier],
            period_ms=60_000,
            costs=dict.fromkeys(CommandClass, 1),
        )
    ]
    if settings.tier is Tier.PREMIUM:
        quota = Bucket(
            name=QUOTA,
            kind=BucketKind.QUOTA,
            capacity=QUOTA_START,
            costs=acting,
            reserve=_QUOTA_RESERVE,
            cancels_exempt=True,
            use_percent=100,
        )
        buckets.append(quota)
    armed = settings.account is not None and settings.dead_man_ms is not None
    return Capabilities(
        amend=True,
        amend_quantity=AmendQuantity.TOTAL,
        amend_new_venue_id=False,
        decrease_keeps_place=False,
        cancel_final=True,
        post_only=True,
        reduce_only=True,
        batch_max=BATCH_MAX,
        ack_timeout_ms=ACK_TIMEOUT_MS,
        validity=Validity.NONCE,
        fence=settings.account is not None,
        action_ttl_floor_ms=TRANSACTION_LIFE_MS,
        dead_man_floor_ms=DEAD_MAN_FLOOR_MS if armed else None,
        dead_man_ms=settings.dead_man_ms if armed else None,
        buckets=tuple(buckets),
        simulated=False,
    )
