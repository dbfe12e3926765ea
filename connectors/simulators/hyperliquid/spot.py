"""Spot pairs of the simulated Hyperliquid: how they are named and numbered, and the tokens behind them.

The venue calls one pair by its tokens, `PURR/USDC`, and all others `@` and the pair's index. The index is not the place
in the list, and a token's decimals, not the pair's, are those of sizes.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from mm_daemon.domain.errors import ConfigError

QUOTE = "USDC"
FIRST_NUMBER = 10_000
"""Number of the pair with index 0 in actions."""
PRICE_DECIMALS = 8
_CANONICAL = "PURR/USDC"
_OTHERS_FROM = 200
_INDICES = {_CANONICAL: 0, "HYPE/USDC": 107}


class Token(msgspec.Struct, frozen=True):
    """`wei_decimals`: to how many decimals balances and fees of it are kept."""

    name: str
    index: int
    size_decimals: int
    wei_decimals: int
    price: Decimal


class Pair(msgspec.Struct, frozen=True):
    """`symbol`: as whoever started the simulator wrote it; `coin`: as the venue does."""

    symbol: str
    coin: str
    index: int
    base: Token


_KNOWN: Mapping[str, tuple[int, int, str]] = {"PURR": (0, 5, "0.15"), "HYPE": (2, 8, "40")}
_OTHER = (2, 8, "100")
"""Decimals of sizes, decimals that are kept, price."""


def is_pair(symbol: str) -> bool:
    return symbol.startswith("@") or "/" in symbol


def pairs(symbols: tuple[str, ...]) -> list[Pair]:
    """The spot pairs among `symbols`, in their order. Raises ConfigError for one that cannot be."""
    made: list[Pair] = []
    for symbol in filter(is_pair, symbols):
        index, base = _index_and_base(symbol, _OTHERS_FROM + 3 * len(made))
        coin = _CANONICAL if index == 0 else f"@{index}"
        if any(pair.coin == coin or pair.base.name == base for pair in made):
            raise ConfigError(f"--symbols: {symbol} is there twice")
        size_decimals, wei_decimals, price = _KNOWN.get(base, _OTHER)
        token = Token(base, len(made) + 1, size_decimals, wei_decimals, Decimal(price))
        made.append(Pair(symbol, coin, index, token))
    return made


def _index_and_base(symbol: str, otherwise: int) -> tuple[int, str]:
    if symbol.startswith("@"):
        if not symbol[1:].isdigit():
            raise ConfigError(f"--symbols: {symbol} names no spot pair; write @107, or BASE/{QUOTE}")
        index = int(symbol[1:])
        named = next((name for name, place in _INDICES.items() if place == index), None)
        return index, named.partition("/")[0] if named else f"TOKEN{index}"
    base, _, quote = symbol.partition("/")
    if quote != QUOTE or not base:
        raise ConfigError(f"--symbols: {symbol}: spot pairs are in {QUOTE} here")
    return _INDICES.get(symbol, otherwise), base
