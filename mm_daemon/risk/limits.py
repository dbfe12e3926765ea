"""Hard limits of one market and of the account, in integer units, as the gate checks them."""

import msgspec


class MarketLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one instrument. Positions in signed lots, prices in bps, money in atto of the quote currency."""

    max_position_lots: int
    """Largest long position, all open buys filled (R1)."""
    min_position_lots: int
    """Most negative position, all open sells filled; zero where shorting is not wanted."""
    max_order_lots: int
    max_orders_per_side: int = 1
    collar_bps: float = 500.0
    """Largest distance of an order's price from the mid (and mark), bps."""
    flatten_slippage_bps: float = 20.0
    """How far beyond the market's best price an order of `flatten` may trade, bps."""
    max_notional_atto: int | None = None
    """Largest notional of one order."""
    actions_per_minute: int | None = None
    """Budget of places and amends a minute."""
    max_order_to_trade: float | None = None
    """Most messages (places, amends, cancels) per fill in an hour; one fill counts before there was one."""
    initial_margin: float = 1.0
    """Share of an order's value that the venue is assumed to ask as margin."""


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits over all markets. Money in atto; None: no limit."""

    max_drawdown_atto: int | None = None
    max_loss_atto: int | None = None
    flatten_on_kill: bool = False
    """Once latched, positions are worked off: nothing but cancels and flatten orders passes."""
    max_notional_atto: int | None = None
    """Largest worst-case value of what all markets of one underlying come to, long and short netted (G10)."""
    min_margin_headroom: float | None = None
    """Share of a venue's balance that must stay free of margin, whatever is filled."""
    reject_storm: int | None = None
    """More venue rejects in a minute than this set the kill latch."""
    max_contradictions: int | None = None
    """More reports in an hour that contradict what we know set the kill latch."""
