"""Contracts of the embedded market: sensible for known names, derived for others, as told where told."""

from decimal import Decimal

import msgspec
import pytest
import yaml

from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.instrument import Venue
from mm_daemon.simulation.symbols import SymbolSettings, build_symbol
from tests.shared import ROOT

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


def test_funding_is_what_was_written() -> None:
    """A perpetual by default; null makes it a spot market."""
    terms = build_symbol(SIM, "BTC-USDT", SymbolSettings(funding_period_s=60, funding_mean_bps=-1.0)).funding
    assert terms is not None
    assert (terms.period_s, terms.mean_bps) == (60, -1.0)
    assert build_symbol(SIM, "BTC-USDT", SymbolSettings(funding_period_s=None)).funding is None


def test_example_shows_every_key_with_its_default() -> None:
    """The example of a harder market names each key of a symbol, and its comment ends with the default."""
    text = (ROOT / "deploy" / "examples" / "embedded-dangerous.yaml").read_text("utf-8")
    shown = yaml.safe_load(text)["venues"]["sim"]["symbols"]["BTC-USDT"]
    assert shown.keys() == set(SymbolSettings.__struct_fields__)
    for field in msgspec.structs.fields(SymbolSettings):
        if isinstance(field.default, int | float):
            line = next(line for line in text.splitlines() if line.lstrip().startswith(f"{field.name}:"))
            assert float(line.rpartition("; ")[2]) == field.default
