"""Compression and retention: what is closed is packed, what is old is gone, what is needed stays."""

import os
from pathlib import Path

import pytest

from mm_daemon.domain.events import RunStarted
from mm_daemon.journal.format import Family
from mm_daemon.journal.keeping import Keeper, Retention
from mm_daemon.journal.segments import compress, damage_of, runs_in, segments_of
from tests.unit.journal.runs import flat, read, turns, write

HOUR_S = 3600.0
NOW_S = 1_700_000_000.0
RETENTION = Retention(market_keep_s=6 * HOUR_S, trade_keep_s=90 * 24 * HOUR_S, free_bytes=0)


def keeper(folder: Path, retention: Retention = RETENTION) -> Keeper:
    return Keeper(folder, retention, now_s=lambda: NOW_S)


def aged(folder: Path, hours: float, family: Family | None = None) -> None:
    for segment in segments_of(folder, family):
        os.utime(segment.path, (NOW_S - hours * HOUR_S,) * 2)


def test_closed_segments_are_compressed_and_open_ones_left(tmp_path: Path) -> None:
    """The run reads the same before and after, while it is being written and when it is over."""
    units = turns(80)
    writer = write(tmp_path / "run", units[:60], segment_bytes=500)
    aged(tmp_path / "run", 0)
    kept = keeper(tmp_path).keep(writer.open_segments)
    plain = [segment for segment in segments_of(tmp_path / "run") if not segment.compressed]
    assert plain == list(writer.open_segments)
    assert kept.compressed == len(segments_of(tmp_path / "run")) - 2
    assert read(tmp_path / "run")[0] == flat(units[:60])
    for unit in units[60:]:
        writer.append(unit)
        writer.flush()
    writer.close()
    aged(tmp_path / "run", 0)
    keeper(tmp_path).keep(())
    assert all(segment.compressed for segment in segments_of(tmp_path / "run"))
    records, reader = read(tmp_path / "run")
    assert (records, reader.fault) == (flat(units), None)
    assert reader.good_bytes == reader.size_bytes


def test_segments_opened_during_a_round_are_left(tmp_path: Path) -> None:
    """The writer may go on to the next segment while another thread keeps house."""
    writer = write(tmp_path / "run", turns(20), segment_bytes=500)
    in_use = writer.open_segments
    writer.append(turns(400)[1] * 50)
    writer.flush()
    assert writer.open_segments[0].number > in_use[0].number
    keeper(tmp_path).keep(in_use)
    assert not segments_of(tmp_path / "run", Family.MARKET)[-1].compressed
    writer.close()


def test_old_market_segments_go_and_trade_segments_stay(tmp_path: Path) -> None:
    """Hours for market data, days for orders."""
    write(tmp_path / "run", turns(60), segment_bytes=500).close()
    aged(tmp_path / "run", 7)
    kept = keeper(tmp_path).keep(())
    assert kept.deleted[0] == "run/market-000001.mmj"
    assert (kept.deleted_early, kept.problems) == (0, ())
    assert segments_of(tmp_path / "run", Family.MARKET) == []
    assert segments_of(tmp_path / "run", Family.TRADE)


def test_old_trade_segments_go_but_the_first_of_a_run_that_has_others(tmp_path: Path) -> None:
    """What a run was started with is kept as long as anything of it; a run that is over goes whole."""
    writer = write(tmp_path / "run", turns(60), segment_bytes=500)
    aged(tmp_path / "run", 91 * 24)
    keeper(tmp_path).keep(writer.open_segments)
    numbers = [segment.number for segment in segments_of(tmp_path / "run", Family.TRADE)]
    assert numbers == [1, writer.open_segments[1].number]
    writer.close()
    records, reader = read(tmp_path / "run")
    assert reader.fault is None
    assert isinstance(records[0], RunStarted)
    aged(tmp_path / "run", 91 * 24)
    keeper(tmp_path).keep(())
    assert runs_in(tmp_path) == []


def test_low_disk_takes_the_oldest_market_data_first_and_says_so(tmp_path: Path) -> None:
    """Trade segments and what is being written never go for want of space; what is short is told."""
    write(tmp_path / "a", turns(60), segment_bytes=500).close()
    writer = write(tmp_path / "b", turns(60), segment_bytes=500)
    aged(tmp_path / "a", 2)
    aged(tmp_path / "b", 1)
    kept = keeper(tmp_path, Retention(market_keep_s=1e9, trade_keep_s=1e9, free_bytes=1 << 60)).keep(
        writer.open_segments
    )
    assert kept.deleted_early == len(kept.deleted) > 0
    assert kept.deleted[0] == "a/market-000001.mmj"
    assert "free" in kept.problems[0]
    assert [s.path for s in segments_of(tmp_path / "b", Family.MARKET)] == [writer.open_segments[0].path]
    assert segments_of(tmp_path / "a", Family.TRADE)
    writer.close()


def test_a_death_during_compression_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the name is given and before the plain form is gone: the run reads the same, and is packed next time."""
    units = turns(60)
    for step in ("pathlib.Path.replace", "pathlib.Path.unlink"):
        folder = tmp_path / step
        write(folder, units, segment_bytes=500).close()
        path = segments_of(folder, Family.MARKET)[1].path

        def death(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(step, death)
            compress(path)
        assert read(folder)[0] == flat(units)
        assert compress(path) is not None
        assert read(folder)[0] == flat(units)


def test_a_compressed_segment_is_one_frame_any_tool_reads(tmp_path: Path) -> None:
    """Our trailer is a frame that decompressors skip."""
    zstandard = pytest.importorskip("zstandard")
    write(tmp_path / "run", turns(60)).close()
    path = segments_of(tmp_path / "run", Family.MARKET)[0].path
    plain = path.read_bytes()
    packed = compress(path)
    assert packed is not None
    assert not path.exists()
    assert len(packed.read_bytes()) < len(plain)
    assert damage_of(packed) is None
    assert zstandard.ZstdDecompressor().decompress(packed.read_bytes()) == plain
    assert packed.stat().st_mode & 0o077 == 0


def test_compression_stops_when_asked(tmp_path: Path) -> None:
    """A shutdown does not wait for a large segment, and the segment stays as it was."""
    write(tmp_path / "run", turns(60)).close()
    path = segments_of(tmp_path / "run", Family.MARKET)[0].path
    assert compress(path, stop=lambda: True) is None
    assert path.exists()
    stopped = keeper(tmp_path)
    stopped.stop()
    aged(tmp_path / "run", 0)
    assert stopped.keep(()).compressed == 0
