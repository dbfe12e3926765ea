"""The simulated Hyperliquid as a process, its account as the venue shows it, and the test network's example."""

from collections.abc import Sequence
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

from mm_daemon.domain.money import ATTO
from tests.e2e.test_recovery import substituted
from tests.e2e.venue import Books, VenueProcess, atto, paid_in_order
from tests.shared import ROOT

SYMBOL = "BTC"
_LOTS = 100_000
_DEPOSIT = 100_000
_ROWS_A_REPLY = {"userFillsByTime": 2000, "userFunding": 500}


class HyperliquidProcess(VenueProcess):
    """`mm-daemon simulate hyperliquid`."""

    name = "hyperliquid"
    symbol = SYMBOL
    keys: ClassVar[dict[str, Any]] = {
        "coins": {SYMBOL: {"trades_per_second": 20}},
        "block_ms": 50,
        "fast_book_ms": 200,
        "funding_period_s": 10,
        "weight_per_minute": 100_000,
        "messages_per_minute": 100_000,
        "new_connections_per_minute": 1000,
    }

    @property
    def account(self) -> dict[str, Any]:
        found: dict[str, Any] = self.told["accounts"][0]
        return found

    def configuration(self, folder: Path, dead_man_ms: int | None, **values: object) -> str:
        key = folder / "key"
        key.write_text(self.account["private_key"], "utf-8")
        usual: dict[str, object] = {
            "state_dir": folder / "state",
            "network": f"testnet\n    url: {self.url} #",
            "private_key": f"{{file: {key}}} #",
            "dead_man_ms": "null" if dead_man_ms is None else dead_man_ms,
            "order_lockout_ms": "50\n    fill_lockout_ms: 0\n    fees_in_model: false",
            "k": 5,
        }
        return substituted((ROOT / "deploy/examples/hyperliquid-testnet.yaml").read_text("utf-8"), **(usual | values))

    def ask(self, kind: str, **keys: Any) -> Any:
        return self.post("/info", {"type": kind, "user": self.account["address"], **keys})

    def books(self) -> Books:
        """Sums of the rows of fills and payments; position and account value must tell the same."""
        fills = self._rows("userFillsByTime", ("tid", "oid"))
        signs = [1 if fill["side"] == "B" else -1 for fill in fills]
        worth = [Decimal(fill["px"]) * Decimal(fill["sz"]) for fill in fills]
        traded = -sum((sign * each for sign, each in zip(signs, worth, strict=True)), Decimal(0))
        fees = sum((Decimal(fill["fee"]) for fill in fills), Decimal(0))
        payments = [
            (row["time"] * 1_000_000, Decimal(row["delta"]["usdc"])) for row in self._rows("userFunding", ("time",))
        ]
        bought = sum((sign * Decimal(fill["sz"]) for sign, fill in zip(signs, fills, strict=True)), Decimal(0))
        state = self.ask("clearinghouseState")
        assert bought == sum(Decimal(row["position"]["szi"]) for row in state["assetPositions"])
        cash = traded - fees + sum((amount for _, amount in payments), Decimal(0))
        balance = Decimal(state["marginSummary"]["totalRawUsd"]) - _DEPOSIT
        assert abs(cash - balance) < Decimal("0.000002"), (cash, balance)
        return Books(int(bought * _LOTS), atto(traded), -atto(fees), paid_in_order(payments), len(fills))

    def open_orders(self) -> Sequence[Any]:
        found: list[Any] = self.ask("openOrders")
        return found

    def _rows(self, kind: str, key: tuple[str, ...]) -> list[dict[str, Any]]:
        """All there are, page after page: each begins with the last millisecond of the one before."""
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        start_ms = 0
        while True:
            page = self.ask(kind, startTime=start_ms)
            found |= {tuple(row[name] for name in key): row for row in page}
            if len(page) < _ROWS_A_REPLY[kind]:
                return list(found.values())
            start_ms = page[-1]["time"]


class HyperliquidSpotProcess(HyperliquidProcess):
    """The same with one spot pair, whose base the accounts do not have at the start."""

    variant = "spot"
    symbol = "HYPE/USDC"
    base, lot = "HYPE", Decimal("0.01")
    keys: ClassVar[dict[str, Any]] = {**HyperliquidProcess.keys, "coins": {"HYPE/USDC": {"trades_per_second": 20}}}

    def configuration(self, folder: Path, dead_man_ms: int | None, **values: object) -> str:
        spot = {"symbol": self.symbol, "order_size": 1, "max_position": "6\n    min_position: 0"}
        return super().configuration(folder, dead_man_ms, **(spot | values))

    def books(self) -> Books:
        """Lots are whole ones of the balance. What a purchase's fee takes out of the base counts at its price: it is
        a fee, and in whole lots it was sold. The balances must be what the fills say.
        """
        fills = self._rows("userFillsByTime", ("tid", "oid"))
        base, quote, traded, fees, surplus = Decimal(0), Decimal(_DEPOSIT), Decimal(0), 0, Decimal(0)
        for fill in fills:
            price, size, fee = Decimal(fill["px"]), Decimal(fill["sz"]), Decimal(fill["fee"])
            if fill["side"] == "B":
                assert fill["feeToken"] == self.base
                taken = ceil((fee - surplus) / self.lot) * self.lot
                surplus += taken - fee
                base += size - fee
                quote -= price * size
                traded -= price * (size - taken)
                fees -= ceil(fee * price * ATTO)
            else:
                assert fill["feeToken"] == "USDC"
                base -= size
                quote += price * size - fee
                traded += price * size
                fees -= atto(fee)
        rows = self.ask("spotClearinghouseState")["balances"]
        balances = {row["coin"]: Decimal(row["total"]) for row in rows}
        assert (balances.get(self.base, 0), balances["USDC"]) == (base, quote)
        assert base % self.lot == surplus
        return Books(int(base // self.lot), atto(traded), fees, fills=len(fills))
