"""Contracts of the embedded market: sensible for known names, derived for others, as told where told."""

from decimal import Decimal

import pytest

from connectors.sim.symbols import SymbolSettings, build_symbol
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.instrument import Venue

SIM = Venue("sim")


@pytest.mark.parametrize(
    ("name", "price", "tick", "lot", "base", "quote"),
    [
        ("BTC-USDT", "60000", "0.1", "0.0001", "BTC", "USDT"),
        ("ETH/USDT", "3000", "0.01", "0.001", "ETH", "USDT"),
        ("BTCUSDT", "60000", "0.1", "0.0001", "BTC", "USDT"),
        ("XRP-USDT", "0.5", "0.000001", "10", "XRP", "USDT"),
        ("FOO-EUR", "100", "0.001", "0.01", "FOO", "EUR"),
        ("FOO", "100", "0.001", "0.01", "FOO", "USD"),
    ],
)
def test_defaults_follow_the_price(name: str, price: str, tick: str, lot: str, base: str, quote: str) -> None:
    """Ticks and lots fit the price of the base currency."""
    symbol = build_symbol(SIM, name, SymbolSettings())
    assert symbol.start_price == Decimal(price)
    contract = symbol.instrument
    assert (contract.tick, contract.lot, contract.base, contract.quote) == (Decimal(tick), Decimal(lot), base, quote)
    assert contract.id == f"sim:{name}"


def test_settings_win() -> None:
    """What a person wrote is what is used; fees in bps become parts per million."""
    settings = SymbolSettings(
        start_price=Decimal(7), tick=Decimal("0.5"), lot=Decimal(2), maker_fee_bps=-0.5, taker_fee_bps=4.5
    )
    symbol = build_symbol(SIM, "BTC-USDT", settings)
    assert (symbol.start_price, symbol.instrument.tick, symbol.instrument.lot) == (
        Decimal(7),
        Decimal("0.5"),
        Decimal(2),
    )
    assert (symbol.instrument.maker_fee_ppm, symbol.instrument.taker_fee_ppm) == (-50, 450)


def test_price_below_its_tick_is_refused() -> None:
    """There would be no price to trade at."""
    with pytest.raises(ConfigError, match="below its tick"):
        build_symbol(SIM, "BTC-USDT", SymbolSettings(start_price=Decimal("0.05"), tick=Decimal("0.1")))
