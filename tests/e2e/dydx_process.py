"""The simulated dYdX as a process, its account as the indexer shows it, and the test network's example."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from tests.e2e.test_recovery import substituted
from tests.e2e.venue import Books, VenueProcess, atto, paid_in_order
from tests.shared import ROOT

SYMBOL = "BTC-USD"
_LOTS = 10_000
_DEPOSIT = 100_000
_PAGE = 100


class DydxProcess(VenueProcess):
    """`mm-daemon simulate dydx`, with two nodes: `/nodes/a` and `/nodes/b`."""

    name = "dydx"
    symbol = SYMBOL
    keys: ClassVar[dict[str, Any]] = {
        "block_ms": 100,
        "indexer_requests_per_10s": 10_000,
        "markets": {SYMBOL: {"trades_per_second": 20}},
        "funding_period_s": 10,
    }

    def configuration(self, folder: Path, dead_man_ms: int | None, **values: object) -> str:
        """The venue has no other switch than an order's last block: `dead_man_ms` is not looked at."""
        key = folder / "key"
        key.write_text(self.told["accounts"][0]["private_key"], "utf-8")
        usual: dict[str, object] = {
            "state_dir": folder / "state",
            "network": f"local\n    indexer: {self.url} #",
            "nodes": f"[{self.url}/nodes/a, {self.url}/nodes/b] #",
            "private_key": f"{{file: {key}}} #",
            "requests_per_10s": 3000,
            "order_lockout_ms": "50\n    fill_lockout_ms: 0\n    fees_in_model: false",
            "k": 5,
        }
        return substituted((ROOT / "deploy/examples/dydx-testnet.yaml").read_text("utf-8"), **(usual | values))

    @property
    def _owner(self) -> str:
        return f"address={self.told['accounts'][0]['address']}&subaccountNumber=0"

    def books(self) -> Books:
        """Sums of the rows of fills and payments; position and balance must tell the same."""
        fills, rows = self.fills(), self._rows("fundingPayments")
        signs = [1 if fill["side"] == "BUY" else -1 for fill in fills]
        bought = sum((sign * Decimal(fill["size"]) for sign, fill in zip(signs, fills, strict=True)), Decimal(0))
        paid = [sign * Decimal(fill["price"]) * Decimal(fill["size"]) for sign, fill in zip(signs, fills, strict=True)]
        fees = sum((Decimal(fill["fee"]) for fill in fills), Decimal(0))
        payments = [(row["createdAt"], int(row["createdAtHeight"]), Decimal(row["payment"])) for row in rows]
        cash = sum((amount for *_, amount in payments), Decimal(0)) - fees - sum(paid)
        account = self.read(f"/v4/addresses/{self.told['accounts'][0]['address']}/subaccountNumber/0")["subaccount"]
        assert bought == sum(Decimal(row["size"]) for row in account["openPerpetualPositions"].values())
        usdc = account["assetPositions"]["USDC"]
        balance = Decimal(usdc["size"]) * (1 if usdc["side"] == "LONG" else -1)
        last = max((int(fill["createdAtHeight"]) for fill in fills), default=0)
        # Funding reaches the balance with the next trade.
        owed = [sum((sum_ for *_, at, sum_ in payments if at >= height), Decimal(0)) for height in (last, last + 1)]
        assert balance - _DEPOSIT in [cash - each for each in owed]
        received = paid_in_order((_ns(at), amount) for at, _, amount in payments)
        return Books(int(bought * _LOTS), atto(-sum(paid, Decimal(0))), -atto(fees), received, len(fills))

    def fills(self) -> list[dict[str, Any]]:
        return self._rows("fills")

    def height(self) -> int:
        return int(self.read("/v4/height")["height"])

    def open_orders(self) -> Sequence[Any]:
        found: list[Any] = self.read(f"/v4/orders?{self._owner}&status=OPEN,BEST_EFFORT_OPENED")
        return found

    def _rows(self, what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self.read(f"/v4/{what}?{self._owner}&limit={_PAGE}&page={len(found) // _PAGE + 1}")[what]
            found += page
            if len(page) < _PAGE:
                return found


class StatefulDydxProcess(DydxProcess):
    """The same, for quotes in the chain's state."""

    variant = "stateful"

    def configuration(self, folder: Path, dead_man_ms: int | None, **values: object) -> str:
        orders = "orders: stateful\n    stateful_ttl_s: 300"
        return super().configuration(folder, dead_man_ms, **({"requests_per_10s": f"3000\n    {orders}"} | values))


def _ns(text: str) -> int:
    """Of a time with milliseconds."""
    return round(datetime.fromisoformat(text).timestamp() * 1000) * 1_000_000
