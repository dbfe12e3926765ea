"""Lighter's contracts: which markets there are, on which grids, at which fees."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal

import msgspec

from connectors.lighter import wire
from connectors.lighter.rest import RestClient
from connectors.lighter.transactions import BASE_MAX
from mm_daemon.domain.errors import ConfigError, GridError, VenueUnreachable
from mm_daemon.domain.instrument import Instrument, Venue, to_units

_PPM_PER_PERCENT = 10_000
_SPOT = "spot"


async def markets(
    rest: RestClient, venue: Venue, symbols: Sequence[str], fees: wire.Limits | None
) -> Mapping[int, Instrument]:
    """Instruments by the venue's number, in the order of `symbols`. Raises VenueUnreachable, or ConfigError for a
    symbol that the venue does not have."""
    found = await rest.read("orderBooks", wire.Contracts, {})
    rows = {row.symbol: row for row in found.order_books or ()}
    for symbol in symbols:
        if symbol not in rows:
            raise ConfigError(f"venue {venue} has no symbol {symbol}; there are {', '.join(sorted(rows))}")
        if rows[symbol].market_type == _SPOT:
            raise ConfigError(f"venue {venue}: {symbol} is a spot market; only perpetuals are traded here")
    try:
        return {rows[symbol].market_id: instrument(rows[symbol], venue, fees) for symbol in symbols}
    except GridError as error:
        raise VenueUnreachable(f"venue {venue} names a contract we cannot trade: {error}") from error


async def changed(
    rest: RestClient, venue: Venue, known: Mapping[int, Instrument], fees: wire.Limits | None
) -> Mapping[int, Instrument]:
    """Those of the known contracts that the venue now names otherwise; one that it names no more, or so that we cannot
    trade it, is not tradable. Raises VenueUnreachable."""
    found = await rest.read("orderBooks", wire.Contracts, {})
    rows = {row.market_id: row for row in found.order_books or ()}
    told: dict[int, Instrument] = {}
    for number, before in known.items():
        now = msgspec.structs.replace(before, tradable=False)
        if number in rows:
            with suppress(GridError):
                now = instrument(rows[number], venue, fees)
        if now != before:
            told[number] = now
    return told


def instrument(row: wire.Contract, venue: Venue, fees: wire.Limits | None) -> Instrument:
    """The contract as the house writes it: steps are powers of ten, fees the account's own where they are known.
    Raises GridError."""
    lot = Decimal(1).scaleb(-row.supported_size_decimals)
    try:
        least, notional = Decimal(row.min_base_amount), Decimal(row.min_quote_amount)
        maker, taker = (round(Decimal(text) * _PPM_PER_PERCENT) for text in (row.maker_fee, row.taker_fee))
    except (ArithmeticError, ValueError):
        raise GridError(f"{venue}:{row.symbol}: a number is none") from None
    if fees is not None:
        maker, taker = fees.current_maker_fee_tick, fees.current_taker_fee_tick
    return Instrument(
        venue=venue,
        symbol=row.symbol,
        base=row.symbol,
        quote="USDC",
        tick=Decimal(1).scaleb(-row.supported_price_decimals),
        lot=lot,
        min_lots=max(to_units(f"{least:f}", lot, "smallest size"), 1),
        max_lots=BASE_MAX,
        min_notional=notional,
        maker_fee_ppm=maker,
        taker_fee_ppm=taker,
        tradable=row.status == "active",
    )
