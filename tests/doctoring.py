"""What tests of `mm-daemon doctor` share: a configuration written and read as the verb does, and what it found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mm_daemon import registry
from mm_daemon.config.load import load
from mm_daemon.config.schema import Config
from mm_daemon.doctor.examination import examine
from mm_daemon.doctor.findings import Report
from mm_daemon.ports.examination import Check, Verdict

WATCH_S = 0.05


def config_of(
    folder: Path,
    venue: Mapping[str, Any],
    market: Mapping[str, Any],
    *,
    name: str = "venue",
    secrets: Mapping[str, str] | None = None,
    mode: str = "live",
    **more: Any,
) -> Config:
    """One venue and one market; the secrets come from the environment."""
    environ = {f"TEST_{key.upper()}": value for key, value in (secrets or {}).items()}
    keys = {key: {"env": f"TEST_{key.upper()}"} for key in secrets or {}}
    usual = {"max_position": market["order_size"] * 5, "collar_bps": 200, "k": 0.5, "max_spread_bps": 50}
    made = {
        "version": 1,
        "mode": mode,
        "state_dir": str(folder / "state"),
        "risk": {"max_loss": 50},
        "venues": {name: {**venue, **({"secrets": keys} if keys else {})}},
        "markets": [{"venue": name, **usual, **market}],
        **more,
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(made), "utf-8")
    return load(file, settings_of=registry.settings_of, environ=environ)


async def examined(config: Config, **keys: Any) -> Report:
    return await examine(config, **{"watch_s": WATCH_S, "timeout_s": 5.0, **keys})


def found(report: Report, name: str, venue: str | None = None) -> list[Check]:
    """The findings of a name."""
    return [
        check for each in report.venues if venue in (None, each.venue) for check in each.checks if check.name == name
    ]


def verdicts(report: Report, name: str) -> list[Verdict]:
    return [check.verdict for check in found(report, name)]


def the(report: Report, name: str) -> Check:
    """The only finding of a name."""
    checks = found(report, name)
    assert len(checks) == 1, (name, report.to_text())
    return checks[0]


def failures(report: Report) -> set[str]:
    return {check.name for each in report.venues for check in each.checks if check.verdict is Verdict.FAILED}
