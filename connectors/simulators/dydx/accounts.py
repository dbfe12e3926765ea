"""Owners, subaccounts and orders of the simulated dYdX. No matching, no clock. Money is decimal USDC, exact."""

import hashlib
from collections import deque
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any
from uuid import uuid5

from connectors.shared.cosmos_address import address_of
from connectors.simulators.dydx.market import Market, plain
from connectors.simulators.dydx.wire import NAMESPACE, OrderId, Place
from mm_daemon.domain.orders import Side

GTT, IOC, POST_ONLY, FOK = 0, 1, 2, 3
_SIDES = {Side.BUY: "BUY", Side.SELL: "SELL"}
_USDC_STEP = Decimal("0.000001")
_NONCES_KEPT = 20
NONCE_FROM = 1 << 40
"""From here on a sequence is milliseconds of time, used once, instead of a count."""
NONCE_WINDOW_MS = 30_000


def seeded_key(seed: int, number: int) -> bytes:
    """Private key of one of the accounts that are there at the start: play money, known to everybody."""
    return hashlib.sha256(f"mm-daemon simulated dydx {seed} {number}".encode()).digest()


class Permission:
    """An authenticator: whose key may sign for the owner, and what."""

    __slots__ = ("pairs", "public_key", "subaccounts")

    def __init__(self, public_key: bytes, subaccounts: tuple[int, ...] | None, pairs: tuple[int, ...] | None) -> None:
        self.public_key = public_key
        self.subaccounts = subaccounts
        self.pairs = pairs


class Owner:
    """An account of the chain."""

    __slots__ = ("address", "authenticators", "nonces", "number", "public_key", "sequence", "spent")

    def __init__(self, public_key: bytes, number: int) -> None:
        self.public_key = public_key
        self.address = address_of(public_key, "dydx")
        self.number = number
        self.sequence = 0
        self.nonces: list[int] = []
        self.authenticators: dict[int, Permission] = {}
        self.spent: dict[str, deque[tuple[int, int]]] = {"short": deque(), "stateful": deque()}
        """(height, count) of what counts towards the block rate limits."""

    def use_sequence(self, sequence: int, block_ms: int, window_ms: int) -> str | None:
        """Take a stateful transaction's sequence or time; why it cannot be taken."""
        if sequence < NONCE_FROM:
            if sequence != self.sequence:
                return (
                    f"account sequence mismatch, expected {self.sequence}, got {sequence}: incorrect account sequence"
                )
            self.sequence += 1
            return None
        if abs(sequence - block_ms) > window_ms:
            return f"timestamp nonce {sequence} not within valid time window: incorrect account sequence"
        if sequence in self.nonces or (len(self.nonces) == _NONCES_KEPT and sequence < self.nonces[0]):
            return f"timestamp nonce {sequence} rejected: incorrect account sequence"
        self.nonces = sorted([*self.nonces, sequence])[-_NONCES_KEPT:]
        return None

    def spend(self, kind: str, count: int, height: int, limits: tuple[tuple[int, int], ...]) -> tuple[int, int] | None:
        """Count towards limits of (blocks, how many), failures too; the (blocks, rate) of one that is exceeded."""
        spent = self.spent[kind]
        spent.append((height, count))
        longest = max(blocks for blocks, _ in limits)
        while spent and spent[0][0] <= height - longest:
            spent.popleft()
        for blocks, limit in limits:
            rate = sum(each for at, each in spent if at > height - blocks)
            if rate > limit:
                return blocks, rate
        return None


class Order:
    """One order as the node and the indexer know it. Sizes in lots; `filled` counts what is not committed yet too."""

    __slots__ = (
        "book_id",
        "committed",
        "conditional_type",
        "created_at",
        "created_height",
        "digest",
        "filled",
        "good_til_block",
        "good_til_time",
        "id",
        "in_database",
        "lots",
        "market",
        "metadata",
        "reduce_only",
        "removal",
        "resting",
        "side",
        "signed_by",
        "status",
        "ticks",
        "tif",
        "told",
        "trigger_ticks",
        "updated_at",
        "updated_height",
        "uuid",
    )

    def __init__(self, market: Market, place: Place, book_id: int, signed_by: bytes) -> None:
        self.market = market
        self.id: OrderId = place.id
        self.uuid = place.id.uuid
        self.book_id = book_id
        self.side = Side.BUY if place.side == 1 else Side.SELL
        self.lots = place.quantums // market.step
        self.ticks = place.subticks // market.subticks_per_tick
        self.trigger_ticks = place.trigger_subticks // market.subticks_per_tick
        self.conditional_type = place.condition
        self.tif = place.tif
        self.reduce_only = place.reduce_only
        self.good_til_block = place.good_til_block
        self.good_til_time = place.good_til_time
        self.metadata = place.metadata
        self.digest = place.digest
        self.signed_by = signed_by
        self.filled = self.committed = 0
        self.resting = False
        self.told = True
        """Whether the indexer has heard of it."""
        self.in_database = not place.id.short_term
        self.status = "BEST_EFFORT_OPENED"
        self.removal = ""
        self.created_at = self.updated_at = ""
        self.created_height = self.updated_height = 0

    @property
    def left(self) -> int:
        return self.lots - self.filled

    def row(self) -> dict[str, Any]:
        """What every message and answer about it has."""
        market = self.market
        kind = {0: "LIMIT", 1: "STOP_LIMIT", 2: "TAKE_PROFIT"}[self.conditional_type]
        row: dict[str, Any] = {
            "id": self.uuid,
            "subaccountId": self.id.subaccount_uuid,
            "clientId": str(self.id.client_id),
            "clobPairId": str(self.id.pair_id),
            "side": _SIDES[self.side],
            "size": market.size(self.lots),
            "price": market.price(self.ticks),
            "status": self.status,
            "type": kind,
            "timeInForce": "IOC" if self.tif == IOC else "GTT",
            "postOnly": self.tif == POST_ONLY,
            "reduceOnly": self.reduce_only,
            "orderFlags": str(self.id.flags),
            "ticker": market.ticker,
            "clientMetadata": str(self.metadata),
        }
        if self.good_til_block is not None:
            row["goodTilBlock"] = str(self.good_til_block)
        if self.good_til_time is not None:
            row["goodTilBlockTime"] = iso(self.good_til_time * 10**9)
        if self.conditional_type:
            row["triggerPrice"] = market.price(self.trigger_ticks)
        return row

    def fast(self) -> dict[str, Any]:
        """As the node's own news show it: nothing in it is committed."""
        row = self.row()
        if self.removal:
            row["totalOptimisticFilled"] = self.market.size(self.filled)
            row["removalReason"] = f"ORDER_REMOVAL_REASON_{self.removal}"
        return row

    def slow(self) -> dict[str, Any]:
        """As committed blocks show it."""
        row = self.row() | {"totalFilled": self.market.size(self.committed)}
        row |= {"updatedAt": self.updated_at, "updatedAtHeight": str(self.updated_height)}
        if not self.id.short_term:
            row["createdAtHeight"] = str(self.created_height)
        if self.removal and not self.id.short_term:
            row["removalReason"] = f"ORDER_REMOVAL_REASON_{self.removal}"
        return row

    def rest(self) -> dict[str, Any]:
        """As the REST interface shows it."""
        row = self.row() | {
            "totalFilled": self.market.size(self.committed) if self.in_database else "0",
            "orderRouterAddress": "",
            "subaccountNumber": self.id.number,
        }
        if self.in_database:
            row |= {"updatedAt": self.updated_at, "updatedAtHeight": str(self.updated_height)}
        if not self.id.short_term:
            row |= {"createdAt": self.created_at, "createdAtHeight": str(self.created_height)}
        return row


class Position:
    __slots__ = ("closed_lots", "cost", "created_at", "created_height", "funding", "lots", "most", "opened", "realized")

    def __init__(self, at: str, height: int) -> None:
        self.lots = 0
        self.cost = Decimal(0)
        """What the lots were bought for; negative for what they were sold for."""
        self.funding = self.realized = Decimal(0)
        self.most = self.opened = self.closed_lots = 0
        self.created_at, self.created_height = at, height

    def trade(self, lots: int, price_per_lot: Decimal) -> None:
        """`lots` are positive when bought."""
        if self.lots * lots >= 0:
            self.opened += abs(lots)
            self.cost += lots * price_per_lot
        else:
            closed = min(abs(lots), abs(self.lots)) * (1 if lots > 0 else -1)
            share = self.cost * -closed / self.lots
            self.realized += -closed * price_per_lot - share
            self.cost -= share
            self.closed_lots += abs(closed)
            self.opened += abs(lots - closed)
            self.cost += (lots - closed) * price_per_lot
        self.lots += lots
        self.most = self.lots if abs(self.lots) > abs(self.most) else self.most


class Subaccount:
    def __init__(self, owner: str, number: int, usdc: Decimal) -> None:
        self.owner = owner
        self.number = number
        self.uuid = str(uuid5(NAMESPACE, f"{owner}-{number}"))
        self.usdc = usdc
        self.owed = Decimal(0)
        """Funding that is settled and has not reached the balance yet: it does with the next update."""
        self.positions: dict[int, Position] = {}
        self.orders: dict[str, Order] = {}
        """What the indexer can tell of, by uuid."""
        self.fills: list[dict[str, Any]] = []
        self.payments: list[dict[str, Any]] = []
        self.volume = Decimal(0)
        self.updated_height = 0

    @property
    def id(self) -> str:
        return f"{self.owner}/{self.number}"

    def lots(self, market: Market) -> int:
        position = self.positions.get(market.pair_id)
        return 0 if position is None else position.lots

    def book_fill(
        self, market: Market, side: Side, ticks: int, lots: int, ppm: int, at: str, height: int
    ) -> tuple[Decimal, Decimal]:
        """Book a committed trade: (its worth, its fee, rounded towards the protocol)."""
        price = ticks * market.tick * market.lot
        worth = price * lots
        fee = (worth * ppm / 1_000_000).quantize(_USDC_STEP, ROUND_CEILING)
        position = self.positions.setdefault(market.pair_id, Position(at, height))
        position.trade(side * lots, price)
        self.usdc += self.owed - side * worth - fee
        self.owed = Decimal(0)
        self.volume += worth
        self.updated_height = height
        return worth, fee

    def equity(self, markets: dict[int, Market]) -> Decimal:
        held = sum(
            (each.lots * markets[pair].lot * markets[pair].oracle_ticks * markets[pair].tick)
            for pair, each in self.positions.items()
        )
        return self.usdc + held

    def margin(self, markets: dict[int, Market]) -> Decimal:
        total = Decimal(0)
        for pair, each in self.positions.items():
            market = markets[pair]
            worth = abs(each.lots) * market.lot * market.oracle_ticks * market.tick
            total += worth * market.margin_ppm / 1_000_000
        return total

    def position_row(self, market: Market, position: Position, *, live: bool) -> dict[str, Any]:
        """`live`: as in the feed, which names other fields than REST."""
        lots = position.lots
        entry = plain((position.cost / (lots * market.lot)).quantize(Decimal(1).scaleb(-12))) if lots else "0"
        worth = lots * market.lot * market.oracle_ticks * market.tick
        row: dict[str, Any] = {
            "market": market.ticker,
            "status": "OPEN" if lots else "CLOSED",
            "side": "LONG" if lots >= 0 else "SHORT",
            "size": market.size(lots),
            "maxSize": market.size(position.most),
            "entryPrice": entry,
            "exitPrice": None,
            "realizedPnl": plain(position.realized + position.funding),
            "unrealizedPnl": plain(worth - position.cost),
            "sumOpen": market.size(position.opened),
            "sumClose": market.size(position.closed_lots),
            "netFunding": plain(position.funding),
            "subaccountNumber": self.number,
        }
        if live:
            return row | {"address": self.owner, "positionId": str(uuid5(NAMESPACE, f"{self.uuid}-{market.pair_id}"))}
        closed = None if lots else position.created_at
        created = {"createdAt": position.created_at, "createdAtHeight": str(position.created_height)}
        return row | created | {"closedAt": closed}

    def usdc_row(self) -> dict[str, Any]:
        side = "LONG" if self.usdc >= 0 else "SHORT"
        return {
            "symbol": "USDC",
            "side": side,
            "size": plain(abs(self.usdc)),
            "assetId": "0",
            "subaccountNumber": self.number,
        }

    def row(self, markets: dict[int, Market], height: int) -> dict[str, Any]:
        equity = self.equity(markets)
        return {
            "address": self.owner,
            "subaccountNumber": self.number,
            "equity": plain(equity),
            "freeCollateral": plain(equity - self.margin(markets)),
            "openPerpetualPositions": {
                markets[pair].ticker: self.position_row(markets[pair], each, live=False)
                for pair, each in self.positions.items()
                if each.lots
            },
            "assetPositions": {"USDC": self.usdc_row()} if self.usdc else {},
            "marginEnabled": True,
            "updatedAtHeight": str(self.updated_height),
            "latestProcessedBlockHeight": str(height),
        }


def iso(ns: int) -> str:
    """UTC with milliseconds, as the indexer writes times."""
    at = datetime.fromtimestamp(ns // 1_000_000_000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ns // 1_000_000 % 1000:03d}Z"
