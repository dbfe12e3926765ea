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

from mm_daemon.observability.histogram import Histogram
from mm_daemon.observability.metric_names import DEFINITIONS
from mm_daemon.observability.metrics import Metrics

FILE = "metrics.json"
_LABELS = {definition.name: definition.labels for definition in DEFINITIONS}


class Samples:
    """All samples by name, each with its labels and its value; histograms are left out. A value that is no number is
    null.
    """

    def __init__(self) -> None:
        self.by_name: dict[str, list[dict[str, object]]] = {}

    def add(self, name: str, value: float, *labels: str) -> None:
        named = dict(zip(_LABELS[name], labels, strict=True))
        self.by_name.setdefault(name, []).append({**named, "value": float(value) if value == value else None})

    def add_histogram(self, name: str, histogram: Histogram, *labels: str) -> None:
        pass


async def taken(metrics: Metrics, wall_ns: int) -> bytes:
    """What they are now, the process's own figures too, without keeping anybody waiting."""
    samples = Samples()
    await metrics.pace.walk(metrics.fill(samples))
    for sample in metrics.of_process():
        samples.by_name.setdefault(sample.name, []).append({**sample.labels, "value": sample.value})
    parts = await metrics.pace.walk(
        b'"%s":%s' % (name.encode(), msgspec.json.encode(values)) for name, values in samples.by_name.items()
    )
    at = datetime.fromtimestamp(wall_ns / 1e9, UTC)
    return b'{"time":"%s","metrics":{%s}}' % (f"{at:%Y-%m-%dT%H:%M:%S.%f}Z".encode(), b",".join(parts))


async def keep(
    folder: Path, every_s: float, metrics: Metrics, wall_ns: Callable[[], int], failed: Callable[[str], None]
) -> None:
    """Write it until cancelled; a disk that does not take it is told once, and tried again."""
    told = False
    while True:
        try:
            await asyncio.to_thread(_write, folder / FILE, await taken(metrics, wall_ns()))
            told = False
        except OSError as error:
            if not told:
                failed(f"{folder / FILE} cannot be written: {error.strerror or error}")
            told = True
        await asyncio.sleep(every_s)


def _write(path: Path, text: bytes) -> None:
    """Whoever reads meanwhile sees the old file or the new one."""
    beside = path.with_suffix(".json.new")
    beside.write_bytes(text)
    os.replace(beside, path)
