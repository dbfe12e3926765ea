"""The neutral venue as a process, a live daemon on it through many lives, and what both must agree on."""

import json
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

from connectors.shared.account_file import account_path, read_account
from mm_daemon.domain.account_history import AccountHistory
from mm_daemon.domain.checkpoint import Checkpoint
from mm_daemon.domain.instrument import Venue
from mm_daemon.journal.run_reader import RunReader
from mm_daemon.journal.segments import runs_in
from tests.e2e.test_recovery import DAEMON, PATIENCE_S, Life, assert_equal, positions, substituted
from tests.shared import ROOT

SYMBOL = "BTC-USDT"
STOP_WITHIN_S = 28
SECRET = "a-secret-that-no-log-may-show"
TOKEN = "a token of the status page"
BUSY = {
    "publish_interval_ms": 50,
    "symbols": {SYMBOL: {"trades_per_second": 20, "funding_period_s": None}},
    "orders_per_10s": 3000,
    "requests_per_minute": 60_000,
}


class VenueProcess:
    """`mm-daemon simulate neutral` on a port of its own choice."""

    name = "neutral"
    venue = Venue("neutral")
    symbol = SYMBOL
    keys: ClassVar[dict[str, Any]] = BUSY

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.state_dir = folder / "venue"
        file = folder / "venue.yaml"
        file.write_text(json.dumps({**self.keys, **settings}), "utf-8")
        self._process = subprocess.Popen(
            [
                *DAEMON,
                *("simulate", self.name, "--port", "0", "--symbols", self.symbol),
                *("--state-dir", str(self.state_dir), "--settings", str(file)),
            ],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            text=True,
            env={f"{self.name.upper()}_API_SECRET": SECRET, "PATH": ""},
        )
        watchdog = threading.Timer(PATIENCE_S, self._process.kill)
        watchdog.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        watchdog.cancel()
        if not line.startswith(f"{self.name} at http://"):
            self.end()
            raise AssertionError(line)
        self.url = line.split()[-1]

    def account(self) -> AccountHistory:
        """The venue's own account, as its file has it by now."""
        return read_account(account_path(self.state_dir, self.venue))

    def fault(self, kind: str, **keys: Any) -> None:
        body = json.dumps({"kind": kind, **keys}).encode()
        request = urllib.request.Request(f"{self.url}/control/fault", data=body)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
            assert reply.status == 200

    def struck(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}/control/struck", timeout=PATIENCE_S) as reply:
            counts: dict[str, int] = json.load(reply)
            return counts

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        self._process.terminate()
        code = self._process.wait(PATIENCE_S)
        self.end()
        return code

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


class LiveDesk:
    """A live configuration on a venue, through many lives."""

    def __init__(self, folder: Path, venue: VenueProcess, *, dead_man_ms: int | None = None) -> None:
        self.venue = venue
        self.state_dir = folder / "state"
        (folder / "secret").write_text(SECRET, "utf-8")
        self.config = folder / "live.yaml"
        # An order that died on its way is proven dead some seconds after its validity: a stop waits for that.
        (folder / "token").write_text(TOKEN, "utf-8")
        http = f"http: {{port: 0, token: {{file: {folder / 'token'}}}}}"
        more = f"{http}\nruntime: {{stop_timeout_s: {STOP_WITHIN_S}}}\n"
        self.config.write_text(f"{self.configuration(folder, dead_man_ms)}\n{more}", "utf-8")
        self.quoting_after_s: list[float] = []

    def configuration(self, folder: Path, dead_man_ms: int | None) -> str:
        (folder / "key").write_text("neutral-key", "utf-8")
        return substituted(
            (ROOT / "deploy/examples/neutral.yaml").read_text("utf-8"),
            state_dir=self.state_dir,
            url=self.venue.url,
            api_key=f"{{file: {folder / 'key'}}} #",
            api_secret=f"{{file: {folder / 'secret'}}} #",
            dead_man_ms=10_000 if dead_man_ms is None else dead_man_ms,
            orders_per_10s=3000,
            requests_per_minute=60_000,
            fill_lockout_ms="0\n    fees_in_model: false",
            order_lockout_ms=20,
            k=5,
        )

    def begin(self) -> Life:
        return Life(self.config)

    def kill_at(self, seconds: float) -> Life:
        """A life that ends by SIGKILL this long after its start."""
        life = self.begin()
        try:
            life.kill_after(seconds)
        finally:
            life.end()
        self.note(life)
        return life

    def quote_and_stop(self) -> Life:
        """A life that comes to quote, and is asked to stop."""
        life = self.begin()
        try:
            life.wait_for_quotes((self.venue.symbol,))
            self.stop(life)
        finally:
            life.end()
        self.note(life)
        return life

    def stop(self, life: Life) -> None:
        """Stopped clean: nothing is open, nothing is unknown, and both sides have the same account."""
        assert life.stop() == 0, life.log
        last = life.log[-1][1]
        assert (last["event"], last["confirmed"]) == ("stopped", True)
        self.compare()

    def compare(self) -> None:
        """The daemon's last word is the venue's: position, cash, fees and the parts of the P&L, to the last unit."""
        truth = self.venue.account()
        assert not truth.open
        records = [record for frame in RunReader(runs_in(self.state_dir / "journal")[-1]) for record in frame.records]
        assert_equal(positions(records, to_the_end=True), truth)
        (*_, last) = [record for record in records if isinstance(record, Checkpoint)]
        assert [order for order in last.ledger.orders if order.final_ns is None] == []

    def note(self, life: Life) -> None:
        after_s = life.quoted_after_s(self.venue.symbol)
        if after_s is not None:
            self.quoting_after_s.append(after_s)

    def until_nothing_is_open(self, within_s: float) -> float:
        """Seconds until the venue had no open order; fails after `within_s`."""
        begun_s = time.monotonic()
        look = threading.Event()
        while self.venue.account().open:
            assert time.monotonic() - begun_s < within_s, self.venue.account().open
            look.wait(0.02)
        return time.monotonic() - begun_s


def wait_for(life: Life, event: str, count: int = 1) -> None:
    """Until the log has had so many lines of an event."""
    with life._heard:
        assert life._heard.wait_for(
            lambda: sum(line["event"] == event for _, line in life.log) >= count or life._process.poll() is not None,
            PATIENCE_S,
        ), life.log
    assert sum(line["event"] == event for _, line in life.log) >= count, life.log


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]
