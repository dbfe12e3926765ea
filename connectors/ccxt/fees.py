"""Fees in another currency than the contract settles in, such as BNB, KCS or MNT: what they are worth.

A fill is booked at the fee's value at the price that is known when the fill is first told, the middle of the best
prices of that currency's market; amount, currency and price go into the event, so that its record says how it was
counted. Prices are read again each minute. A fill whose fee has no price is not told at all: who holds it back ends the
link, so that nothing is quoted until there is one, and tells it then.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from mm_daemon.domain.errors import GridError, VenueUnreachable
from mm_daemon.domain.events import ChargedIn
from mm_daemon.domain.money import ATTO, MoneyPair, from_pair, from_text, to_pair

_EVERY_S = 60.0
_OLD_NS = 900_000_000_000
"""A price that could not be read again for so long is none."""
_LEVELS = 20
"""What every exchange takes for the depth of a book."""

Pair = tuple[str, str]
"""A currency that fees are charged in, and the one that the contract settles in."""


class FeeNotPriced(VenueUnreachable):
    """What a fee is worth is not known."""

    def __init__(self, pair: Pair, why: str = "its price has not been read") -> None:
        super().__init__(f"a fee was charged in {pair[0]}, and what that is worth in {pair[1]} is not known: {why}")
        self.pair = pair


class FeePrices:
    def __init__(
        self,
        read: Callable[..., Awaitable[Any]],
        markets: Callable[[], Iterable[Mapping[str, Any]]],
        fixed: Mapping[str, Decimal],
        now_ns: Callable[[], int],
    ) -> None:
        """`read` asks the exchange, `markets()` are all that it has; `fixed` are prices of currencies without one."""
        self._read = read
        self._markets = markets
        self._fixed = fixed
        self._now_ns = now_ns
        self._prices: dict[Pair, tuple[MoneyPair, int]] = {}
        self._wanted: dict[Pair, None] = {}
        """Kept known from the first need on."""
        self.problems: Counter[str] = Counter()

    def price(self, pair: Pair) -> MoneyPair:
        """Of one unit, as last read. Raises FeeNotPriced."""
        self._wanted[pair] = None
        price, read_ns = self._prices.get(pair, ((0, 0), 0))
        if pair not in self._prices or self._now_ns() - read_ns > _OLD_NS:
            raise FeeNotPriced(pair)
        return price

    async def ensure(self, pairs: Iterable[Pair] = ()) -> None:
        """That these, and whatever was ever needed, have a price. Raises VenueUnreachable."""
        self._wanted |= dict.fromkeys(pairs)
        for pair in tuple(self._wanted):
            try:
                self.price(pair)
            except FeeNotPriced:
                await self._look_up(pair)

    async def expect(self, pairs: Iterable[Pair]) -> None:
        """Fees may come to be charged so: their prices are kept from now on, where the exchange has a market."""
        self._wanted |= dict.fromkeys(pair for pair in pairs if self._market(pair) is not None)
        await self._renew()

    async def keep(self) -> None:
        """Read all prices again, for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self._renew()

    async def _renew(self) -> None:
        for pair in tuple(self._wanted):
            try:
                await self._look_up(pair)
            except VenueUnreachable:
                self.problems["no_fee_price"] += 1  # the last one is good for a while

    async def _look_up(self, pair: Pair) -> None:
        symbol = self._market(pair)
        if symbol is None:
            if pair[0] not in self._fixed:
                raise FeeNotPriced(
                    pair, f"the exchange has no market of it; write fee_prices: {{{pair[0]}: its price}}"
                )
            price = self._fixed[pair[0]]
        else:
            price = _middle(await self._read("fetch_order_book", symbol, _LEVELS), pair)
        self._prices[pair] = to_pair(from_text(f"{price:f}")[0]), self._now_ns()

    def _market(self, pair: Pair) -> str | None:
        """ccxt's symbol of a perpetual, or else a spot market, of this currency."""
        currency, settled_in = pair
        found = [
            each
            for each in self._markets()
            if each.get("base") == currency and each.get("quote") == settled_in and each.get("active") is not False
        ]
        for kind in ("swap", "spot"):
            for each in found:
                if each.get(kind) and not each.get("inverse"):
                    return str(each["symbol"])
        return None


def valued(amount_atto: int, currency: str, price: MoneyPair) -> tuple[MoneyPair, ChargedIn]:
    """What a fee is booked as, rounded against us, and how it was counted."""
    worth_atto = -(-amount_atto * from_pair(price) // ATTO)
    return to_pair(worth_atto), ChargedIn(currency, to_pair(amount_atto), price)


def charged_amount(cost: object, what: str, *, negated: bool) -> int:
    """A fee in atto of its currency, rounded against us; `negated`: what was charged is negative. Raises GridError."""
    try:
        amount = Decimal(str(cost))
    except InvalidOperation:
        raise GridError(f"fee of {what}: {cost!r} is no number") from None
    atto, rest = from_text(f"{-amount if negated else amount:f}")
    return atto + 1 if rest else atto


def _middle(book: Any, pair: Pair) -> Decimal:
    try:
        price = (Decimal(str(book["bids"][0][0])) + Decimal(str(book["asks"][0][0]))) / 2
    except (KeyError, IndexError, TypeError, InvalidOperation):
        raise FeeNotPriced(pair, "its market has no two sides") from None
    if not price.is_finite() or price <= 0:
        raise FeeNotPriced(pair, f"its market is at {price}")
    return price
