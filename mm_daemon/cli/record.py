"""Verbs of recordings: record what venues send, convert it."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json, read_config, seconds

_GIB = 1 << 30


def record(
    *,
    out: Path,
    config: ConfigPath = DEFAULT_CONFIG,
    market: tuple[str, ...] = (),
    length: Annotated[str | None, Parameter(name="--for")] = None,
    max_gib: float | None = None,
    when_full: Literal["delete-oldest", "stop"] = "delete-oldest",
    events: Literal["auto", "always", "never"] = "auto",
    json: Json = False,
) -> int:
    """Record what the venues of a configuration send, frame by frame. Trades nothing and needs no key.

    Parameters
    ----------
    out:
        Folder for the recordings, one folder a venue; an earlier recording there is continued.
    config:
        Configuration file whose venues and markets are recorded.
    market:
        Only these: VENUE or VENUE:SYMBOL; may be given several times.
    length:
        Stop after this long: 90s, 1h, 7d. Without it, on Ctrl-C.
    max_gib:
        Most disk space of all that is recorded here, earlier recordings of the same venues included, GiB.
    when_full:
        What happens then: delete-oldest makes room, hour by hour; stop ends the recording.
    events:
        Keep the events beside the frames: auto where no translator can read the frames later.
    json:
        Answer as one JSON object.
    """
    import sys
    import time

    from mm_daemon.domain.errors import UsageError
    from mm_daemon.observability.logs import catch_third_parties, open_log

    duration_s = seconds(length, "--for")
    if max_gib is not None and not 0 < max_gib < 1 << 20:
        raise UsageError(f"--max-gib {max_gib}: must be above 0")
    loaded = read_config(config)
    from mm_daemon.runtime.recording.recorder import RecordSettings, run

    log = open_log(
        sys.stderr,
        people=loaded.log.format == "console" or (loaded.log.format == "auto" and sys.stderr.isatty()),
        now_ns=time.time_ns,
        level=loaded.log.level,
        secrets=[text for venue in loaded.venues.values() for text in venue.secrets.values()],
    )
    catch_third_parties(log)
    settings = RecordSettings(
        out=out,
        max_bytes=None if max_gib is None else round(max_gib * _GIB),
        when_full=when_full,
        duration_s=duration_s,
        markets=market,
        events=events,
    )
    recorded = run(loaded, settings, log)
    if json:
        import msgspec

        print(msgspec.json.encode(recorded).decode())
        return 0
    for name, (frames, size) in recorded.folders.items():
        print(f"{out / name}: {frames} frames, {size / (1 << 20):.2f} MiB")
    if recorded.lost:
        why = "the disk bound was reached" if recorded.full else "the disk was too slow"
        print(f"{recorded.lost} frames were lost because {why}; the index says where")
    if recorded.full:
        print("stopped: the disk bound is reached (--max-gib, --when-full)")
    return 0


def convert(
    source: Path,
    out: Path,
    /,
    *,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    venue: str | None = None,
    symbol: tuple[str, ...] = (),
    to: Literal["npz", "parquet", "collector"] | None = None,
    damaged: Literal["stop", "skip"] | None = None,
    json: Json = False,
) -> int:
    """Write a recording in another form: hftbacktest's array or collector file, or Parquet.

    Parameters
    ----------
    source:
        The recording: whatever `connector: recorded` reads.
    out:
        FILE.npz: hftbacktest's array; FILE.gz: a file of its collector; otherwise a folder of Parquet files.
    config:
        Configuration whose recorded venue says translator and contracts; not needed where the recording knows them.
    venue:
        Which venue of the configuration, or which of a journal.
    symbol:
        Only these symbols; may be given several times.
    to:
        The form, where the name of the file does not say it.
    damaged:
        Stop at the first damaged place, or skip it.
    json:
        Answer as one JSON object.
    """
    from mm_daemon.backtest.convert.recording import convert as write
    from mm_daemon.backtest.convert.recording import form_of, open_feed

    loaded = None if config is None else read_config(config)
    feed = open_feed(source, config=loaded, venue=venue, symbols=symbol, damaged=damaged)
    done = write(feed, out, form_of(out, to))
    if json:
        import msgspec

        print(msgspec.json.encode(done).decode())
        return 0
    for note in done.notes:
        print(f"note: {note}")
    for file in done.files:
        print(file)
    print(f"{done.rows} rows")
    return 0
