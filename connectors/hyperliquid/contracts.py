"""Hyperliquid's markets: numbers, grids and fees, read from the venue at the start.

An asset's number is its place in its universe, delisted ones included; those of a builder's dex begin at 100000 + 10000
times the dex's place. The two networks number differently.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import ceil
from typing import NamedTuple

from connectors.hyperliquid import account_wire as aw
from connectors.hyperliquid.numbers import price_grid
from connectors.hyperliquid.requests import Asset
from connectors.hyperliquid.rest import OutcomeUnknown, RestClient
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.spelling import did_you_mean

_BUILDERS_FROM, _BUILDERS_ROOM = 100_000, 10_000
_NOBODY = "0x" + "0" * 40
_MIN_NOTIONAL = Decimal(10)
_PPM = 10**6
_SIZE_DECIMALS_MAX = 6


class Fees(NamedTuple):
    """Parts per million, rounded against us; a rebate is negative."""

    maker_ppm: int
    taker_ppm: int


class Found(NamedTuple):
    """Our markets, and the number of every coin in their universes."""

    ours: list[Asset]
    numbers: Mapping[str, int]


async def fees(rest: RestClient, user: str | None) -> Fees:
    """What the account pays; without one, what a new account would. Raises VenueUnreachable."""
    told = await rest.info({"type": "userFees", "user": user or _NOBODY}, aw.UserFees)
    try:
        return Fees(ceil(Decimal(told.maker) * _PPM), ceil(Decimal(told.taker) * _PPM))
    except ArithmeticError:
        raise OutcomeUnknown(f"the venue names fees of {told.maker!r} and {told.taker!r}") from None


async def assets(rest: RestClient, venue: Venue, symbols: Sequence[str], charged: Fees) -> Found:
    """The markets of `symbols`, in their order. Raises VenueUnreachable, or ConfigError for one that is not there."""
    for symbol in symbols:
        if symbol.startswith("@") or "/" in symbol:
            raise ConfigError(f"venue {venue}: {symbol} is a spot pair; this connector trades perpetuals")
    made: dict[str, Asset] = {}
    numbers: dict[str, int] = {}
    for dex in dict.fromkeys(symbol.partition(":")[0] if ":" in symbol else "" for symbol in symbols):
        first = await _first_number(rest, venue, dex)
        meta = await rest.info({"type": "meta", **({"dex": dex} if dex else {})}, aw.Meta)
        for place, row in enumerate(meta.universe):
            numbers[row.name] = first + place
            if row.name in symbols:
                made[row.name] = _asset(venue, row, first + place, charged)
    for symbol in symbols:
        if symbol not in made:
            raise ConfigError(f"venue {venue} has no perpetual {symbol}{did_you_mean(symbol, numbers)}")
        if not made[symbol].instrument.tradable:
            raise ConfigError(f"venue {venue} has delisted {symbol}")
    return Found([made[symbol] for symbol in symbols], numbers)


async def _first_number(rest: RestClient, venue: Venue, dex: str) -> int:
    if not dex:
        return 0
    dexes = await rest.info({"type": "perpDexs"}, list[aw.PerpDex | None])
    for place, each in enumerate(dexes):
        if each is not None and each.name == dex:
            return _BUILDERS_FROM + _BUILDERS_ROOM * place
    raise ConfigError(f"venue {venue} has no dex {dex}")


def _asset(venue: Venue, row: aw.AssetRow, number: int, charged: Fees) -> Asset:
    if not 0 <= row.szDecimals <= _SIZE_DECIMALS_MAX:
        raise OutcomeUnknown(f"{venue}:{row.name}: sizes of {row.szDecimals} decimals cannot be")
    grid = price_grid(row.szDecimals)
    instrument = Instrument(
        venue=venue,
        symbol=row.name,
        base=row.name,
        quote="USDC",
        tick=Decimal(1).scaleb(-grid.decimals),
        lot=Decimal(1).scaleb(-row.szDecimals),
        grid=grid,
        min_notional=_MIN_NOTIONAL,
        maker_fee_ppm=charged.maker_ppm,
        taker_fee_ppm=charged.taker_ppm,
        tradable=not row.isDelisted,
    )
    return Asset.of(instrument, number, row.szDecimals, row.maxLeverage)
