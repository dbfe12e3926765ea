"""What a person may set at dYdX, and what the venue can do for the daemon."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from connectors.dydx.stateful import COMMAND_LIFE_MS
from mm_daemon.domain.capabilities import AmendQuantity, Bucket, BucketKind, Capabilities, CommandClass, Validity

ACK_TIMEOUT_MS = 2000
BATCH_MAX = 10
BATCH_CANCEL_FROM = 3
"""So many cancels go in one message, which counts two."""
BATCH_CANCEL_COST = 2
_STATEFUL_ACK_TIMEOUT_MS = 5000
"""A stateful order is there once a block holds it and the indexer has told of that block."""
STATEFUL_BLOCKS = 100
"""Over which the chain counts stateful places, besides each block by itself."""


class Network(StrEnum):
    MAINNET = "mainnet"
    TESTNET = "testnet"
    LOCAL = "local"


class OrderKind(StrEnum):
    SHORT_TERM = "short_term"
    """In the nodes' memory: quick, moved by one message, gone within seconds when nobody moves them."""
    STATEFUL = "stateful"
    """In the chain's state: they outlive the daemon; few, slow, and not to be moved."""


class Endpoints(msgspec.Struct, frozen=True):
    indexer: str
    nodes: tuple[str, ...]
    """CometBFT RPC."""
    rest: str
    """Cosmos REST of a node."""
    chain_id: str


ENDPOINTS: Mapping[Network, Endpoints] = {
    Network.MAINNET: Endpoints(
        "https://indexer.dydx.trade",
        ("https://dydx-ops-rpc.kingnodes.com",),
        "https://dydx-ops-rest.kingnodes.com",
        "dydx-mainnet-1",
    ),
    Network.TESTNET: Endpoints(
        "https://indexer.v4testnet.dydx.exchange",
        ("https://test-dydx-rpc.kingnodes.com",),
        "https://test-dydx-rest.kingnodes.com",
        "dydx-testnet-4",
    ),
    Network.LOCAL: Endpoints(
        "http://127.0.0.1:9700", ("http://127.0.0.1:9700",), "http://127.0.0.1:9700", "localdydxprotocol"
    ),
}


class DydxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """dYdX's own keys. `secrets: {private_key}` is the trading key or its mnemonic; without it there is no account."""

    network: Annotated[Network, Meta(description="mainnet, testnet or local; decides addresses and signatures")] = (
        Network.TESTNET
    )
    indexer: Annotated[str, Meta(description="address of the indexer; empty = the network's")] = ""
    nodes: Annotated[
        tuple[str, ...], Meta(description="CometBFT RPC addresses, the first one preferred; empty = the network's")
    ] = ()
    node_rest: Annotated[str, Meta(description="Cosmos REST address of a node; empty = the network's")] = ""
    owner: Annotated[
        str, Meta(description="address of the account; empty = that of the key. Another's needs an authenticator")
    ] = ""
    authenticator: (
        Annotated[int, Meta(ge=0, description="id under which the owner lets this key trade; null = it is his own")]
        | None
    ) = None
    subaccount: Annotated[int, Meta(ge=0, le=128_000, description="number of the subaccount")] = 0
    orders: Annotated[
        OrderKind,
        Meta(description="kind of the quotes: short_term, or stateful: they stay when the daemon dies, few and slow"),
    ] = OrderKind.SHORT_TERM
    stateful_ttl_s: Annotated[
        int, Meta(ge=10, le=94 * 86_400, description="stateful: how long a quote lives, seconds")
    ] = 3600
    stateful_per_block: Annotated[int, Meta(ge=1, description="stateful: places that the chain takes in a block")] = 2
    stateful_per_100_blocks: Annotated[
        int, Meta(ge=2, description="stateful: places that the chain takes in 100 blocks")
    ] = 20
    block_window: Annotated[
        int, Meta(ge=2, le=200, description="how many blocks ahead the network lets an order end")
    ] = 20
    requests_per_10s: Annotated[int, Meta(ge=5, description="requests in 10 s that a node takes")] = 40
    actions_per_5_blocks: Annotated[int, Meta(ge=10, description="places and cancels in 5 blocks")] = 4000
    max_lag_blocks: Annotated[
        int, Meta(ge=1, description="blocks the indexer may be behind the node before its books are not trusted")
    ] = 10
    lag_check_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="time between looks at how far the indexer is behind, seconds")
    ] = 5.0
    book_check_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="time between checks of the books against the REST interface, seconds")
    ] = 15.0

    @property
    def ttl_s(self) -> int | None:
        """How long a stateful quote lives; None: quotes are short-term."""
        return self.stateful_ttl_s if self.orders is OrderKind.STATEFUL else None

    @property
    def endpoints(self) -> Endpoints:
        known = ENDPOINTS[self.network]
        return Endpoints(
            (self.indexer or known.indexer).rstrip("/"),
            tuple(url.rstrip("/") for url in self.nodes or known.nodes),
            (self.node_rest or (self.nodes[0] if self.network is Network.LOCAL and self.nodes else known.rest)).rstrip(
                "/"
            ),
            known.chain_id,
        )


def capabilities(settings: DydxSettings) -> Capabilities:
    """Of the kind of orders that is quoted with."""
    short_term = Capabilities(
        amend=True,
        amend_quantity=AmendQuantity.TOTAL,
        amend_new_venue_id=False,
        decrease_keeps_place=False,
        cancel_final=False,
        post_only=True,
        reduce_only=True,
        batch_max=BATCH_MAX,
        ack_timeout_ms=ACK_TIMEOUT_MS,
        validity=Validity.HEIGHT,
        max_order_blocks=settings.block_window,
        client_id_bits=32,
        exchange=f"dydx {ENDPOINTS[settings.network].chain_id}",
        buckets=(
            Bucket(
                name="chain",
                kind=BucketKind.PER_BLOCK,
                capacity=settings.actions_per_5_blocks,
                blocks=5,
                costs=dict.fromkeys(CommandClass, 1) | {CommandClass.CANCEL_ALL: BATCH_CANCEL_COST},
            ),
            Bucket(
                name="node",
                kind=BucketKind.WINDOW,
                capacity=settings.requests_per_10s,
                period_ms=10_000,
                costs=dict.fromkeys(CommandClass, 1),
                reserve=2,
            ),
        ),
    )
    if settings.orders is OrderKind.SHORT_TERM:
        return short_term
    return msgspec.structs.replace(
        short_term,
        amend=False,
        cancel_final=True,
        ack_timeout_ms=_STATEFUL_ACK_TIMEOUT_MS,
        validity=Validity.EXPIRES_AT,
        action_ttl_floor_ms=COMMAND_LIFE_MS,
        max_order_blocks=None,
        order_life_ms=settings.stateful_ttl_s * 1000,
        buckets=(*short_term.buckets, *_stateful_buckets(settings)),
    )


def _stateful_buckets(settings: DydxSettings) -> tuple[Bucket, ...]:
    """Cancels are not counted. The first is over two blocks: heights are told late, two of ours may be one there."""
    costs = {CommandClass.PLACE: 1}
    each, many = settings.stateful_per_block, settings.stateful_per_100_blocks
    return (
        Bucket(
            name="stateful",
            kind=BucketKind.PER_BLOCK,
            capacity=each,
            blocks=2,
            costs=costs,
            reserve=0,
            use_percent=100,
        ),
        Bucket(
            name=f"stateful in {STATEFUL_BLOCKS} blocks",
            kind=BucketKind.PER_BLOCK,
            capacity=many,
            blocks=STATEFUL_BLOCKS,
            costs=costs,
            reserve=0,
        ),
    )
