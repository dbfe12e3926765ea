"""Contracts: ccxt's markets as the house writes them, and amounts as the venue counts them. Pure functions.

ccxt is told to keep numbers as the text that the venue sent, so that no step passes through a float. Venues count an
order's amount in base currency or in contracts; a lot is always a whole step of the venue's count, and its size is in
base currency, so that one size means the same everywhere.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from mm_daemon.domain.errors import ConfigError, GridError
from mm_daemon.domain.instrument import Instrument, Venue, to_units

_PPM = 1_000_000
Market = Mapping[str, Any]


class Contract(msgspec.Struct, frozen=True):
    """One market at the venue."""

    instrument: Instrument
    unified: str
    """ccxt's symbol, such as BTC/USDT:USDT."""
    step: Decimal
    """One lot as the venue counts amounts: in base currency, or in contracts."""

    def amount(self, lots: int) -> str:
        return f"{self.step * lots:f}"

    def price(self, ticks: int) -> str:
        return f"{self.instrument.price(ticks):f}"

    def lots(self, amount: object) -> int:
        """Raises GridError."""
        return to_units(str(amount), self.step, f"amount of {self.instrument.id}")

    def ticks(self, price: object) -> int:
        """Raises GridError."""
        return to_units(str(price), self.instrument.tick, f"price of {self.instrument.id}")


def find_market(markets: Iterable[Market], symbol: str, venue: Venue) -> Market:
    """The one linear perpetual or future of this name, the exchange's own or ccxt's. Raises ConfigError."""
    named = [each for each in markets if symbol in (each["id"], each["symbol"])]
    linear = [each for each in named if each.get("contract") and each.get("linear")]
    if len(linear) == 1:
        return linear[0]
    if linear:
        names = ", ".join(sorted(each["symbol"] for each in linear))
        raise ConfigError(f"venue {venue}: {symbol} means several contracts here; write one of {names}")
    if named:
        raise ConfigError(
            f"venue {venue}: {symbol} is no linear perpetual or future; others are not traded through this connector"
        )
    raise ConfigError(f"venue {venue} has no symbol {symbol}; write it as the exchange does, such as BTCUSDT")


def contract(market: Market, symbol: str, venue: Venue, fees: Mapping[str, Any] | None = None) -> Contract:
    """The contract under the symbol of the configuration. `fees`: what the account pays, as ccxt has it; else what the
    exchange asks of everybody. Raises GridError for one that cannot be traded in whole steps."""
    what = f"{venue}:{symbol}"
    precision, limits = market["precision"], market["limits"]
    tick, step = _step(precision["price"], f"{what} price step"), _step(precision["amount"], f"{what} amount step")
    size = _step(market.get("contractSize") or "1", f"{what} contract size")
    amounts = limits.get("amount") or {}
    least, most = amounts.get("min"), amounts.get("max")
    cost = (limits.get("cost") or {}).get("min")
    fees = {"maker": market.get("maker"), "taker": market.get("taker"), **(fees or {})}
    instrument = Instrument(
        venue=venue,
        symbol=symbol,
        base=str(market["base"]),
        quote=str(market["settle"] or market["quote"]),
        tick=tick,
        lot=step * size,
        min_lots=max(1, _ceil(least, step)),
        max_lots=None if most is None else int(Decimal(str(most)) // step) or None,
        min_notional=Decimal(0) if cost is None else Decimal(str(cost)),
        maker_fee_ppm=_ppm(fees["maker"]),
        taker_fee_ppm=_ppm(fees["taker"]),
        tradable=market.get("active") is not False,
    )
    return Contract(instrument, str(market["symbol"]), step)


def _step(value: object, what: str) -> Decimal:
    try:
        step = Decimal(str(value))
    except InvalidOperation:
        raise GridError(f"{what}: {value!r} is no number") from None
    if not step.is_finite() or step <= 0:
        raise GridError(f"{what}: {value!r} must be positive")
    return step


def _ceil(value: object, step: Decimal) -> int:
    return 0 if value is None else -int(-Decimal(str(value)) // step)


def _ppm(rate: object) -> int:
    return 0 if rate is None else round(Decimal(str(rate)) * _PPM)
