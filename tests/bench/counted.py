"""The process whose instructions are counted: `python -m tests.bench.counted STAGE RECORDING DEPTH_FRAMES`.

It plays the recording until its book stands and some frames more, then a slice of so many depth frames with the trades
and best prices between them. Each stage does what the stage before it did and one thing more on the slice, so that two
counts differ by just that: nothing; best prices to the engine; trades too; depth frames decoded; applied; decided on
(a full decision on each, and a venue's acceptance of what came of it). Start-up and warming up are the same in all.
"""

import gc
import sys
from pathlib import Path

from connectors.recorded.reader import WireLog
from tests.bench.frames import KINDS, Frames, kind_of
from tests.bench.venue import replies
from tests.bench.ways import EVERY_FRAME_MS, binance

STAGES = ("nothing", "bookTicker", "trade", "decode", "apply", "decide")
WARM_DEPTH_FRAMES = 100


def parted(recording: Path, depth_frames: int) -> tuple[Frames, Frames]:
    """(frames to warm up with, the slice)."""
    warm: Frames = []
    counted: Frames = []
    depth = 0
    for ts_local_ns, frame in WireLog(recording).frames():
        depth += kind_of(frame) == "depth"
        if depth > WARM_DEPTH_FRAMES + depth_frames:
            break
        (warm if depth <= WARM_DEPTH_FRAMES else counted).append((ts_local_ns, frame))
    return warm, counted


def main(stage: str, recording: str, depth_frames: str) -> None:
    level = STAGES.index(stage)
    warm, counted = parted(Path(recording), int(depth_frames))
    way = binance(EVERY_FRAME_MS)
    core, translate = way.core, way.translate

    def take(ts_local_ns: int, frame: bytes, decide: bool) -> None:
        for event in translate(frame, ts_local_ns):
            core.apply(event)
        if decide:
            for reply in replies(core.decide(ts_local_ns).released, ts_local_ns):
                core.apply(reply)

    for ts_local_ns, frame in warm:
        take(ts_local_ns, frame, decide=True)
    assert core.full_decisions > WARM_DEPTH_FRAMES / 2
    wanted = [(ts_local_ns, frame, kind_of(frame)) for ts_local_ns, frame in counted]
    gc.collect()
    gc.freeze()  # as the daemon does; a full collection would be more than a step
    for ts_local_ns, frame, kind in wanted:
        if kind == "depth":
            if level == STAGES.index("decode"):
                translate(frame, ts_local_ns)
            elif level > STAGES.index("decode"):
                take(ts_local_ns, frame, decide=level == STAGES.index("decide"))
        elif level >= STAGES.index(kind):
            take(ts_local_ns, frame, decide=False)
    counts = {kind: sum(each == kind for _, _, each in wanted) for kind in KINDS}
    sys.stdout.write(f"{counts['bookTicker']} {counts['trade']} {counts['depth']}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
