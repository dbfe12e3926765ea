"""`make side-by-side`: what the same strategy trades on the same recording in three engines, fill by fill.

Ours runs twice: as shipped, and in the manner of the peers (the configured volatility, the mid as fair price, a side
that moved or was filled waits for 100 ms). Then one modelling choice after the other is changed in ours, and the peers
decide oftener, so that each difference can be laid to a choice that has a name; deploy/docs/peers.md is written with
it.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.bench.peers.environments import NoEnvironmentError, python_of
from tests.bench.peers.outcome import Traded
from tests.bench.peers.run import CONFIG, ENVIRON, RECORDING
from tests.bench.processes import FailedError, finished

MARKET = "markets.*."
PEERS_MANNER = {
    f"{MARKET}fair_price": "mid",
    f"{MARKET}volatility_half_life_s": "86400",
    f"{MARKET}fill_lockout_ms": "100",
    f"{MARKET}order_lockout_ms": "100",
    f"{MARKET}low_confidence_widening": "1",
    f"{MARKET}funding_shift": "false",
}
"""The estimator never becomes ready in 345 s, so that the configured volatility stands."""
CHOICES = {
    "cancels uniform over the queue (power 1)": {"paper.queue_model": "power"},
    "cancels from the longer part (power 3)": {"paper.queue_model": "power", "paper.queue_exponent": "3"},
    "no latency": {"paper.entry_latency_ms": "0", "paper.response_latency_ms": "0"},
    "latency 50 ms each way": {"paper.entry_latency_ms": "50", "paper.response_latency_ms": "50"},
    "no pause after a move or a fill": {f"{MARKET}order_lockout_ms": "0", f"{MARKET}fill_lockout_ms": "0"},
    "pauses as shipped (100 ms, 200 ms)": {f"{MARKET}fill_lockout_ms": "200"},
    "microprice instead of the mid": {f"{MARKET}fair_price": "microprice"},
    "volatility measured, half-life 60 s": {f"{MARKET}volatility_half_life_s": "60"},
}
"""Each alone, in the peers' manner otherwise."""
OFTENER_MS = 20
_SHOWN_S = 100.0


class Line(NamedTuple):
    name: str
    placed: int
    moved: int
    fills: int
    position: float
    traded: Traded


def ours(name: str, overrides: dict[str, str]) -> Line:
    sets = [part for key, value in overrides.items() for part in ("--set", f"{key}={value}")]
    return _run(name, [sys.executable, "-m", "tests.bench.peers.ours", str(CONFIG), "--traded", *sets])


def peer(name: str, title: str, step_ms: int) -> Line:
    script = [str(python_of(name)), "-m", f"tests.bench.peers.{name}_run", str(RECORDING)]
    return _run(f"{title}, every {step_ms} ms", script, PEER_STEP_MS=str(step_ms))


def _run(name: str, command: list[str], **more: str) -> Line:
    print(f"{name} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        output = finished(command, cwd=Path(folder), environment={**ENVIRON, **more}).output
    told = json.loads(output.splitlines()[-1])
    traded = Traded(**told["traded"])
    return Line(name, told["placed"], told["moved"], told["fills"], told["position"], traded)


def table(lines: list[Line]) -> list[str]:
    rows = ["| | placed | moved | fills | volume | P&L | of it fees | position |", "|---|---|---|---|---|---|---|---|"]
    for line in lines:
        traded = line.traded
        rows.append(
            f"| {line.name} | {line.placed} | {line.moved} | {line.fills} | {traded.volume:,.0f} | {traded.pnl:+.3f} | "
            f"{-traded.fees:+.3f} | {line.position:+.3f} |"
        )
    return rows


def fills_table(lines: list[Line]) -> list[str]:
    """Fills within two seconds and on one side stand in one line."""
    start_ns = min(line.traded.fills[0][0] for line in lines)
    moments: list[tuple[float, float, list[list[str]]]] = []
    for column, line in enumerate(lines):
        for at_ns, size, price in line.traded.fills:
            at_s = (at_ns - start_ns) / 1e9
            found = next((m for m in moments if abs(m[0] - at_s) < 2.5 and m[1] * size > 0), None)
            if found is None:
                found = (at_s, size, [[] for _ in lines])
                moments.append(found)
            found[2][column].append(f"{abs(size):g} at {price:,.1f}")
    rows = [f"| s | side | {' | '.join(line.name for line in lines)} |", f"|---|---|{'---|' * len(lines)}"]
    for at_s, size, cells in sorted(moments):
        said = " | ".join(", ".join(cell) or "-" for cell in cells)
        rows.append(f"| {at_s:.0f} | {'buy' if size > 0 else 'sell'} | {said} |")
    return rows


def draw(lines: list[Line], path: Path) -> None:
    """The position of each over time."""
    from mm_daemon.cli.plots.drawing import check_plot, drawing

    check_plot(path)
    start_ns = min(line.traded.fills[0][0] for line in lines)
    with drawing(path, 1, 1, width_in=9.0, row_height_in=4.0) as ((axes,),):
        for number, line in enumerate(lines):
            times, positions, held = [0.0], [0.0], 0.0
            for at_ns, size, _ in line.traded.fills:
                held += size
                times.append((at_ns - start_ns) / 1e9)
                positions.append(held)
            times.append(_SHOWN_S)
            positions.append(held)
            shift = (number - len(lines) / 2) * 0.0002  # lines that lie on each other stay visible
            axes.step(times, [each + shift for each in positions], where="post", label=line.name, linewidth=1.4)
        axes.set_xlabel("seconds from the first fill")
        axes.set_ylabel("position, BTC")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4, frameon=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path)
    chosen = parser.parse_args()
    if not RECORDING.exists():
        print(f"ABSENT: {RECORDING}; say with MM_SHARED where the shared files are", file=sys.stderr)
        return 1
    try:
        engines = [
            ours("mm-daemon, as shipped", {}),
            ours("mm-daemon, in the peers' manner", PEERS_MANNER),
            peer("hftbacktest", "hftbacktest", 100),
            peer("nautilus", "NautilusTrader", 100),
        ]
        varied = [ours(name, {**PEERS_MANNER, **change}) for name, change in CHOICES.items()]
        varied += [peer("hftbacktest", "hftbacktest", OFTENER_MS), peer("nautilus", "NautilusTrader", OFTENER_MS)]
    except (NoEnvironmentError, FailedError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    for part in (table(engines), fills_table(engines), table(varied)):
        print("\n".join(part) + "\n")
    if chosen.plot is not None:
        draw(engines, chosen.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
