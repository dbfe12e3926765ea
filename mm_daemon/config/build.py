"""A configuration and the venues' instruments as what the core is built from: base units become lots, exactly.

Called by the composition roots once the instruments are known. What does not fit a venue's grid is a configuration
error at the line that says it: nothing is rounded behind a person's back.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from mm_daemon.config.problems import ConfigProblems, Problem
from mm_daemon.config.schema import Config, Market
from mm_daemon.core.parameters import CoreParameters, MarketParameters
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue
from mm_daemon.domain.money import ATTO, from_text
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.domain.spelling import did_you_mean
from mm_daemon.engine.costs import fill_cost_bps
from mm_daemon.engine.intent import solved_intent
from mm_daemon.engine.units import annual_vol_to_bps
from mm_daemon.risk.limits import AccountLimits, MarketLimits

_FEE_UNITS = 10**6
_FIRST_CLIENT_ID = ClientOrderId(1)


def core_parameters(
    config: Config,
    instruments: Sequence[Instrument],
    capabilities: Mapping[Venue, Capabilities],
    *,
    first_client_id: ClientOrderId = _FIRST_CLIENT_ID,
) -> CoreParameters:
    """What `TradingCore` is built from. Raises ConfigProblems with every market that its venue would not take."""
    by_id = {instrument.id: instrument for instrument in instruments}
    problems: list[Problem] = []
    markets = [_market(market, by_id, problems) for market in config.markets]
    if problems:
        raise ConfigProblems(problems)
    return CoreParameters(
        markets=tuple(market for market in markets if market is not None),
        venues={venue: capabilities[venue] for venue in config.venues if config.symbols_of(venue)},
        account=AccountLimits(
            max_drawdown_atto=_atto(config.risk.max_drawdown), max_loss_atto=_atto(config.risk.max_loss)
        ),
        first_client_id=first_client_id,
        orders=config.orders,
        reconcile=config.reconcile,
    )


def money_unit_is_exact(instrument: Instrument) -> bool:
    """Whether K, the atto of half a tick on one lot, is whole and divides fees in ppm evenly (EXECUTION 7b)."""
    unit = Fraction(instrument.tick) * Fraction(instrument.lot) * Fraction(instrument.multiplier) * ATTO / 2
    return unit > 0 and unit.denominator == 1 and unit.numerator % _FEE_UNITS == 0


def _market(
    market: Market, instruments: Mapping[InstrumentId, Instrument], problems: list[Problem]
) -> MarketParameters | None:
    instrument = instruments.get(market.id)
    if instrument is None:
        symbols = [other.symbol for other in instruments.values() if other.venue == market.venue]
        problems.append(
            Problem(
                market.place_of("symbol"),
                f"{market.path}.symbol",
                f"{market.venue} has no market {market.symbol!r}{did_you_mean(market.symbol, symbols)}",
            )
        )
        return None
    if not money_unit_is_exact(instrument):
        problems.append(
            Problem(
                market.place,
                market.path,
                f"{instrument.id} cannot be kept in exact money: tick {instrument.tick} x lot {instrument.lot} x "
                f"multiplier {instrument.multiplier} is no multiple of 2e-12 {instrument.quote} (EXECUTION 7b)",
            )
        )
    sizes = {
        key: _lots(market, key, size, instrument, problems)
        for key, size in (
            ("order_size", market.order_size),
            ("max_order_size", market.max_order_size),
            ("max_position", market.max_position),
            ("min_position", market.min_position),
        )
    }
    _check_order_size(market, sizes["order_size"], instrument, problems)
    _check_levels(market, sizes, instrument, problems)
    _check_intent(market, sizes, instrument, problems)
    return MarketParameters(
        instrument=instrument,
        order_lots=sizes["order_size"],
        quoting=market.quoting,
        limits=MarketLimits(
            max_position_lots=sizes["max_position"],
            min_position_lots=sizes["min_position"],
            max_order_lots=sizes["max_order_size"],
            max_orders_per_side=market.quoting.levels,
            collar_bps=market.collar_bps,
            actions_per_minute=market.actions_per_minute,
        ),
    )


def _lots(market: Market, key: str, size: Decimal, instrument: Instrument, problems: list[Problem]) -> int:
    lots = Fraction(size) / Fraction(instrument.lot)
    if lots.denominator != 1 and key in market.places:  # what is derived was reported at its origin
        below = instrument.lot * int(lots)
        problems.append(
            Problem(
                market.place_of(key),
                f"{market.path}.{key}",
                f"is {size:f}, must be a multiple of the lot of {instrument.id}, {instrument.lot:f} "
                f"(nearest: {below:f} or {below + (instrument.lot if size > 0 else -instrument.lot):f})",
            )
        )
    return int(lots)


def _check_order_size(market: Market, lots: int, instrument: Instrument, problems: list[Problem]) -> None:
    if lots < instrument.min_lots:
        bound = f"at least {instrument.size(instrument.min_lots):f}"
    elif instrument.max_lots is not None and lots > instrument.max_lots:
        bound = f"at most {instrument.size(instrument.max_lots):f}"
    else:
        return
    problems.append(
        Problem(
            market.place_of("order_size"),
            f"{market.path}.order_size",
            f"is {market.order_size:f}, must be {bound} {instrument.base} on {market.venue}",
        )
    )


def _check_levels(market: Market, sizes: Mapping[str, int], instrument: Instrument, problems: list[Problem]) -> None:
    """Every level of a ladder must be an order that venue and limits take."""
    quoting = market.quoting
    for level in range(1, quoting.levels):
        lots = max(1, int(sizes["order_size"] * quoting.level_size_ratio**level + 1e-9))
        size = f"level {level + 1} of {quoting.levels} has {instrument.size(lots):f} {instrument.base}"
        if lots < instrument.min_lots:
            text = f"{size}, less than the least order of {market.venue}, {instrument.size(instrument.min_lots):f}"
        elif lots > sizes["max_order_size"]:
            text = f"{size}, more than max_order_size {market.max_order_size:f}"
        else:
            continue
        problems.append(Problem(market.place_of("level_size_ratio"), f"{market.path}.level_size_ratio", text))
        return


def _check_intent(market: Market, sizes: Mapping[str, int], instrument: Instrument, problems: list[Problem]) -> None:
    """What is meant in bps must be possible at the configured volatility, intensity and fees."""
    if not sizes["order_size"]:
        return
    most = max(sizes["max_position"], -sizes["min_position"]) / sizes["order_size"]
    try:
        solved_intent(
            market.quoting,
            max_orders=most,
            sigma_bps=annual_vol_to_bps(market.quoting.volatility),
            cost_bps=fill_cost_bps(instrument, market.quoting),
        )
    except DomainError as error:
        quoting = market.quoting
        key = "profile" if quoting.profile else "half_spread_bps" if quoting.half_spread_bps else "skew_bps_at_max"
        problems.append(Problem(market.place_of(key), f"{market.path}.{key}", str(error)))


def _atto(amount: Decimal | None) -> int | None:
    return None if amount is None else from_text(f"{amount:f}")[0]
