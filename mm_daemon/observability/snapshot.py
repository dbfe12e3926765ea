"""`metrics.json` in the state directory, written anew every minute: the figures of `/metrics` for whoever runs no
Prometheus: a script, a cron job, another monitor.

    {"time": "2026-11-26T09:00:00.000000Z", "metrics": {"mm_position": [{"symbol": "BTC-USDT", ..., "value": 0.01}]}}
"""

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mm_daemon.observability.metrics import Taken

FILE = "metrics.json"


def as_json(taken: Taken, wall_ns: int) -> bytes:
    """All samples by name, each with its labels and its value; histograms are left out. A value that is no number is
    null."""
    metrics: dict[str, list[dict[str, object]]] = {}
    for family in taken.collect():
        if family.type == "histogram":
            continue
        for sample in family.samples:
            value = sample.value if sample.value == sample.value else None
            metrics.setdefault(sample.name, []).append({**sample.labels, "value": value})
    at = datetime.fromtimestamp(wall_ns / 1e9, UTC)
    return msgspec.json.encode({"time": f"{at:%Y-%m-%dT%H:%M:%S.%f}Z", "metrics": metrics})


async def keep(
    folder: Path, every_s: float, take: Callable[[], Taken], wall_ns: Callable[[], int], failed: Callable[[str], None]
) -> None:
    """Write it until cancelled; a disk that does not take it is told once, and tried again."""
    told = False
    while True:
        try:
            await asyncio.to_thread(_write, folder / FILE, take(), wall_ns())
            told = False
        except OSError as error:
            if not told:
                failed(f"{folder / FILE} cannot be written: {error.strerror or error}")
            told = True
        await asyncio.sleep(every_s)


def _write(path: Path, taken: Taken, wall_ns: int) -> None:
    """Whoever reads meanwhile sees the old file or the new one."""
    beside = path.with_suffix(".json.new")
    beside.write_bytes(as_json(taken, wall_ns))
    os.replace(beside, path)
