"""`make peers`: other engines and ours on the same recording, on this machine, in this run; one table.

rows/s: level changes and trades over process CPU time of a backtest of data already in memory, compiled, best of some
runs; each engine over the rows that it was fed. cold: a new process from the gzip file to its result, by the clock,
best of some. peak: the most memory of these processes. Ours stands there three times: with its journal, as the verb is
shipped, without, and so compiled (`make compiled`); cold it reads all frames, bookTicker too, which the peers skip. The
scripts say what else is not comparable. Exit code 1: something could not be measured, and the output says what.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.peers.environments import NoEnvironmentError, python_of
from tests.bench.peers.outcome import Outcome
from tests.bench.processes import MM_DAEMON, FailedError, finished
from tests.bench.recordings import USDM
from tests.shared import ROOT, SHARED

RECORDING = SHARED / USDM
CONFIG = ROOT / "deploy/examples/recorded-binance-usdm.yaml"
ENVIRON = {**os.environ, "MM_SHARED": str(SHARED), "PYTHONPATH": str(ROOT)}
COMPILED = {**ENVIRON, "PYTHONPATH": os.pathsep.join((str(ROOT / "build/compiled"), str(ROOT)))}


@dataclass(frozen=True)
class Entrant:
    """An engine set up in one way: what to run for its rate and, in a new process each time, for its cold figures."""

    name: str
    rate: list[str]
    cold: list[str]
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRON)


@dataclass(frozen=True)
class Line:
    """What was measured of an entrant."""

    name: str
    rows_per_s: float
    cold_s: float
    peak_mib: float
    outcome: Outcome


_RATE = [sys.executable, "-m", "tests.bench.peers.ours", str(CONFIG)]
_COLD = [*MM_DAEMON, "backtest", "--config", str(CONFIG), "--json"]


def ours() -> list[Entrant]:
    return [
        Entrant("mm-daemon", _RATE, [*_COLD, "--no-journal"]),
        Entrant("mm-daemon, journal on", [*_RATE, "--journal"], _COLD),
    ]


def compiled() -> list[Entrant]:
    made = subprocess.run(["make", "--silent", "compiled"], cwd=ROOT, capture_output=True, text=True, check=False)
    if made.returncode:
        raise NoEnvironmentError(f"make compiled: {made.stderr.strip().splitlines()[-1]}")
    return [Entrant("mm-daemon, compiled", _RATE, [*_COLD, "--no-journal"], COMPILED)]


def _peer(name: str, title: str, option: str, choices: dict[str, str]) -> list[Entrant]:
    script = [str(python_of(name)), "-m", f"tests.bench.peers.{name}_run", str(RECORDING), option]
    return [Entrant(f"{title}, {text}", [*script, choice], [*script, choice]) for choice, text in choices.items()]


def hftbacktest() -> list[Entrant]:
    depths = {"roi": "ROIVector", "hashmap": "HashMap"}
    return _peer("hftbacktest", "hftbacktest", "--depth", depths)


def nautilus() -> list[Entrant]:
    deltas = {"batched": "deltas by message", "single": "deltas one by one"}
    return _peer("nautilus", "NautilusTrader", "--deltas", deltas)


ENTRANTS: dict[str, Callable[[], list[Entrant]]] = {
    "ours": ours,
    "compiled": compiled,
    "hftbacktest": hftbacktest,
    "nautilus": nautilus,
}


def line_of(entrant: Entrant, runs: int) -> Line:
    """Measure one line: the rate in one process that runs several times, then cold processes. Raises FailedError."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rated = finished([*entrant.rate, "--runs", str(runs)], cwd=folder, environment=entrant.environment)
        colds = [finished(entrant.cold, cwd=folder, environment=entrant.environment) for _ in range(runs)]
    outcome = Outcome(**json.loads(rated.output.splitlines()[-1]))
    best_s, peak_mib = min(cold.wall_s for cold in colds), max(cold.peak_mib for cold in colds)
    return Line(entrant.name, outcome.rows / min(outcome.cpu_s), best_s, peak_mib, outcome)


def table(lines: list[Line]) -> str:
    width = max(len(line.name) for line in lines)
    head = f"{'':{width}}  {'M rows/s':>8}  {'cold s':>6}  {'peak MiB':>8}  {'placed':>6}  {'moved':>5}  {'fills':>5}"
    text = [f"{head}  {'position':>8}  before the first result, CPU s"]
    for line in lines:
        done = line.outcome
        parts = ", ".join(f"{part} {took:.2f}" for part, took in done.parts_s.items())
        text.append(
            f"{line.name:{width}}  {line.rows_per_s / 1e6:8.2f}  {line.cold_s:6.2f}  {line.peak_mib:8.0f}  "
            f"{done.placed:6}  {done.moved:5}  {done.fills:5}  {done.position:8.3f}  {parts}"
        )
    return "\n".join(text)


def ratios(lines: list[Line]) -> list[dict[str, str | float]]:
    """Ours over the peer's: of rows/s more is better, of the others less."""
    own = [line for line in lines if line.name.startswith("mm-daemon")]
    return [
        {
            "ours": mine.name,
            "peer": peer.name,
            "rows_per_s": mine.rows_per_s / peer.rows_per_s,
            "cold_s": mine.cold_s / peer.cold_s,
            "peak_mib": mine.peak_mib / peer.peak_mib,
        }
        for mine in own
        for peer in lines
        if peer not in own
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--runs", type=int, default=3, help="of which the best counts")
    parser.add_argument("--only", choices=ENTRANTS, action="append", help="may be given several times")
    chosen = parser.parse_args()
    if not RECORDING.exists():
        print(f"ABSENT: {RECORDING}; say with MM_SHARED where the shared files are", file=sys.stderr)
        return 1
    lines: list[Line] = []
    absent: dict[str, str] = {}
    for name in chosen.only or ENTRANTS:
        try:
            for entrant in ENTRANTS[name]():
                print(f"{entrant.name} ...", file=sys.stderr, flush=True)
                lines.append(line_of(entrant, chosen.runs))
        except (NoEnvironmentError, FailedError) as error:
            kind = "NO ENVIRONMENT" if isinstance(error, NoEnvironmentError) else "FAILED"
            absent[name] = f"{kind}: {error}"
    compared = ratios(lines)
    if lines:
        print(f"\n{RECORDING.name}, best of {chosen.runs}\n\n{table(lines)}")
    if compared:
        print("\nours / peer (rows/s: more is better; cold and peak: less)")
    for ratio in compared:
        print(
            f"  {ratio['ours']} / {ratio['peer']}: rows/s {ratio['rows_per_s']:.2f}, "
            f"cold {ratio['cold_s']:.2f}, peak {ratio['peak_mib']:.2f}"
        )
    for name, reason in absent.items():
        print(f"\n{name}: {reason}")
    if chosen.json is not None:
        result = {"recording": RECORDING.name, "figures": [asdict(line) for line in lines]}
        chosen.json.write_text(json.dumps({**result, "ratios": compared, "absent": absent}, indent=2) + "\n")
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
