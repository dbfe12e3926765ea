"""What the simulated dYdX chain holds, and where it is in time: markets, owners, subaccounts, orders. No rules."""

from decimal import Decimal
from enum import StrEnum

from coincurve import PrivateKey

from connectors.simulators.dydx import wire
from connectors.simulators.dydx.accounts import Order, Owner, Subaccount, iso, seeded_key
from connectors.simulators.dydx.market import markets
from connectors.simulators.dydx.settings import DydxVenueSettings
from mm_daemon.domain.rng import Rng

_FIRST_ACCOUNT = 73


class Trouble(StrEnum):
    """What goes wrong at the venue itself, ordered by `/control/trouble`, each for the next thing it fits."""

    DROP_MATCHES = "drop_matches"
    """The next block comes without the matches that this node saw."""
    LATE_POST_ONLY = "late_post_only"
    """The next post-only order is taken here and refused by the followed node's book."""
    UNDERCOLLATERALIZED = "undercollateralized"
    """The next order answers 0 and is dropped for want of collateral."""
    UNTOLD = "untold"
    """The indexer never hears of the next order: it can only be filled."""
    MISS_REMOVAL = "miss_removal"
    """The indexer misses the next level that goes: it stays in its book."""


class State:
    def __init__(self, symbols: tuple[str, ...], settings: DydxVenueSettings, seed: int, opened_ns: int) -> None:
        self.settings = settings
        self.markets = markets(symbols, settings.markets, Rng(seed))
        self.by_ticker = {market.ticker: market for market in self.markets.values()}
        self.height = settings.first_height
        self.block_ns = opened_ns
        self.keys = [seeded_key(seed, number) for number in range(settings.accounts)]
        self.owners: dict[str, Owner] = {}
        self.subaccounts: dict[tuple[str, int], Subaccount] = {}
        for number, key in enumerate(self.keys):
            owner = Owner(PrivateKey(key).public_key.format(), _FIRST_ACCOUNT + number)
            self.owners[owner.address] = owner
            self.subaccounts[owner.address, 0] = Subaccount(owner.address, 0, settings.deposit)
        self.orders: dict[wire.OrderId, Order] = {}
        """The latest version of each order that the node remembers."""
        self.cancels: dict[wire.OrderId, int] = {}
        """Remembered cancels with the block they hold until."""
        self.troubles: dict[Trouble, int] = dict.fromkeys(Trouble, 0)
        self._book_id = 0

    @property
    def next_height(self) -> int:
        """The block that is being made."""
        return self.height + 1

    @property
    def time(self) -> str:
        return iso(self.block_ns)

    @property
    def rate(self) -> Decimal:
        """Hourly funding rate."""
        return Decimal(str(self.settings.funding_rate_ppm)).scaleb(-6)

    def trouble(self, kind: Trouble) -> bool:
        """Whether it strikes now."""
        if not self.troubles[kind]:
            return False
        self.troubles[kind] -= 1
        return True

    def open_subaccount(self, owner: str, number: int, usdc: Decimal) -> Subaccount:
        """Deposit into a subaccount, which then exists."""
        found = self.subaccounts.setdefault((owner, number), Subaccount(owner, number, Decimal(0)))
        found.usdc += usdc
        return found

    def new_order(self, message: wire.Place, key: bytes) -> Order:
        self._book_id += 1
        return Order(self.markets[message.id.pair_id], message, self._book_id, key)

    def fee_ppm(self, *, taker: bool) -> int:
        return self.settings.taker_fee_ppm if taker else self.settings.maker_fee_ppm
