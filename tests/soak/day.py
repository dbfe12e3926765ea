"""A process that lives through hours of the embedded market and tells, each hour, what it holds.

`python -m tests.soak.day FOLDER HOURS`, alone and without pytest, so that memory, files and tasks are the daemon's own:
the whole daemon with its journal, control and metrics, on virtual time. An operator pauses, resumes and reloads every
hour. Prints one JSON array of `Held`. Linux only: reads /proc/self.
"""

import asyncio
import gc
import io
import os
import resource
import sys
from pathlib import Path

import msgspec

from mm_daemon import registry
from mm_daemon.config.load import loads
from mm_daemon.domain.events import OperatorAction, OperatorRequest
from mm_daemon.runtime.app import Daemon
from mm_daemon.runtime.clock import Clock
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual

HOUR_S = 3600.0
TEXT = """
version: 1
state_dir: {state_dir}
log: {{format: json, level: warning}}
http: {{port: null}}
journal: {{segment_mb: 4}}
venues:
  sim: {{connector: sim}}
defaults: {{levels: 2, model: glft_exact, calibration: market, toxic_cool_down_ms: 500, regime_power: 0.5}}
markets:
  - {{venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.05}}
  - {{venue: sim, symbol: ETH-USDT, order_size: 0.1, max_position: 0.5}}
"""


class Held(msgspec.Struct):
    """What the process holds at one moment."""

    hour: float
    resident_mib: float
    files: int
    tasks: int
    series: int
    journal_mib: float
    events: int
    fills: int


class Forgetful(io.StringIO):
    """A log nobody reads."""

    def write(self, text: str) -> int:
        return len(text)


async def live(loop: VirtualLoop, folder: Path, hours: int) -> list[Held]:
    text = TEXT.format(state_dir=folder / "state")
    file = folder / "config.yaml"
    await asyncio.to_thread(file.write_text, text, "utf-8")
    config = loads(text, str(file), settings_of=registry.settings_of, environ=os.environ)
    daemon = Daemon(
        config,
        paper=False,
        duration_s=hours * HOUR_S + 60.0,
        clock=Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns),
        log_to=Forgetful(),
    )
    held: list[Held] = []

    async def look() -> None:
        for hour in range(1, hours + 1):
            await asyncio.sleep((hour - 0.5) * HOUR_S - loop.time())
            await _operate(daemon, loop, file, text, hour)
            await asyncio.sleep(hour * HOUR_S - loop.time())
            held.append(_held(daemon, folder, hour))

    async with asyncio.TaskGroup() as group:
        running = group.create_task(daemon.run())
        group.create_task(look())
    if running.result():
        raise SystemExit(f"the daemon ended with {running.result()}")
    return held


async def _operate(daemon: Daemon, loop: VirtualLoop, file: Path, text: str, hour: int) -> None:
    """What an operator does in an hour."""
    daemon.inbox.put(OperatorRequest(loop.now_ns(), OperatorAction.PAUSE, "soak"))
    await asyncio.sleep(5.0)
    daemon.inbox.put(OperatorRequest(loop.now_ns(), OperatorAction.RESUME, "soak"))
    await asyncio.to_thread(file.write_text, text.replace("levels: 2", f"levels: {1 + hour % 3}"), "utf-8")
    changed, _ = await daemon.reloader.read("soak")
    if changed is not None:
        daemon.inbox.put(changed)


def _held(daemon: Daemon, folder: Path, hour: float) -> Held:
    gc.collect()
    page = daemon.view.metrics.text_at_once()
    status = daemon.view.status()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return Held(
        hour,
        pages * resource.getpagesize() / (1 << 20),
        len(list(Path("/proc/self/fd").iterdir())),
        len(asyncio.all_tasks()),
        sum(1 for line in page.splitlines() if line and not line.startswith(b"#")),
        sum(path.stat().st_size for path in folder.glob("state/journal/*/*")) / (1 << 20),
        status.events,
        sum(market.fills for market in status.markets),
    )


def main(folder: str, hours: str) -> None:
    held = run_virtual(lambda loop: live(loop, Path(folder), int(hours)))
    sys.stdout.write(msgspec.json.encode(held).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
