"""The verb `dst`: the whole daemon in a simulated world of faults, thousands of seeds, invariants after every step."""

import os
import sys

from mm_daemon.cli.options import Json


def dst(
    *,
    seeds: int = 20,
    steps: int = 2000,
    seed: int = 1,
    workers: int | None = None,
    json: Json = False,
) -> int:
    """Simulate the daemon with seeded faults around it, check its invariants at every step, and say what was tried.

    Exit code 1 when an invariant broke, or when something happened that cannot: the report has the seed, the last
    events and the command line to see it again.

    Parameters
    ----------
    seeds:
        How many seeds to live, one after the other.
    steps:
        Steps of each: turns of the core and things that happen to it.
    seed:
        The first seed; the next ones follow.
    workers:
        Processes to use; one for each core of the machine by default.
    json:
        Answer as one JSON object.
    """
    from mm_daemon.domain.errors import CoreError, UsageError

    if seeds < 1 or steps < 1:
        raise UsageError("--seeds and --steps must be at least 1")
    if not 0 <= seed < 1 << 63:
        raise UsageError(f"--seed {seed}: must be a whole number at least 0 and below 2^63")
    if workers is not None and workers < 1:
        raise UsageError("--workers must be at least 1")
    from time import monotonic

    from mm_daemon.dst.run import simulate
    from mm_daemon.dst.world import Outcome

    done = 0

    def told(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        if outcome.breach is not None:
            print(f"seed {outcome.seed}: {outcome.breach[:200]}", file=sys.stderr)
        if sys.stderr.isatty():
            print(f"\r{done}/{seeds} seeds", end="\n" if done == seeds else "", file=sys.stderr, flush=True)

    count = workers or os.cpu_count() or 1
    began_s = monotonic()
    report = simulate(range(seed, seed + seeds), steps, workers=min(count, seeds), told=told)
    report.seconds = monotonic() - began_s
    print(report.to_json().decode() if json else report.to_text())
    return 0 if report.holds else CoreError.exit_code
