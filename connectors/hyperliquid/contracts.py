"""Hyperliquid's markets: numbers, grids and fees, read from the venue at the start.

An asset's number is its place in its universe, delisted ones included; those of a builder's dex begin at 100000 + 10000
times the dex's place, a spot pair's is 10000 and the pair's own index. The two networks number differently. The venue
calls a spot pair `PURR/USDC` or `@107`; we take BASE/QUOTE for each of them.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import ceil
from typing import NamedTuple

from connectors.hyperliquid import account_wire as aw
from connectors.hyperliquid.numbers import price_grid
from connectors.hyperliquid.requests import Asset, dex_of
from connectors.hyperliquid.rest import RestClient
from connectors.shared.http import OutcomeUnknown
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.spelling import did_you_mean

QUOTE = "USDC"
_BUILDERS_FROM, _BUILDERS_ROOM, _SPOT_FROM = 100_000, 10_000, 10_000
_NOBODY = "0x" + "0" * 40
_MIN_NOTIONAL = Decimal(10)
_PPM = 10**6
_SIZE_DECIMALS_MAX, _SPOT_SIZE_DECIMALS_MAX = 6, 8


class Fees(NamedTuple):
    """Parts per million, rounded against us; a rebate is negative."""

    maker_ppm: int
    taker_ppm: int


class Charged(NamedTuple):
    """`spot` is None where the venue does not say."""

    perpetual: Fees
    spot: Fees | None


class Found(NamedTuple):
    """Our markets, and the number of every coin in their universes."""

    ours: list[Asset]
    numbers: Mapping[str, int]


async def fees(rest: RestClient, user: str | None) -> Charged:
    """What the account pays; without one, what a new account would. Raises VenueUnreachable."""
    told = await rest.info({"type": "userFees", "user": user or _NOBODY}, aw.UserFees)
    spot = None
    if told.spot_maker is not None and told.spot_taker is not None:
        spot = _fees(told.spot_maker, told.spot_taker)
    return Charged(_fees(told.maker, told.taker), spot)


def _fees(maker: str, taker: str) -> Fees:
    try:
        return Fees(ceil(Decimal(maker) * _PPM), ceil(Decimal(taker) * _PPM))
    except (ArithmeticError, ValueError):
        raise OutcomeUnknown(f"the venue names fees of {maker!r} and {taker!r}") from None


def is_spot(symbol: str) -> bool:
    """Whether a symbol names a spot pair, ours or the venue's way."""
    return symbol.startswith("@") or "/" in symbol


async def assets(rest: RestClient, venue: Venue, symbols: Sequence[str], charged: Charged) -> Found:
    """The markets of `symbols`, in their order. Raises VenueUnreachable, or ConfigError for one that is not there."""
    made: dict[str, Asset] = {}
    numbers: dict[str, int] = {}
    perpetuals = [symbol for symbol in symbols if not is_spot(symbol)]
    # Orders on spot pairs come with those of the first dex: whoever asks for these needs the numbers of both.
    for dex in dict.fromkeys(map(dex_of, symbols)):
        first = await _first_number(rest, venue, dex)
        meta = await rest.info({"type": "meta", **({"dex": dex} if dex else {})}, aw.Meta)
        for place, row in enumerate(meta.universe):
            numbers[row.name] = first + place
            if row.name in perpetuals:
                made[row.name] = _perpetual(venue, row, first + place, charged.perpetual)
        if not dex:
            spot = await rest.info({"type": "spotMeta"}, aw.SpotMeta)
            pairs = _pairs(spot)
            made |= {symbol: _spot(venue, symbol, pairs, spot, charged.spot) for symbol in symbols if is_spot(symbol)}
            numbers |= {pair.name: _SPOT_FROM + pair.index for pair in spot.universe}
    for symbol in perpetuals:
        if symbol not in made:
            raise ConfigError(f"venue {venue} has no perpetual {symbol}{did_you_mean(symbol, numbers)}")
        if not made[symbol].instrument.tradable:
            raise ConfigError(f"venue {venue} has delisted {symbol}")
    by_coin: dict[str, str] = {}
    for symbol in symbols:
        other = by_coin.setdefault(made[symbol].coin, symbol)
        if other != symbol:
            raise ConfigError(f"venue {venue}: {other} and {symbol} are the same market; leave one of them out")
    return Found([made[symbol] for symbol in symbols], numbers)


async def _first_number(rest: RestClient, venue: Venue, dex: str) -> int:
    if not dex:
        return 0
    dexes = await rest.info({"type": "perpDexs"}, list[aw.PerpDex | None])
    for place, each in enumerate(dexes):
        if each is not None and each.name == dex:
            return _BUILDERS_FROM + _BUILDERS_ROOM * place
    raise ConfigError(f"venue {venue} has no dex {dex}")


def _perpetual(venue: Venue, row: aw.AssetRow, number: int, charged: Fees) -> Asset:
    if not 0 <= row.szDecimals <= _SIZE_DECIMALS_MAX:
        raise OutcomeUnknown(f"{venue}:{row.name}: sizes of {row.szDecimals} decimals cannot be")
    instrument = _instrument(venue, row.name, row.name, row.szDecimals, charged, tradable=not row.isDelisted)
    return Asset.of(instrument, number, row.szDecimals, row.maxLeverage)


def _pairs(meta: aw.SpotMeta) -> dict[str, aw.SpotPair]:
    """Every pair by the venue's name and by BASE/QUOTE; where names collide the venue's own comes first."""
    names = {token.index: token.name for token in meta.tokens}
    written = {
        f"{names[pair.tokens[0]]}/{names[pair.tokens[1]]}": pair
        for pair in reversed(meta.universe)
        if len(pair.tokens) == 2 and names.keys() >= set(pair.tokens)
    }
    return {**written, **{pair.name: pair for pair in meta.universe}}


def _spot(
    venue: Venue, symbol: str, pairs: Mapping[str, aw.SpotPair], meta: aw.SpotMeta, charged: Fees | None
) -> Asset:
    pair = pairs.get(symbol)
    if pair is None:
        raise ConfigError(f"venue {venue} has no spot pair {symbol}{did_you_mean(symbol, pairs)}")
    tokens = {token.index: token for token in meta.tokens}
    if len(pair.tokens) != 2 or not tokens.keys() >= set(pair.tokens):
        raise OutcomeUnknown(f"{venue}:{symbol}: the venue does not say what is traded for what")
    base, quote = (tokens[index] for index in pair.tokens)
    if quote.name != QUOTE:
        raise ConfigError(f"venue {venue}: {symbol} is priced in {quote.name}; of spot, pairs in {QUOTE} are traded")
    if not 0 <= base.szDecimals <= _SPOT_SIZE_DECIMALS_MAX:
        raise OutcomeUnknown(f"{venue}:{symbol}: sizes of {base.szDecimals} decimals cannot be")
    if charged is None:
        raise OutcomeUnknown(f"{venue}:{symbol}: the venue names no fees of spot")
    instrument = _instrument(venue, symbol, base.name, base.szDecimals, charged, pair=pair)
    return Asset.of(instrument, _SPOT_FROM + pair.index, base.szDecimals)


def _instrument(
    venue: Venue,
    symbol: str,
    base: str,
    size_decimals: int,
    charged: Fees,
    *,
    tradable: bool = True,
    pair: aw.SpotPair | None = None,
) -> Instrument:
    grid = price_grid(size_decimals, spot=pair is not None)
    return Instrument(
        venue=venue,
        symbol=symbol,
        base=base,
        quote=QUOTE,
        tick=Decimal(1).scaleb(-grid.decimals),
        lot=Decimal(1).scaleb(-size_decimals),
        grid=grid,
        min_notional=_MIN_NOTIONAL,
        maker_fee_ppm=charged.maker_ppm,
        taker_fee_ppm=charged.taker_ppm,
        tradable=tradable,
        spot=pair is not None,
        wire_symbol="" if pair is None or pair.name == symbol else pair.name,
    )
