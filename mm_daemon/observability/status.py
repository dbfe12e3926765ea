"""What a person asks a running daemon: one struct, for `status --json`, for the screen of `watch`, for tests.

`status_of.py` takes it from the core. Prices, sizes and money are exact decimal texts in the market's own units;
distances are positive away from the market: ticks behind the best price of our own side (negative: we are the best),
basis points from the mid.
"""

from collections.abc import Mapping

import msgspec

from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.observability.equity_figures import EquityFigures
from mm_daemon.observability.recent import Line
from mm_daemon.observability.trade_statistics import FillFigures, InventoryFigures


class Lockout(msgspec.Struct, frozen=True, gc=False):
    """A lockout that ends by itself."""

    reason: Reason
    left_ms: int


class SideStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One side: the standing decision and the quote that works, if one does."""

    side: str
    action: str | None
    """QUOTE, HOLD, WITHDRAW; None before the first decision."""
    reasons: tuple[Reason, ...]
    words: str
    state: str | None
    """Phase of the working order, and what is under way with it: `live`, `live, amend sent`."""
    price: str | None
    size: str | None
    """What it has left to fill."""
    mid_bps: float | None
    touch_ticks: int | None
    touch_bps: float | None
    queue: str | None
    """Size of others before it at its price, where the venue can say."""
    lockouts: tuple[Lockout, ...]


class BookStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    trusted: bool
    bid: str | None
    bid_size: str | None
    ask: str | None
    ask_size: str | None
    spread_bps: float | None
    age_ms: int | None
    trouble: str | None
    """Why it cannot be trusted."""
    resyncs: int


class PnlStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Exact, in the settlement currency; the parts add up to the total."""

    total: str
    spread: str
    inventory: str
    fees: str
    funding: str


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the standing quotes were made from; None while nothing can be priced."""

    fair: float | None
    reservation: float | None
    sigma_bps: float | None
    half_spread_bps: float | None
    skew_bps: float | None


class GuardStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the guard of the position remembers. `day_result`: of this day (UTC), settlement currency."""

    age_s: float | None
    stopped: bool
    """Its stop-loss has tripped."""
    day_result: str | None
    day_stopped: bool


class MarketStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    venue: str
    symbol: str
    base: str
    currency: str
    book: BookStatus
    bid: SideStatus
    ask: SideStatus
    halts: tuple[Reason, ...]
    """What keeps all of this market from being quoted."""
    held: tuple[tuple[Reason, str], ...]
    """Lockouts without an end, and who set them."""
    position: str
    max_position: str
    min_position: str
    worst_long: str
    """Position if every order on the bid were filled."""
    worst_short: str
    average_price: float | None
    pnl: PnlStatus
    fills: int
    maker_fills: int
    duplicate_fills: int
    fills_per_order: float | None
    """Fills over places and amends sent, since the start; None: nothing was sent."""
    decisions: int
    uptime: float
    """Share of the time with quotes on both sides."""
    trades: FillFigures
    inventory: InventoryFigures | None
    equity: EquityFigures
    model: ModelStatus
    guard: GuardStatus | None = None
    """None where no guard is configured."""


class UnknownOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order of which it is in doubt what the venue holds."""

    client_id: int
    symbol: str
    side: str
    price: str
    size: str
    """What may still fill, base units."""
    phase: str


class VenueStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Link health of one venue."""

    name: str
    connected: bool
    simulated: bool
    open_orders: int
    unknown_orders: int
    waiting_commands: int
    headroom: dict[str, float]
    data_age_ms: int | None
    """Of the youngest book."""
    bad_messages: dict[str, int]
    restarts: int
    unknown: tuple[UnknownOrder, ...] = ()


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon at one instant of its own clock."""

    version: str
    mode: str
    state: str
    """starting, quoting, idle, paused, killed or stopping."""
    ready: bool
    unready: tuple[Reason, ...]
    kill: str | None
    """Why quoting is off until an operator clears it."""
    pid: int
    config: str
    journal: str
    http: str | None
    now_ns: int
    started_ns: int
    events: int
    turns: int
    pnl: dict[str, str]
    """Total by settlement currency."""
    drawdown: str | None
    max_drawdown: str | None
    max_loss: str | None
    venues: tuple[VenueStatus, ...]
    markets: tuple[MarketStatus, ...]
    recent: tuple[Line, ...]


class Surroundings(msgspec.Struct, kw_only=True):
    """What the shell knows and the core does not."""

    version: str
    mode: str
    pid: int
    config: str
    journal: str
    started_ns: int
    http: str | None = None
    stopping: bool = False
    events: int = 0
    turns: int = 0
    fronts: Mapping[Venue, Mapping[ClientOrderId, float]] = msgspec.field(default_factory=dict)
    """Lots before each of our orders, where the venue can say."""
    bad_messages: Mapping[Venue, Mapping[str, int]] = msgspec.field(default_factory=dict)
    restarts: Mapping[Venue, int] = msgspec.field(default_factory=dict)
    recent: tuple[Line, ...] = ()
