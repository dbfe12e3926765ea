"""Simulated Binance USD-M as a process, and the ready configurations pointed at it."""

import hashlib
import hmac
import time
import urllib.error
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from connectors.simulators.binance_usdm.server import DEFAULT_KEY
from mm_daemon.domain.events import OrderFilled
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.money import from_pair
from mm_daemon.domain.reconciliation import Reconciled
from tests.binance_usdm import SYMBOL
from tests.e2e.neutral_process import SECRET, WithAccountFile
from tests.e2e.test_recovery import positions, substituted
from tests.e2e.venue import LiveDesk
from tests.shared import ROOT


class BinanceProcess(WithAccountFile):
    """`mm-daemon simulate binance_usdm`."""

    name = "binance_usdm"
    venue = Venue("binance-usdm")
    symbol = SYMBOL
    keys: ClassVar[dict[str, Any]] = {
        "publish_interval_ms": 50,
        "symbols": {SYMBOL: {"trades_per_second": 20, "funding_period_s": None}},
        "orders_per_10s": 3000,
        "orders_per_minute": 12_000,
        "weight_per_minute": 60_000,
    }
    environment: ClassVar[dict[str, str]] = {"BINANCE_USDM_API_SECRET": SECRET, "PATH": ""}

    def configuration(self, folder: Path, dead_man_ms: int | None, **values: object) -> str:
        (folder / "key").write_text(DEFAULT_KEY, "utf-8")
        (folder / "secret").write_text(SECRET, "utf-8")
        usual: dict[str, object] = {
            "state_dir": folder / "state",
            "testnet": f"true\n    url: {self.url}\n    orders_per_10s: 3000\n    d_max_ms: 6000",
            "api_key": f"{{file: {folder / 'key'}}} #",
            "api_secret": f"{{file: {folder / 'secret'}}} #",
            "dead_man_ms": 10_000 if dead_man_ms is None else dead_man_ms,
            "fill_lockout_ms": "0\n    fees_in_model: false",
            "order_lockout_ms": 20,
            "k": 5,
        }
        return substituted((ROOT / "deploy/examples/binance-testnet.yaml").read_text("utf-8"), **(usual | values))


class TwoWayProcess(BinanceProcess):
    """The account holds long and short apart."""

    keys: ClassVar[dict[str, Any]] = {**BinanceProcess.keys, "hedge_mode": True}

    def configuration(self, folder: Path, dead_man_ms: int | None, **values: object) -> str:
        return super().configuration(folder, dead_man_ms, **{"position_mode": "two_way", **values})

    def legs(self) -> dict[str, Decimal]:
        """What it says that we hold, by position side."""
        return {row["positionSide"]: Decimal(row["positionAmt"]) for row in self._ask("/fapi/v3/positionRisk")}

    def fill_towards_both_legs(self) -> None:
        """One lot of every order that opens, and of one that closes all but a lot."""
        for order in self._ask("/fapi/v1/openOrders"):
            opens = (order["side"], order["positionSide"]) in (("BUY", "LONG"), ("SELL", "SHORT"))
            left = Decimal(order["origQty"]) - Decimal(order["executedQty"])
            size = Decimal("0.0001") if opens else left - Decimal("0.0001")
            with suppress(urllib.error.HTTPError):  # it has ended meanwhile
                self.post("/control/fill", {"client_id": order["clientOrderId"], "size": f"{size:f}"})

    def _ask(self, path: str) -> Any:
        query = f"timestamp={time.time_ns() // 1_000_000}"
        signature = hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
        return self.read(f"{path}?{query}&signature={signature}", {"X-MBX-APIKEY": DEFAULT_KEY})


class BnbProcess(BinanceProcess):
    """Fees are paid in BNB."""

    beside = ("BNBUSDT",)
    keys: ClassVar[dict[str, Any]] = {**BinanceProcess.keys, "bnb_balance": 1000}


class BnbDesk(LiveDesk):
    def compare(self) -> None:
        """Each fill's fee as it was first booked, whatever BNB was worth when it was told again; and the BNB of all of
        them is what the venue took, to the last unit."""
        first: dict[str, OrderFilled] = {}
        for record in self.records():
            fills = (record,) if isinstance(record, OrderFilled) else getattr(record, "fills", ())
            for fill in fills if isinstance(record, OrderFilled | Reconciled) else ():
                first.setdefault(fill.fill_key, fill)
        (held,) = positions(self.last_records(), to_the_end=True).values()
        fees_atto = sum(from_pair(fill.fee or (0, 0)) for fill in first.values())
        truth = self.venue.books()
        assert (held.lots, from_pair(held.fees)) == (truth.lots, -fees_atto)
        assert from_pair(held.cash) == truth.cash_atto - fees_atto and truth.fees_atto == 0
        assert isinstance(self.venue, BnbProcess)
        assert bnb_of(first.values()) == bnb_of(trade.fill for trade in self.venue.account().trades) > 0


def bnb_of(fills: Iterable[OrderFilled]) -> int:
    """In atto. Every fill has paid in it."""
    charged = [fill.charged for fill in fills]
    assert all(each is not None and each.currency == "BNB" for each in charged)
    return sum(from_pair(each.amount) for each in charged if each is not None)


class PaperDesk(LiveDesk):
    """The ready paper configuration on the simulated venue's market data."""

    def configuration(self, folder: Path, dead_man_ms: int | None, **values: object) -> str:
        return substituted(
            (ROOT / "deploy/examples/binance-paper.yaml").read_text("utf-8"),
            state_dir=self.state_dir,
            market_data=f"native\n    url: {self.venue.url}",
            fill_lockout_ms="0\n    fees_in_model: false",
            order_lockout_ms=20,
            k=5,
            **values,
        )
