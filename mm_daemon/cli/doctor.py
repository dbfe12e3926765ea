"""The verb `doctor`: before the first order, whether venue, account, clock and configuration fit each other."""

from typing import Annotated

from cyclopts import Parameter

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json, read_config, seconds


def doctor(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    paper: Annotated[bool, Parameter(negative=())] = False,
    watch: str = "3s",
    timeout: str = "10s",
    json: Json = False,
) -> int:
    """Ask the venues of a configuration everything a run will need. Only reads: sends no order and sets nothing.

    One line for each check: ok, warning, FAILED, or - where there is nothing to check; what to do stands below. Ends
    with 0, or with 83 when a check has failed.

    Parameters
    ----------
    config:
        Configuration file, the same one that `run` takes.
    paper:
        Judge as for `run --paper`, whatever the configuration says.
    watch:
        Watch each market for this long before saying what would be quoted.
    timeout:
        Longest wait for the answer to one check.
    json:
        Answer as one JSON object.
    """
    import asyncio

    from mm_daemon.doctor.examination import examine
    from mm_daemon.doctor.findings import EXIT_FAILED

    watch_s, timeout_s = seconds(watch, "--watch"), seconds(timeout, "--timeout")
    assert watch_s is not None
    assert timeout_s is not None
    found = asyncio.run(examine(read_config(config), paper=paper, timeout_s=timeout_s, watch_s=watch_s))
    print(found.to_json() if json else found.to_text())
    return 0 if found.ok else EXIT_FAILED
