"""One order of ours at dYdX, and the market that it is on."""

from connectors.dydx import tx
from connectors.dydx.numbers import Grid
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import ClientOrderId, Side, short_client_id


class Market:
    """One of our instruments with its place on the chain."""

    __slots__ = ("_subaccount", "grid", "instrument", "messages")

    def __init__(self, instrument: Instrument, grid: Grid, subaccount: tx.Subaccount) -> None:
        self.instrument = instrument
        self.grid = grid
        self._subaccount = subaccount
        self.messages = tx.ShortTermOrders(subaccount, grid.clob_pair_id)

    def order_id(self, short_id: int, flags: int) -> tx.OrderId:
        return tx.OrderId(self._subaccount, short_id, self.grid.clob_pair_id, flags)


class Own:
    """One order of ours. `until`: the furthest block that any version of it may live to; of a short-term one.

    `dying`: the node's book has dropped it, which is not the last word.
    """

    __slots__ = (
        "accepted",
        "amend",
        "canceling",
        "client_id",
        "dying",
        "ended",
        "fill_keys",
        "filled",
        "flags",
        "lots",
        "market",
        "reduce_only",
        "side",
        "ticks",
        "tif",
        "until",
        "uuid",
        "version_until",
    )

    def __init__(
        self, client_id: ClientOrderId, uuid: str, market: Market, side: Side, ticks: int, lots: int, flags: int
    ) -> None:
        self.client_id = client_id
        self.uuid = uuid
        self.flags = flags
        self.market = market
        self.side = side
        self.ticks = ticks
        self.lots = lots
        self.tif = tx.OrderTif.POST_ONLY
        self.reduce_only = False
        self.until = self.version_until = 0
        self.amend: tuple[int, int, int] | None = None
        """(ticks, lots, until) of a replacement that is under way or of unknown outcome."""
        self.accepted = self.canceling = self.dying = self.ended = False
        self.filled = 0
        self.fill_keys: set[str] = set()

    @property
    def short_id(self) -> int:
        return short_client_id(self.client_id)

    @property
    def stateful(self) -> bool:
        return self.flags == tx.OrderFlags.LONG_TERM

    @property
    def id(self) -> tx.OrderId:
        return self.market.order_id(self.short_id, self.flags)
