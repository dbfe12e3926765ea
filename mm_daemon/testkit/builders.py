"""Short constructors for instruments, parameters, books and events, with harmless defaults. Times in milliseconds."""

from decimal import Decimal

from mm_daemon.core.parameters import CoreParameters, MarketParameters
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.events import (
    BookDelta,
    BookSnapshot,
    FundingPaid,
    Levels,
    OpenOrder,
    OrderFilled,
    PublicTrade,
    VenueConnected,
    VenueSnapshot,
    VenueSnapshotReceived,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue, venue_of
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.risk.limits import AccountLimits, MarketLimits

MS = 1_000_000
VENUE = Venue("test")
SYMBOL = InstrumentId("test:BTC-USDT")


def instrument(
    symbol: str = "BTC-USDT",
    *,
    venue: str = VENUE,
    tick: str = "0.1",
    lot: str = "0.001",
    maker_fee_ppm: int = 0,
    taker_fee_ppm: int = 0,
    min_notional: str = "0",
) -> Instrument:
    base, _, quote = symbol.partition("-")
    return Instrument(
        venue=Venue(venue),
        symbol=symbol,
        base=base,
        quote=quote or "USDT",
        tick=Decimal(tick),
        lot=Decimal(lot),
        min_notional=Decimal(min_notional),
        maker_fee_ppm=maker_fee_ppm,
        taker_fee_ppm=taker_fee_ppm,
    )


def market(
    contract: Instrument | None = None,
    *,
    order_lots: int = 10,
    max_position_lots: int = 50,
    min_position_lots: int | None = None,
    quoting: QuoteParameters | None = None,
    collar_bps: float = 500.0,
) -> MarketParameters:
    quoting = quoting or QuoteParameters()
    return MarketParameters(
        instrument=contract or instrument(),
        order_lots=order_lots,
        quoting=quoting,
        limits=MarketLimits(
            max_position_lots=max_position_lots,
            min_position_lots=-max_position_lots if min_position_lots is None else min_position_lots,
            max_order_lots=order_lots * 4,
            max_orders_per_side=quoting.levels,
            collar_bps=collar_bps,
        ),
    )


def core_parameters(
    *markets: MarketParameters,
    capabilities: Capabilities | None = None,
    account: AccountLimits | None = None,
    first_client_id: int = 1,
) -> CoreParameters:
    chosen = markets or (market(),)
    venues = {m.instrument.venue: capabilities or Capabilities(amend=True, simulated=True) for m in chosen}
    return CoreParameters(
        markets=chosen,
        venues=venues,
        account=account or AccountLimits(),
        first_client_id=ClientOrderId(first_client_id),
    )


def connected(at_ms: int = 0, *, venue: str = VENUE) -> VenueConnected:
    return VenueConnected(Venue(venue), at_ms * MS, at_ms * MS)


def account(
    at_ms: int = 0,
    *orders: OpenOrder,
    lots: int = 0,
    fills: tuple[OrderFilled, ...] = (),
    payments: tuple[FundingPaid, ...] = (),
    requested_ms: int | None = None,
    symbol: InstrumentId = SYMBOL,
) -> VenueSnapshotReceived:
    """What the venue holds of our account: by default nothing, so that a core which did nothing may start."""
    venue = venue_of(symbol)
    requested_ns = (at_ms if requested_ms is None else requested_ms) * MS
    shown = VenueSnapshot(venue, at_ms * MS, requested_ns, orders, ((symbol, lots),), fills, payments)
    return VenueSnapshotReceived(venue, at_ms * MS, at_ms * MS, shown)


def snapshot(
    at_ms: int,
    bid: int,
    ask: int,
    *,
    lots: int = 1000,
    depth: int = 5,
    update_id: int = 1,
    symbol: InstrumentId = SYMBOL,
) -> BookSnapshot:
    """A book with `depth` adjoining levels of equal size on each side."""
    bids: Levels = tuple((bid - i, lots) for i in range(depth))
    asks: Levels = tuple((ask + i, lots) for i in range(depth))
    return BookSnapshot(symbol, at_ms * MS, at_ms * MS, bids, asks, update_id)


def delta(
    at_ms: int,
    *,
    bids: Levels = (),
    asks: Levels = (),
    update_id: int = 2,
    symbol: InstrumentId = SYMBOL,
) -> BookDelta:
    return BookDelta(symbol, at_ms * MS, at_ms * MS, bids, asks, update_id)


def trade(
    at_ms: int,
    aggressor: Side,
    ticks: int,
    lots: int,
    *,
    trade_id: int = 1,
    symbol: InstrumentId = SYMBOL,
) -> PublicTrade:
    return PublicTrade(symbol, at_ms * MS, at_ms * MS, aggressor, ticks, lots, trade_id)
