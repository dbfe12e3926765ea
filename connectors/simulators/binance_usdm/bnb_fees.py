"""Fees that the simulated account pays in BNB instead of USDT, a tenth less, while it has any."""

from collections.abc import Callable
from decimal import ROUND_UP, Decimal

from mm_daemon.domain.account_history import AccountHistory
from mm_daemon.domain.events import ChargedIn, OrderFilled
from mm_daemon.domain.money import from_pair, from_text, to_decimal, to_pair

SYMBOL = "BNBUSDT"
_SHARE = Decimal("0.9")
_STEP = Decimal("0.00000001")


class BnbFees:
    def __init__(self, balance: Decimal, history: AccountHistory, price: Callable[[], Decimal | None]) -> None:
        """`balance`: what was there before the first trade; `price` of one BNB in USDT."""
        self._price = price
        self.left = balance
        for trade in history.trades:
            self.note(trade.fill)

    def charge(self, fee_atto: int) -> ChargedIn | None:
        """BNB for a fee in USDT; None for a rebate, and where there is no price or not enough of it."""
        price = self._price()
        if price is None or fee_atto <= 0:
            return None
        amount = (to_decimal(fee_atto) * _SHARE / price).quantize(_STEP, ROUND_UP)
        if amount > self.left:
            return None
        return ChargedIn("BNB", to_pair(from_text(f"{amount:f}")[0]), to_pair(from_text(f"{price:f}")[0]))

    def note(self, fill: OrderFilled) -> None:
        """A fill that was booked."""
        if fill.charged is not None:
            self.left -= to_decimal(from_pair(fill.charged.amount))
