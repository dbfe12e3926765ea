"""The neutral venue as a process, and its example pointed at it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from connectors.shared.account_file import account_path, read_account
from mm_daemon.domain.account_history import AccountHistory, OrderKnown
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.money import from_pair
from tests.e2e.test_recovery import substituted
from tests.e2e.venue import Books, VenueProcess
from tests.shared import ROOT

SYMBOL = "BTC-USDT"
SECRET = "a-secret-that-no-log-may-show"


class WithAccountFile(VenueProcess):
    """One that keeps its account on the disk, as its own books."""

    venue: ClassVar[Venue]

    def options(self) -> tuple[str, ...]:
        return ("--state-dir", str(self.state_dir))

    def account(self) -> AccountHistory:
        return read_account(account_path(self.state_dir, self.venue))

    def books(self) -> Books:
        account = self.account()
        if not account.holdings:
            return Books()
        (held,) = account.holdings.values()
        traded_atto = held.cash_atto - held.fees_atto - held.funding_atto
        payments = tuple((paid.ts_venue_ns, from_pair(paid.amount)) for paid in account.payments)
        return Books(held.lots, traded_atto, held.fees_atto, payments, held.trades)

    def open_orders(self) -> Sequence[OrderKnown]:
        return list(self.account().open.values())


class NeutralProcess(WithAccountFile):
    """`mm-daemon simulate neutral`."""

    name = "neutral"
    venue = Venue("neutral")
    symbol = SYMBOL
    keys: ClassVar[dict[str, Any]] = {
        "publish_interval_ms": 50,
        "symbols": {SYMBOL: {"trades_per_second": 20, "funding_period_s": None}},
        "orders_per_10s": 3000,
        "requests_per_minute": 60_000,
    }
    environment: ClassVar[dict[str, str]] = {"NEUTRAL_API_SECRET": SECRET, "PATH": ""}

    def configuration(self, folder: Path, dead_man_ms: int | None, **values: object) -> str:
        (folder / "key").write_text("neutral-key", "utf-8")
        (folder / "secret").write_text(SECRET, "utf-8")
        usual: dict[str, object] = {
            "state_dir": folder / "state",
            "url": self.url,
            "api_key": f"{{file: {folder / 'key'}}} #",
            "api_secret": f"{{file: {folder / 'secret'}}} #",
            "dead_man_ms": 10_000 if dead_man_ms is None else dead_man_ms,
            "orders_per_10s": 3000,
            "requests_per_minute": 60_000,
            "fill_lockout_ms": "0\n    fees_in_model: false",
            "order_lockout_ms": 20,
            "k": 5,
        }
        return substituted((ROOT / "deploy/examples/neutral.yaml").read_text("utf-8"), **(usual | values))
