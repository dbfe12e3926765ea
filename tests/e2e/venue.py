"""A simulated venue as a process, a live daemon on it through many lives, and what both must agree on.

Every venue has its `VenueProcess`: how its ready configuration is pointed at it, and what its account says, read the
way that a customer reads it. `LiveDesk` is the same for all of them.
"""

import json
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.reconciler import OVERLAP_NS
from mm_daemon.domain.checkpoint import Checkpoint, PositionState
from mm_daemon.domain.codec import Record
from mm_daemon.domain.events import RunStarted, VenueSnapshotReceived
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.money import ATTO, from_pair
from mm_daemon.domain.reconciliation import DiffKind, Reconciled
from mm_daemon.domain.rng import Rng
from mm_daemon.journal.run_reader import RunReader
from mm_daemon.journal.segments import runs_in
from tests.e2e.test_recovery import DAEMON, PATIENCE_S, Life, positions
from tests.shared import ROOT

STOP_WITHIN_S = 28
TOKEN = "a token of the status page"
_DEATHS_WITHIN_S = 4.0
EXPLAINED = frozenset(DiffKind) - {
    DiffKind.ORDER_FOREIGN,
    DiffKind.POSITION_UNEXPLAINED,
    DiffKind.POSITION_ADOPTED,
}
"""What deaths, late news and broken links may leave between us and a venue that nobody else trades at."""


class Books(msgspec.Struct, frozen=True):
    """What a venue's account says of one market: lots held, and money in atto of the settlement currency with the signs
    of our P&L (bought and fees paid are negative)."""

    lots: int = 0
    traded_atto: int = 0
    fees_atto: int = 0
    payments: tuple[tuple[int, int], ...] = ()
    """Funding: venue time in ns and atto received, oldest first."""
    fills: int = 0

    @property
    def funding_atto(self) -> int:
        return sum(amount for _, amount in self.payments)

    @property
    def cash_atto(self) -> int:
        return self.traded_atto + self.fees_atto + self.funding_atto

    def without_payments_after(self, at_ns: int) -> Iterator["Books"]:
        """These, and these without the last payment, the last two, ... as long as they are later than that."""
        left = self.payments
        yield self
        while left and left[-1][0] > at_ns:
            left = left[:-1]
            yield msgspec.structs.replace(self, payments=left)


class VenueProcess:
    """`mm-daemon simulate <name>` on a port of its own choice."""

    name: ClassVar[str]
    symbol: ClassVar[str]
    variant: ClassVar[str] = ""
    """What is not as usual in how it is traded."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Symbols that we do not trade."""
    keys: ClassVar[dict[str, Any]]
    """Settings of a lively market."""
    environment: ClassVar[dict[str, str]] = {"PATH": ""}

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.state_dir = folder / "venue"
        file = folder / "venue.yaml"
        file.write_text(json.dumps({**self.keys, **settings}), "utf-8")
        options = (
            "--port",
            "0",
            "--symbols",
            ",".join((self.symbol, *self.beside)),
            "--settings",
            str(file),
            *self.options(),
        )
        self._process = subprocess.Popen(
            [*DAEMON, "simulate", self.name, *options],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            text=True,
            env=self.environment,
        )
        watchdog = threading.Timer(PATIENCE_S, self._process.kill)
        watchdog.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        watchdog.cancel()
        if not line.startswith(("{", f"{self.name} at http://")):
            self.end()
            raise AssertionError(line)
        self.told: dict[str, Any] = json.loads(line) if line.startswith("{") else {"rest": line.split()[-1]}
        self.url: str = self.told["rest"]

    def options(self) -> tuple[str, ...]:
        """More of the command line."""
        return ()

    def configuration(self, folder: Path, dead_man_ms: int | None, **values: object) -> str:
        """The ready configuration pointed at this venue, its state in `folder/state`; secrets are files in `folder`.
        `values` stand for those of some keys."""
        raise NotImplementedError

    def books(self) -> Books:
        """As the venue's account has it by now."""
        raise NotImplementedError

    def open_orders(self) -> Sequence[Any]:
        raise NotImplementedError

    def read(self, path: str, headers: dict[str, str] | None = None) -> Any:
        with urllib.request.urlopen(
            urllib.request.Request(self.url + path, headers=headers or {}), timeout=PATIENCE_S
        ) as reply:
            return json.load(reply)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=json.dumps(body).encode(), headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
            text = reply.read()
        return json.loads(text) if text else None

    def fault(self, kind: str, **keys: Any) -> None:
        self.post("/control/fault", {"kind": kind, **keys})

    def struck(self) -> dict[str, int]:
        counts: dict[str, int] = self.read("/control/struck")
        return counts

    def until_struck(self, kind: str, times: int) -> None:
        """Until a fault has struck so often."""
        deadline_s, look = time.monotonic() + PATIENCE_S, threading.Event()
        while (struck := self.struck().get(kind, 0)) < times:
            assert time.monotonic() < deadline_s, f"{kind} has struck {struck} times"
            look.wait(0.1)

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

    def __init__(self, folder: Path, venue: VenueProcess, *, dead_man_ms: int | None = None, **values: object) -> None:
        self.venue = venue
        self.state_dir = folder / "state"
        self.config = folder / "live.yaml"
        # An order that died on its way is proven dead some seconds after its validity: a stop waits for that.
        (folder / "token").write_text(TOKEN, "utf-8")
        http = f"http: {{port: 0, token: {{file: {folder / 'token'}}}}}"
        more = f"{http}\nruntime: {{stop_timeout_s: {STOP_WITHIN_S}}}\n"
        self.config.write_text(f"{self.configuration(folder, dead_man_ms, **values)}\n{more}", "utf-8")
        self.lives = 0
        self.filled_lives = 0
        self.quoting_after_s: list[float] = []

    def configuration(self, folder: Path, dead_man_ms: int | None, **values: object) -> str:
        return self.venue.configuration(folder, dead_man_ms, **values)

    def begin(self) -> Life:
        return Life(self.config)

    @contextmanager
    def living(self) -> Iterator[Life]:
        """A life that has come to quote; ended at the end of the block, however that is reached."""
        life = self.begin()
        try:
            life.wait_for_quotes((self.venue.symbol,))
            yield life
        finally:
            life.end()
        self.note(life)

    def kill_at(self, seconds: float) -> Life:
        """A life that ends by SIGKILL this long after its start."""
        life = self.begin()
        try:
            life.kill_after(seconds)
        finally:
            life.end()
        self.note(life)
        return life

    def quote_and_stop(self, fills: int = 0) -> Life:
        """A life that comes to quote (and is filled so often), and is asked to stop."""
        with self.living() as life:
            wait_for(life, "fill", fills)
            self.stop(life)
        return life

    def die_filled(self) -> None:
        """A life that ends by SIGKILL as soon as it has been filled: its orders are at the venue."""
        with self.living() as life:
            wait_for(life, "fill", 1)
            life._process.kill()

    def stop(self, life: Life) -> None:
        """Stopped clean: nothing is open, nothing is unknown, and both sides have the same account."""
        assert life.stop() == 0, life.last_words()
        last = life.log[-1][1]
        assert (last["event"], last["confirmed"]) == ("stopped", True)
        self.compare()

    def compare(self) -> None:
        """The daemon's last word is the venue's: position, cash, fees and the parts of the P&L, to the last unit. A
        venue goes on paying funding on what we hold: payments after its last answer may be missing, and those within
        the overlap with which it is asked, since what a link has missed is read from the last fill on."""
        assert not self.venue.open_orders()
        records = self.last_records()
        ((instrument, held),) = positions(records, to_the_end=True).items()
        first, *_, last_asked = 2 * [
            record.snapshot.ts_venue_ns for record in records if isinstance(record, VenueSnapshotReceived)
        ]
        complete_ns = max(first, last_asked - OVERLAP_NS)
        assert_books(held, tuple(self.venue.books().without_payments_after(complete_ns)))
        assert_adds_up(held, _contract(records, instrument))
        (*_, last) = [record for record in records if isinstance(record, Checkpoint)]
        assert [order for order in last.ledger.orders if order.final_ns is None] == []

    def differences(self) -> Counter[DiffKind]:
        """What comparisons of all lives found, and nothing that cannot be explained."""
        found: Counter[DiffKind] = Counter()
        for record in self.records():
            if isinstance(record, Reconciled):
                found.update(diff.kind for diff in record.diffs)
        assert set(found) <= EXPLAINED, found
        return found

    def last_records(self) -> list[Record]:
        """Of the last life's journal."""
        return _records(runs_in(self.state_dir / "journal")[-1])

    def records(self) -> Iterator[Record]:
        """Of the journals of all lives."""
        for run in runs_in(self.state_dir / "journal"):
            yield from _records(run)

    def note(self, life: Life) -> None:
        self.lives += 1
        self.filled_lives += fills_of(life) > 0
        after_s = life.quoted_after_s(self.venue.symbol)
        if after_s is not None:
            self.quoting_after_s.append(after_s)

    def die(self, kills: int, seed: int) -> str:
        """Die by SIGKILL at so many random moments: in turn after the start of the process, after its first quote, and
        after its first fill, so that a busy machine does not take the last two away. Stop clean at last. What is to be
        told of it."""
        rng = Rng(seed)
        for n in range(kills):
            later_s = _DEATHS_WITHIN_S * rng.uniform()
            if n % 3 == 0:
                self.kill_at(later_s)
                continue
            with self.living() as life:
                if n % 3 == 2:
                    wait_for(life, "fill", 1)
                life.kill_after(life.log[-1][0] + later_s)
        killed_quoting, killed_filled = len(self.quoting_after_s), self.filled_lives
        self.quote_and_stop(fills=1)
        found, books, times = self.differences(), self.venue.books(), self.quoting_after_s
        return (
            f"{self.venue.name}: {kills} deaths (seed {seed}), {killed_quoting} of them came to quote, "
            f"{killed_filled} were filled; {books.fills} fills and {len(books.payments)} funding payments, "
            f"fees {books.fees_atto / ATTO:.4f}, funding {books.funding_atto / ATTO:.4f}; first quote "
            f"p50 {percentile(times, 0.5):.2f} s, p99 {percentile(times, 0.99):.2f} s after the start; "
            f"differences: {', '.join(f'{kind} {count}' for kind, count in sorted(found.items())) or 'none'}"
        )

    def until_nothing_is_open(self, within_s: float) -> float:
        """Seconds until the venue had no open order; fails after `within_s`."""
        begun_s = time.monotonic()
        look = threading.Event()
        while self.venue.open_orders():
            assert time.monotonic() - begun_s < within_s, self.venue.open_orders()
            look.wait(0.02)
        return time.monotonic() - begun_s


def assert_books(held: PositionState, truths: Sequence[Books]) -> None:
    """Position, cash, fees and funding are one of these, to the last unit."""
    ours = (held.lots, from_pair(held.cash), from_pair(held.fees), from_pair(held.funding))
    assert ours in [(truth.lots, truth.cash_atto, truth.fees_atto, truth.funding_atto) for truth in truths]


def assert_adds_up(held: PositionState, contract: Instrument) -> None:
    """The parts of the P&L are the cash and what the position is worth at the mark."""
    half_tick_atto = int(contract.tick * contract.lot * contract.multiplier * ATTO / 2)
    parts = sum(map(from_pair, (held.spread, held.inventory, held.fees, held.funding)))
    assert parts == from_pair(held.cash) + held.lots * (held.half_ticks or 0) * half_tick_atto


def _records(run: Path) -> list[Record]:
    return [record for frame in RunReader(run) for record in frame.records]


def _contract(records: Sequence[Record], instrument: str) -> Instrument:
    started = records[0]
    assert isinstance(started, RunStarted)
    markets = CoreParameters.from_json(started.parameters).markets
    (found,) = [market.instrument for market in markets if market.instrument.id == instrument]
    return found


def wait_for(life: Life, event: str, count: int = 1) -> None:
    """Until the log has had so many lines of an event."""
    with life._heard:
        assert life._heard.wait_for(
            lambda: events_of(life, event) >= count or life._process.poll() is not None, PATIENCE_S
        ), life.last_words()
    assert events_of(life, event) >= count, life.last_words()


def trades_on(life: Life, fills: int = 2) -> None:
    """From now on it is filled so often: it quotes."""
    wait_for(life, "fill", fills_of(life) + fills)


def events_of(life: Life, event: str) -> int:
    return sum(line["event"] == event for _, line in tuple(life.log))


def fills_of(life: Life) -> int:
    return events_of(life, "fill")


def atto(amount: Decimal) -> int:
    """Exact. Raises for what is finer than an atto."""
    scaled = amount * ATTO
    whole = int(scaled)
    assert whole == scaled, amount
    return whole


def paid_in_order(rows: Iterable[tuple[int, Decimal]]) -> tuple[tuple[int, int], ...]:
    """Payments of `Books` from (time in ns, amount)."""
    return tuple(sorted((at_ns, atto(amount)) for at_ns, amount in rows))


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]
