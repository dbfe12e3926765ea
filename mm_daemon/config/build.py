"""A configuration and the venues' instruments as what the core is built from: base units become lots, exactly.

Called by the composition roots once the instruments are known. What does not fit a venue's grid is a configuration
error at the line that says it: nothing is rounded behind a person's back.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import msgspec

from mm_daemon.config.problems import ConfigProblems, Problem
from mm_daemon.config.schema import Config, Market, Money
from mm_daemon.core.parameters import CoreParameters, MarketParameters
from mm_daemon.domain.capabilities import Bucket, BucketKind, Capabilities, CommandClass
from mm_daemon.domain.errors import CostTooHigh, DomainError
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue
from mm_daemon.domain.money import ATTO, from_text
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.domain.spelling import did_you_mean
from mm_daemon.engine.costs import fill_cost_bps
from mm_daemon.engine.intent import solved_intent
from mm_daemon.engine.ladder import level_lots
from mm_daemon.engine.models.catalogue import MODELS, most_orders
from mm_daemon.engine.pricing_model import ModelInputs, ModelSettings
from mm_daemon.engine.sizing import MoneySizes
from mm_daemon.engine.units import annual_vol_to_bps
from mm_daemon.risk.limits import AccountLimits, MarketLimits

OWN_BUCKET = "max_orders_per_second"
"""Name of the bucket that keeps our own limit."""
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
        venues={
            venue: _paced(capabilities[venue], config.risk.max_orders_per_second)
            for venue in config.venues
            if config.symbols_of(venue)
        },
        account=AccountLimits(
            max_drawdown_atto=_atto(config.risk.max_drawdown),
            max_loss_atto=_atto(config.risk.max_loss),
            flatten_on_kill=config.risk.flatten_on_kill,
            max_notional_atto=_atto(config.risk.max_notional),
            min_margin_headroom=config.risk.min_margin_headroom,
            reject_storm=config.risk.reject_storm,
            max_contradictions=config.risk.max_contradictions,
        ),
        first_client_id=first_client_id,
        queue_ttl_ms=config.runtime.queue_ttl_ms,
        max_clock_skew_ms=config.risk.max_clock_skew_ms,
        clock_skew_samples=config.risk.clock_skew_samples,
        orders=config.orders,
        reconcile=config.reconcile,
    )


def _paced(capabilities: Capabilities, orders_per_second: int | None) -> Capabilities:
    """A venue with our own limit beside its own; cancels do not count against ours, so that they never wait for it."""
    if orders_per_second is None:
        return capabilities
    own = Bucket(
        name=OWN_BUCKET,
        kind=BucketKind.WINDOW,
        capacity=orders_per_second,
        period_ms=1000,
        costs={CommandClass.REDUCE: 1, CommandClass.AMEND: 1, CommandClass.PLACE: 1},
        reserve=0,
        use_percent=100,
        slack_ms=0,
    )
    return msgspec.structs.replace(capabilities, buckets=(*capabilities.buckets, own))


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
        text = f"{market.venue} has no market {market.symbol!r}{did_you_mean(market.symbol, symbols)}"
        problems.append(_problem(market, "symbol", text))
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
    least = market.min_position if market.money is None else market.money.min_position
    if instrument.spot and least is not None and least < 0:
        text = f"{instrument.id} is spot and cannot be short: write min_position: 0, or more"
        problems.append(_problem(market, "min_position", text))
    if market.money is not None:
        return _in_money(market, market.money, instrument, problems)
    sizes = {
        key: 0 if size is None else _lots(market, key, size, instrument, problems)
        for key, size in (
            ("order_size", market.order_size),
            ("max_order_size", market.max_order_size),
            ("max_position", market.max_position),
            ("min_position", market.min_position),
        )
    }
    _check_order_size(market, sizes["order_size"], instrument, problems)
    _check_levels(market, sizes, instrument, problems)
    if sizes["order_size"]:
        most = max(sizes["max_position"], -sizes["min_position"]) / sizes["order_size"]
        _check_intent(market, most, instrument, problems)
    return MarketParameters(
        instrument=instrument,
        order_lots=sizes["order_size"],
        quoting=market.quoting,
        limits=_limits(market, sizes["max_position"], sizes["min_position"], sizes["max_order_size"]),
        warm=market.warm,
    )


def _limits(market: Market, max_position_lots: int, min_position_lots: int, max_order_lots: int) -> MarketLimits:
    return MarketLimits(
        max_position_lots=max_position_lots,
        min_position_lots=min_position_lots,
        max_order_lots=max_order_lots,
        max_orders_per_side=market.quoting.levels,
        collar_bps=market.collar_bps,
        flatten_slippage_bps=market.flatten_slippage_bps,
        max_notional_atto=_atto(market.max_order_notional),
        actions_per_minute=market.actions_per_minute,
        max_order_to_trade=market.max_order_to_trade,
        initial_margin=market.initial_margin,
    )


def _in_money(market: Market, money: Money, instrument: Instrument, problems: list[Problem]) -> MarketParameters | None:
    """A market whose sizes become lots when there is a price. What can be told without one is told here."""

    def report(key: str, text: str) -> None:
        problems.append(_problem(market, key, text))

    settled_in = instrument.base if instrument.inverse else instrument.quote
    if instrument.inverse and money.of_capital:
        key = money.order_key if money.order_key == "order_capital_share" else money.position_key
        report(key, f"{instrument.id} is settled in {settled_in}, and risk.capital is in the quote currency")
    quoting = market.quoting
    for level in range(quoting.levels):
        size = float(money.order) * quoting.level_size_ratio**level
        if size < float(instrument.min_notional):
            which = f"level {level + 1} of {quoting.levels} comes to {size:g}" if level else f"comes to {size:g}"
            report(
                "level_size_ratio" if level else money.order_key,
                f"{which} {settled_in}, less than the least order of {market.venue}, {instrument.min_notional:f}",
            )
            break
    most = float(max(money.max_position, -money.min_position) / money.order)
    _check_intent(market, most, instrument, problems)
    order, longest, shortest = (_atto(amount) for amount in (money.order, money.max_position, money.min_position))
    if not order or longest is None or shortest is None:
        report(money.order_key, f"comes to {money.order:f} {settled_in}, which is nothing")
        return None
    return MarketParameters(
        instrument=instrument,
        order_lots=1,
        quoting=quoting,
        limits=_limits(market, 0, 0, 0),
        money=MoneySizes(order_atto=order, max_position_atto=longest, min_position_atto=shortest),
        warm=market.warm,
    )


def _lots(market: Market, key: str, size: Decimal, instrument: Instrument, problems: list[Problem]) -> int:
    lots = Fraction(size) / Fraction(instrument.lot)
    if lots.denominator != 1 and key in market.places:  # what is derived was reported at its origin
        below = instrument.lot * int(lots)
        text = (
            f"is {size:f}, must be a multiple of the lot of {instrument.id}, {instrument.lot:f} "
            f"(nearest: {below:f} or {below + (instrument.lot if size > 0 else -instrument.lot):f})"
        )
        problems.append(_problem(market, key, text))
    return int(lots)


def _check_order_size(market: Market, lots: int, instrument: Instrument, problems: list[Problem]) -> None:
    if lots < instrument.min_lots:
        bound = f"at least {instrument.size(instrument.min_lots):f}"
    elif instrument.max_lots is not None and lots > instrument.max_lots:
        bound = f"at most {instrument.size(instrument.max_lots):f}"
    else:
        return
    text = f"is {market.order_size:f}, must be {bound} {instrument.base} on {market.venue}"
    problems.append(_problem(market, "order_size", text))


def _check_levels(market: Market, sizes: Mapping[str, int], instrument: Instrument, problems: list[Problem]) -> None:
    """Every level of a ladder must be an order that venue and limits take."""
    quoting = market.quoting
    for level in range(1, quoting.levels):
        lots = level_lots(sizes["order_size"], quoting.level_size_ratio, level)
        size = f"level {level + 1} of {quoting.levels} has {instrument.size(lots):f} {instrument.base}"
        if lots < instrument.min_lots:
            text = f"{size}, less than the least order of {market.venue}, {instrument.size(instrument.min_lots):f}"
        elif lots > sizes["max_order_size"]:
            text = f"{size}, more than max_order_size {market.max_order_size:f}"
        else:
            continue
        problems.append(_problem(market, "level_size_ratio", text))
        return


def _check_intent(market: Market, most: float, instrument: Instrument, problems: list[Problem]) -> None:
    """What is meant in bps must be possible at the configured volatility, intensity and fees, with limits of `most`
    orders, and so must quotes of the model at all.
    """
    quoting = market.quoting
    sigma_bps, cost_bps = annual_vol_to_bps(quoting.volatility), fill_cost_bps(instrument, quoting)
    limit = most_orders(quoting)
    if limit is not None and most > limit:
        end = "" if quoting.tau == "auto" else f" with tau {quoting.tau}"
        text = f"{quoting.model}{end} is solved for up to {limit} orders held, and the limit holds {most:g}"
        problems.append(_problem(market, "model", f"{text}: quote larger orders, or with another model"))
        return
    key = "profile" if quoting.profile else "half_spread_bps" if quoting.half_spread_bps else "skew_bps_at_max"
    try:
        gamma, k = solved_intent(quoting, max_orders=most, sigma_bps=sigma_bps, cost_bps=cost_bps)
        key = "model"
        if quoting.model in MODELS:
            A, model = quoting.intensity, MODELS[quoting.model](ModelSettings(quoting, max(1, math.ceil(most))))
            for left_s in (quoting.session_s, 0.0):
                model.curve(ModelInputs(sigma_bps, A, A, k, gamma, cost_bps, left_s))
    except CostTooHigh as error:
        key = "adverse_bps" if quoting.adverse_bps else "fees_in_model"
        problems.append(_problem(market, key, f"{error}: lower the cost, or k"))
    except DomainError as error:
        problems.append(_problem(market, key, str(error)))


def _problem(market: Market, key: str, text: str) -> Problem:
    return Problem(market.place_of(key), f"{market.path}.{key}", text)


def _atto(amount: Decimal | None) -> int | None:
    return None if amount is None else from_text(f"{amount:f}")[0]
