"""The symbols of the embedded market: what a person may set for each, and sensible values for what was left out."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.simulation.embedded import EmbeddedSymbol
from mm_daemon.simulation.flow import FlowSettings
from mm_daemon.simulation.funding import FundingTerms

START_PRICES: Mapping[str, Decimal] = {
    "BTC": Decimal(60000),
    "ETH": Decimal(3000),
    "BNB": Decimal(600),
    "SOL": Decimal(150),
    "XRP": Decimal("0.5"),
    "DOGE": Decimal("0.1"),
}
_OTHER_START_PRICE = Decimal(100)
_TYPICAL_NOTIONAL = 3000
_PRICE_FIGURES = 5
_QUOTES = ("USDT", "USDC", "USD", "EUR", "BTC", "ETH")
_PPM_PER_BP = 100


class SymbolSettings(FlowSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One symbol of the embedded market; null: derived from the start price."""

    start_price: (
        Annotated[Decimal, Meta(gt=0, description="price at the start, quote currency; null = by the base currency")]
        | None
    ) = None
    tick: Annotated[Decimal, Meta(gt=0, description="price step, quote currency; null = six figures")] | None = None
    lot: Annotated[Decimal, Meta(gt=0, description="size step, base units; null = a few units of money")] | None = None
    typical_size: (
        Annotated[Decimal, Meta(gt=0, description="median size of a taker's order, base units; null = worth 3000")]
        | None
    ) = None
    min_notional: Annotated[Decimal, Meta(ge=0, description="smallest order, quote currency")] = Decimal(5)
    maker_fee_bps: Annotated[float, Meta(ge=-100, le=100, description="fee of resting orders, bps; < 0: rebate")] = 0.2
    taker_fee_bps: Annotated[float, Meta(ge=-100, le=100, description="fee of taking orders, bps")] = 3.5
    funding_period_s: (
        Annotated[int, Meta(ge=10, le=604800, description="time between funding payments, seconds; null = no funding")]
        | None
    ) = 3600
    funding_mean_bps: Annotated[
        float, Meta(ge=-100, le=100, description="average funding rate of a period, bps; > 0: longs pay")
    ] = 0.125
    funding_deviation_bps: Annotated[
        float, Meta(ge=0, le=100, description="how far the rate wanders from its average, standard deviation, bps")
    ] = 0.25

    def funding(self) -> FundingTerms | None:
        """The terms of a perpetual; None where there is no funding."""
        if self.funding_period_s is None:
            return None
        return FundingTerms(
            period_s=self.funding_period_s, mean_bps=self.funding_mean_bps, deviation_bps=self.funding_deviation_bps
        )


def build_symbol(venue: Venue, name: str, settings: SymbolSettings) -> EmbeddedSymbol:
    """The contract and its surroundings. Raises ConfigError for a start price below one tick."""
    base, quote = _currencies(name)
    price = settings.start_price or START_PRICES.get(base, _OTHER_START_PRICE)
    magnitude = math.floor(math.log10(price))
    tick = settings.tick or Decimal(1).scaleb(magnitude - _PRICE_FIGURES)
    lot = settings.lot or Decimal(1).scaleb(-magnitude)
    if price < tick:
        raise ConfigError(f"{venue}: start_price {price} of {name} is below its tick {tick}")
    instrument = Instrument(
        venue=venue,
        symbol=name,
        base=base,
        quote=quote,
        tick=tick,
        lot=lot,
        min_notional=settings.min_notional,
        maker_fee_ppm=round(settings.maker_fee_bps * _PPM_PER_BP),
        taker_fee_ppm=round(settings.taker_fee_bps * _PPM_PER_BP),
    )
    typical = settings.typical_size or _TYPICAL_NOTIONAL / price
    return EmbeddedSymbol(
        instrument=instrument, start_price=price, typical_size=typical, flow=settings, funding=settings.funding()
    )


def _currencies(name: str) -> tuple[str, str]:
    """Base and quote of `BTC-USDT`, `BTC/USDT` or `BTCUSDT`; an unknown quote is taken to be USD."""
    for separator in "-/_":
        base, found, quote = name.partition(separator)
        if found and base and quote:
            return base, quote
    for quote in _QUOTES:
        if name.endswith(quote) and len(name) > len(quote):
            return name.removesuffix(quote), quote
    return name, "USD"
