"""`metrics.json`: the same samples as `/metrics`, written whole, a failing disk told once."""

import asyncio
import json
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from mm_daemon.observability.snapshot import FILE, keep, taken
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.unit.observability.test_metrics import Counted


def test_it_has_every_sample_but_histograms(tmp_path: Path) -> None:
    """By name, with labels and value."""
    metrics = Counted(tmp_path).metrics
    read = json.loads(asyncio.run(taken(metrics, 1_700_000_000_123_456_000)))
    assert read["time"] == "2023-11-14T22:13:20.123456Z"
    shown = [
        (sample.name, sorted(sample.labels.items()), sample.value)
        for family in text_string_to_metric_families(metrics.text_at_once().decode())
        if family.type != "histogram" and family.name.startswith("mm_") and family.name != "mm_journal_free_bytes"
        for sample in family.samples
    ]
    kept = [
        (name, sorted((key, value) for key, value in sample.items() if key != "value"), sample["value"])
        for name, samples in read["metrics"].items()
        if name.startswith("mm_") and name != "mm_journal_free_bytes"  # somebody else may write meanwhile
        for sample in samples
    ]
    assert sorted(map(repr, kept)) == sorted(map(repr, shown))


def test_a_disk_that_fails_is_told_once_and_tried_again(tmp_path: Path) -> None:
    """And whatever is there is always whole."""
    metrics = Counted(tmp_path).metrics
    folder = tmp_path / "state"
    failures: list[str] = []

    async def main(_: VirtualLoop) -> None:
        task = asyncio.ensure_future(keep(folder, 60.0, metrics, lambda: 0, failures.append))
        await asyncio.sleep(150)
        assert len(failures) == 1
        folder.mkdir()
        await asyncio.sleep(60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_virtual(main)
    assert "cannot be written: No such file or directory" in failures[0]
    assert [path.name for path in folder.iterdir()] == [FILE]
    assert json.loads((folder / FILE).read_text())["time"] == "1970-01-01T00:00:00.000000Z"
