"""One market of the simulated Lighter as it was last published, and how REST and streams show it."""

from collections import deque
from decimal import Decimal
from typing import Any

from connectors.simulators.lighter.account import money
from connectors.simulators.lighter.orders import FIRST_INDEX
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import FundingUpdate, Levels, PublicTrade
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng

_NS_PER_MS = 1_000_000
_DEPTH_SHOWN = 1 << 30
_FIRST_NONCE = 9_182_390_000
_TRADES_SHOWN = 100
_FUNDINGS_KEPT = 5000
_OTHERS_ACCOUNT = 281_474_976_641_952
_RATE_ONE = 10**12


class Market:
    """One market as it was last published."""

    def __init__(self, number: int, instrument: Instrument, rng: Rng) -> None:
        self.number = number
        self.instrument = instrument
        self.rng = rng
        self.book = OrderBook()
        self.nonce = _FIRST_NONCE
        self.told_mark_half_ticks = 0
        self.last_ticks = 0
        self.rate_e12 = 0
        self.due_ns = 0
        self.paid_rate_e12 = 0
        self.paid_ms = 0
        self.trades: deque[dict[str, Any]] = deque(maxlen=_TRADES_SHOWN)
        self.fundings: deque[dict[str, Any]] = deque(maxlen=_FUNDINGS_KEPT)

    @property
    def mark_half_ticks(self) -> int:
        """The mid where there is no funding, and so no mark."""
        return self.told_mark_half_ticks or self.book.bid_ticks + self.book.ask_ticks

    def step_nonce(self) -> int:
        """Nonces belong to the whole engine: those of one book have holes between them. The one before."""
        before = self.nonce
        self.nonce += 1 + int(self.rng.uniform() * 40)
        return before

    def settle(self, event: FundingUpdate) -> None:
        """A new estimate; with another date, the period before has been settled."""
        if self.due_ns and event.next_ns != self.due_ns:
            self.paid_rate_e12, self.paid_ms = self.rate_e12, self.due_ns // _NS_PER_MS
            mark = self.instrument.tick * self.mark_half_ticks / 2
            row = {
                "timestamp": self.paid_ms // 1000,
                "value": f"{mark * abs(self.rate_e12) / _RATE_ONE:.10f}",
                "rate": percent(abs(self.rate_e12)),
                "direction": "long" if self.rate_e12 >= 0 else "short",
            }
            self.fundings.append(row)
        self.due_ns, self.rate_e12 = event.next_ns, event.rate_e12

    def print_row(self, event: PublicTrade, height: int) -> dict[str, Any]:
        """A print between strangers; fees of nothing are left out."""
        contract = self.instrument
        row = {
            "trade_id": event.trade_id,
            "trade_id_str": str(event.trade_id),
            "tx_hash": f"{event.trade_id:016x}",
            "type": "trade",
            "market_id": self.number,
            "size": f"{contract.size(event.lots):f}",
            "price": f"{contract.price(event.ticks):f}",
            "usd_amount": money(contract.size(event.lots) * contract.price(event.ticks)),
            **party("ask", FIRST_INDEX + event.trade_id, 0, _OTHERS_ACCOUNT),
            **party("bid", (1 << 49) - event.trade_id, 0, _OTHERS_ACCOUNT),
            "is_maker_ask": event.aggressor is Side.BUY,
            "block_height": height,
            "timestamp": event.ts_venue_ns // _NS_PER_MS,
            "transaction_time": event.ts_venue_ns // 1000,
        }
        for name, ppm in (("taker_fee", contract.taker_fee_ppm), ("maker_fee", contract.maker_fee_ppm)):
            if ppm:
                row[name] = ppm
        self.last_ticks = event.ticks
        self.trades.append(row)
        return row

    # Frames

    def book_frame(self, bids: Levels, asks: Levels, begin: int, now_ns: int) -> dict[str, Any]:
        return {
            "last_updated_at": now_ns // 1000,
            "order_book": {
                "code": 0,
                "asks": _levels(self.instrument, asks),
                "bids": _levels(self.instrument, bids),
                "nonce": self.nonce,
                "last_updated_at": now_ns // 1000,
                "begin_nonce": begin,
            },
        }

    def snapshot(self, now_ns: int) -> dict[str, Any]:
        bids, asks = (self.book.levels(side, _DEPTH_SHOWN) for side in (Side.BUY, Side.SELL))
        return self.book_frame(tuple(bids), tuple(asks), 0, now_ns)

    def ticker(self, now_ns: int) -> dict[str, Any]:
        best: dict[str, Any] = {"s": self.instrument.symbol, "last_updated_at": now_ns // 1000}
        for name, side in (("a", Side.SELL), ("b", Side.BUY)):
            top = self.book.levels(side, 1)
            best[name] = _levels(self.instrument, tuple(top))[0] if top else {"price": "", "size": ""}
        return {"last_updated_at": now_ns // 1000, "nonce": self.nonce, "ticker": best}

    def stats(self) -> dict[str, Any]:
        """The rates are percent for an hour."""
        contract, mark = self.instrument, self.mark_half_ticks
        half = contract.tick / 2
        bid, ask = self.book.bid_ticks, self.book.ask_ticks
        return {
            "symbol": contract.symbol,
            "market_id": self.number,
            "index_price": f"{half * mark:f}",
            "mark_price": f"{half * mark:f}",
            "mid_price": f"{half * (bid + ask):f}",
            "open_interest": "0.000000",
            "open_interest_limit": "72057594037927936.000000",
            "funding_clamp_small": "0.0500",
            "funding_clamp_big": "4.0000",
            "base_interest_rate": "0.0100",
            "last_trade_price": f"{contract.price(self.last_ticks):f}",
            "current_funding_rate": percent(self.rate_e12),
            "funding_rate": percent(self.paid_rate_e12),
            "funding_timestamp": self.paid_ms,
            "daily_base_token_volume": 0.0,
            "daily_quote_token_volume": 0.0,
            "daily_price_low": 0.0,
            "daily_price_high": 0.0,
            "daily_price_change": 0.0,
        }


def decimals(contract: Instrument) -> tuple[int, int]:
    """Decimals of prices and of sizes. Raises ConfigError for steps that are no powers of ten below one."""
    found = []
    for name, step in (("tick", contract.tick), ("lot", contract.lot)):
        exponent = step.normalize().as_tuple().exponent
        if step != Decimal(1).scaleb(int(exponent)) or int(exponent) > 0:
            raise ConfigError(f"lighter: {name} {step} of {contract.symbol} must be 1, 0.1, 0.01, ...")
        found.append(-int(exponent))
    return found[0], found[1]


def percent(rate_e12: int) -> str:
    return f"{Decimal(rate_e12) * 100 / _RATE_ONE:.10f}"


def _levels(contract: Instrument, levels: Levels) -> list[dict[str, str]]:
    return [{"price": f"{contract.price(ticks):f}", "size": f"{contract.size(lots):f}"} for ticks, lots in levels]


def party(name: str, index: int, client_index: int, account: int) -> dict[str, Any]:
    return {
        f"{name}_id": index,
        f"{name}_id_str": str(index),
        f"{name}_client_id": client_index,
        f"{name}_client_id_str": str(client_index),
        f"{name}_account_id": account,
    }
