"""The simulated Lighter as a process, its account as the venue shows it, and the test network's example."""

import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from tests.e2e.test_recovery import substituted
from tests.e2e.venue import Books, VenueProcess, atto, paid_in_order
from tests.lighter import PythonSigner, native_library
from tests.shared import ROOT

SYMBOL = "ETH"
KEY_INDEX = 4
_LOTS = 1000
_DEPOSIT = 100_000
_PPM = 1_000_000


class LighterProcess(VenueProcess):
    """`mm-daemon simulate lighter`."""

    name = "lighter"
    symbol = SYMBOL
    used: ClassVar[tuple[int, ...]] = (KEY_INDEX,)
    """The keys that the daemon has."""
    keys: ClassVar[dict[str, Any]] = {
        "symbols": {
            SYMBOL: {"trades_per_second": 20, "funding_period_s": 10, "maker_fee_bps": 0.4, "taker_fee_bps": 2.8}
        },
        "weight_per_minute": 1_000_000,
        "quota": 100_000,
    }

    def configuration(self, folder: Path, dead_man_ms: int | None, **values: object) -> str:
        """Signed by the venue's own library; the test is skipped where that is not."""
        library, secrets = native_library(), []
        for index in self.used:
            file = folder / f"key_{index}"
            file.write_text(self.private_key(index), "utf-8")
            secrets.append(f"{{file: {file}}} #")
        usual: dict[str, object] = {
            "state_dir": folder / "state",
            "network": f"testnet\n    url: {self.url} #",
            "account": self.account,
            "api_keys": f"{list(self.used)} #",
            "api_key_4": "".join(
                text if index == KEY_INDEX else f"\n      api_key_{index}: {text}"
                for index, text in zip(self.used, secrets, strict=True)
            ),
            "tier": "premium",
            "signer_library": library,
            "order_lockout_ms": "50\n    fill_lockout_ms: 0\n    fees_in_model: false",
            "k": 5,
        }
        if dead_man_ms is not None:
            usual["dead_man_ms"] = dead_man_ms
        return substituted((ROOT / "deploy/examples/lighter-testnet.yaml").read_text("utf-8"), **(usual | values))

    @property
    def account(self) -> int:
        index: int = self.told["account_index"]
        return index

    def private_key(self, index: int = KEY_INDEX) -> str:
        text: str = next(each["private_key"] for each in self.told["api_keys"] if each["api_key_index"] == index)
        return text

    def next_nonce(self, index: int = KEY_INDEX) -> int:
        query = f"account_index={self.account}&api_key_index={index}"
        nonce: int = self.read(f"/api/v1/nextNonce?{query}")["nonce"]
        return nonce

    def use_nonces(self, count: int, index: int = KEY_INDEX) -> int:
        """As another process with the same key would; the next nonce from now on."""
        nonce = self.next_nonce(index) + count
        self.post("/control/nonce", {"key_index": index, "nonce": nonce})
        return nonce

    def remove_key(self, index: int) -> None:
        """As its owner would, at the venue's site."""
        self.post("/control/remove_key", {"key_index": index})

    def held(self) -> dict[str, Any]:
        """The account as the venue shows it to everybody."""
        found: dict[str, Any] = self.read(f"/api/v1/account?by=index&value={self.account}")["accounts"][0]
        return found

    def books(self) -> Books:
        """Sums of the rows of trades and payments; position and collateral must tell the same, to their last digit."""
        trades, payments = self._rows("trades", "trades"), self._rows("positionFunding", "position_fundings")
        bought = traded = fees = Decimal(0)
        for row in trades:
            sell = row["ask_account_id"] == self.account
            size, worth = Decimal(row["size"]), Decimal(row["price"]) * Decimal(row["size"])
            bought += -size if sell else size
            traded += worth if sell else -worth
            ours = "maker_fee" if sell is row["is_maker_ask"] else "taker_fee"
            fees += worth * row.get(ours, 0) / _PPM
        paid = [(row["timestamp"] * 1_000_000_000, Decimal(row["change"])) for row in payments]
        cash, shown = traded - fees + sum((amount for _, amount in paid), Decimal(0)), self.held()
        there = worth = Decimal(0)
        for row in shown["positions"]:
            there = int(row["sign"]) * Decimal(row["position"])
            worth = there * Decimal(row["avg_entry_price"])
        assert bought == there
        assert abs(cash + worth - (Decimal(shown["collateral"]) - _DEPOSIT)) < Decimal("0.000002")
        return Books(int(bought * _LOTS), atto(traded), -atto(fees), paid_in_order(paid), len(trades))

    def open_orders(self) -> Sequence[Any]:
        """Open orders, and a cancel of all that is still scheduled."""
        shown = self.held()
        return [each for each in (shown["total_order_count"], shown["cancel_all_time"]) if each]

    def _rows(self, endpoint: str, name: str) -> list[dict[str, Any]]:
        index = self.used[-1]
        secret = int.from_bytes(bytes.fromhex(self.private_key(index).removeprefix("0x")), "little")
        signer = PythonSigner({index: secret}, time.time_ns, account=self.account)
        token = signer.token(int(time.time()) + 600, index)
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            query = f"account_index={self.account}&limit=100{cursor}"
            page = self.read(f"/api/v1/{endpoint}?{query}", {"authorization": token})
            found += page[name] or []
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"


class LighterKeysProcess(LighterProcess):
    """Three keys: two take turns, one has what may take."""

    variant = "keys"
    used = (4, 5, 6)
