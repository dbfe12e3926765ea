"""The one account of the simulated Lighter: positions, collateral, trades and payments, and how they are shown.

Money is in USDC as exact decimals; sizes are signed lots.
"""

from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side

_PPM = 1_000_000
_ROWS_KEPT = 5000
_USDC = 3


class Position:
    """`cost` is what the lots held were bought for, in ticks times lots; negative for a short."""

    __slots__ = ("cost", "isolated", "lots", "margin_fraction", "realised")

    def __init__(self) -> None:
        self.lots = 0
        self.cost = Decimal(0)
        self.realised = Decimal(0)
        self.margin_fraction = 500
        self.isolated = False

    def trade(self, signed_lots: int, ticks: int) -> Decimal:
        """Book a trade; what it realised, in ticks times lots."""
        closing = min(abs(signed_lots), abs(self.lots)) if signed_lots * self.lots < 0 else 0
        realised = Decimal(0)
        if closing:
            part = self.cost * closing / abs(self.lots)
            sign = 1 if self.lots > 0 else -1
            realised = sign * closing * ticks - part
            self.cost -= part
        opening = abs(signed_lots) - closing
        self.cost += (1 if signed_lots > 0 else -1) * opening * ticks
        self.lots += signed_lots
        self.realised += realised
        return realised


class Account:
    def __init__(self, index: int, deposit: Decimal, markets: Mapping[int, Instrument]) -> None:
        self.index = index
        self._markets = markets
        self.positions = {market: Position() for market in markets}
        self.collateral = deposit
        self.trades: deque[dict[str, Any]] = deque(maxlen=_ROWS_KEPT)
        """Rows of our trades, oldest first."""
        self.funding: deque[dict[str, Any]] = deque(maxlen=_ROWS_KEPT)

    def book(self, market: int, side: Side, ticks: int, lots: int, fee_ppm: int) -> Decimal:
        """Book one fill; its notional in USDC."""
        contract = self._markets[market]
        unit = contract.tick * contract.lot
        notional = unit * ticks * lots
        self.collateral += self.positions[market].trade(side * lots, ticks) * unit - notional * fee_ppm / _PPM
        return notional

    def pay(self, row: dict[str, Any]) -> None:
        self.collateral += Decimal(row["change"])
        self.funding.append(row)

    def unrealised(self, market: int, mark_ticks: float) -> Decimal:
        held, contract = self.positions[market], self._markets[market]
        return (held.lots * Decimal(repr(mark_ticks)) - held.cost) * contract.tick * contract.lot

    def notional(self, marks: Mapping[int, float]) -> Decimal:
        """Of all positions, in USDC."""
        return sum((abs(self._worth(market, mark)) for market, mark in marks.items()), Decimal(0))

    def value(self, marks: Mapping[int, float]) -> Decimal:
        """Collateral and what positions have gained."""
        return self.collateral + sum((self.unrealised(each, mark) for each, mark in marks.items()), Decimal(0))

    def _worth(self, market: int, mark_ticks: float) -> Decimal:
        contract = self._markets[market]
        return self.positions[market].lots * Decimal(repr(mark_ticks)) * contract.tick * contract.lot

    # Rows

    def position_row(self, market: int, mark_ticks: float, open_orders: int) -> dict[str, Any]:
        held, contract = self.positions[market], self._markets[market]
        entry = held.cost / held.lots * contract.tick if held.lots else Decimal(0)
        return {
            "market_id": market,
            "symbol": contract.symbol,
            "initial_margin_fraction": f"{held.margin_fraction / 100:.2f}",
            "open_order_count": open_orders,
            "pending_order_count": 0,
            "position_tied_order_count": 0,
            "sign": -1 if held.lots < 0 else 1,
            "position": f"{contract.size(abs(held.lots)):f}",
            "avg_entry_price": f"{entry:.6f}",
            "position_value": money(abs(self._worth(market, mark_ticks))),
            "unrealized_pnl": money(self.unrealised(market, mark_ticks)),
            "realized_pnl": money(held.realised * contract.tick * contract.lot),
            "liquidation_price": "0",
            "margin_mode": int(held.isolated),
            "allocated_margin": "0.000000",
        }

    def stats(self, marks: Mapping[int, float]) -> dict[str, Any]:
        value = self.value(marks)
        used = sum(
            (abs(self._worth(each, mark)) * self.positions[each].margin_fraction / 10_000)
            for each, mark in marks.items()
        )
        numbers = {
            "collateral": money(self.collateral),
            "portfolio_value": money(value),
            "leverage": f"{self.notional(marks) / value if value > 0 else 0:.2f}",
            "available_balance": money(max(value - used, Decimal(0))),
            "margin_usage": f"{100 * used / value if value > 0 else 0:.2f}",
            "buying_power": "0",
        }
        return {"account_trading_mode": 0, **numbers, "cross_stats": numbers, "total_stats": numbers}

    def asset(self) -> dict[str, Any]:
        return {
            "symbol": "USDC",
            "asset_id": _USDC,
            "balance": "0.000000",
            "locked_balance": "0.000000",
            "margin_mode": "disabled",
            "margin_balance": money(self.collateral),
        }


def money(amount: Decimal) -> str:
    return f"{amount:.6f}"
