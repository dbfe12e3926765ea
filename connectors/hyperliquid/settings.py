"""What a person may set at Hyperliquid, and what the venue can do."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from mm_daemon.domain.capabilities import AmendQuantity, Bucket, BucketKind, Capabilities, CommandClass, Validity

ACK_TIMEOUT_MS = 3000
BATCH_MAX = 20
DEAD_MAN_FLOOR_MS = 5000
_DAY_MS = 86_400_000
LEAST_A_DAY = 8640
"""One in ten seconds: what the venue lets through of an address that has used up its requests."""
_ADDRESS = "^0x[0-9a-fA-F]{40}$"


class Network(StrEnum):
    """Which of the venue's networks: part of every signature."""

    MAINNET = "mainnet"
    TESTNET = "testnet"


class BookKind(StrEnum):
    """FAST: 5 levels about twice a second; FULL: 20 levels about every five seconds. The best prices come by block."""

    FAST = "fast"
    FULL = "full"


_HOSTS = {Network.MAINNET: "https://api.hyperliquid.xyz", Network.TESTNET: "https://api.hyperliquid-testnet.xyz"}


class HyperliquidSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hyperliquid's own keys. The key that signs is `secrets: {private_key}`: an agent's, which cannot withdraw."""

    network: Annotated[Network, Meta(description="mainnet or testnet; part of every signature, whatever the url")]
    url: (
        Annotated[str, Meta(min_length=1, description="another address of the venue; null = the network's own")] | None
    ) = None
    account: (
        Annotated[str, Meta(pattern=_ADDRESS, description="address that the key must act for; null = whoever it may")]
        | None
    ) = None
    vault: (
        Annotated[str, Meta(pattern=_ADDRESS, description="vault or sub-account to trade; null = the account itself")]
        | None
    ) = None
    book: Annotated[BookKind, Meta(description="fast: 5 levels twice a second; full: 20 levels every five seconds")] = (
        BookKind.FAST
    )
    fast_cancels: Annotated[
        bool, Meta(description="mark cancels as fast: the venue runs only those ahead of others")
    ] = True
    dead_man_ms: (
        Annotated[
            int,
            Meta(ge=6000, le=3_600_000, description="silence after which the venue cancels all, ms; null = never"),
        ]
        | None
    ) = None
    leverage: (
        Annotated[int, Meta(ge=1, le=100, description="set at the start for each market; null = as it is")] | None
    ) = None
    isolated: Annotated[bool, Meta(description="margin of its own for each market, where leverage is set")] = False
    requests_per_day: (
        Annotated[int, Meta(ge=1, description="places and amends the address may spend a day; null = what it has left")]
        | None
    ) = None
    weight_per_minute: Annotated[int, Meta(ge=100, description="weight of reads that this process may use")] = 1000
    messages_per_minute: Annotated[int, Meta(ge=10, description="socket messages that this process may send")] = 2000

    @property
    def rest_url(self) -> str:
        return (self.url or _HOSTS[self.network]).rstrip("/")

    @property
    def socket_url(self) -> str:
        return f"ws{self.rest_url.removeprefix('http')}/ws"


def capabilities(settings: HyperliquidSettings, requests_left: int | None) -> Capabilities:
    """What the venue can do. `requests_left`: places and amends that the address may spend a day, where it is known."""
    acting = dict.fromkeys((CommandClass.PLACE, CommandClass.AMEND, CommandClass.REDUCE), 1)
    buckets = [
        Bucket(
            name="messages",
            kind=BucketKind.WINDOW,
            capacity=settings.messages_per_minute,
            period_ms=60_000,
            costs=dict.fromkeys(CommandClass, 1),
        )
    ]
    if requests_left is not None:
        address = Bucket(
            name="address",
            kind=BucketKind.TOKEN,
            capacity=requests_left,
            period_ms=_DAY_MS,
            costs=acting,
            cancels_exempt=True,
        )
        buckets.append(address)
    return Capabilities(
        amend=True,
        amend_quantity=AmendQuantity.FRESH,
        amend_new_venue_id=True,
        decrease_keeps_place=False,
        cancel_final=True,
        post_only=True,
        reduce_only=True,
        batch_max=BATCH_MAX,
        ack_timeout_ms=ACK_TIMEOUT_MS,
        validity=Validity.EXPIRES_AT,
        fence=True,
        dead_man_floor_ms=None if settings.dead_man_ms is None else DEAD_MAN_FLOOR_MS,
        dead_man_ms=settings.dead_man_ms,
        buckets=tuple(buckets),
        simulated=False,
    )
