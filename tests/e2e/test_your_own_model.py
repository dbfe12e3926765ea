"""A pricing model of somebody else's package, installed beside the daemon, quotes: the files of the page for authors.

The package is laid out as an installer would, from the page's own pyproject, without a network.
"""

import json
import math
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mm_daemon.domain.decisions import DecisionsChanged
from mm_daemon.domain.orders import Side
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.journal.log import JournalReader
from tests.shared import ROOT

pytestmark = pytest.mark.e2e

PAGE = ROOT / "deploy/docs/your-own-model.md"


def files_of_the_page() -> dict[str, str]:
    """The fenced blocks that carry a file name."""
    return dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the package as `pip install --target` leaves it; the configuration stands beside it."""
    files = files_of_the_page()
    project = tomllib.loads(files["pyproject.toml"])
    name, version = project["project"]["name"], project["project"]["version"]
    target = tmp_path / "site"
    info = target / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, entries in project["project"]["entry-points"].items():
        lines += [f"[{group}]", *(f"{entry} = {where}" for entry, where in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module in project["tool"]["setuptools"]["py-modules"]:
        (target / f"{module}.py").write_text(files[f"{module}.py"])
    (tmp_path / "my.yaml").write_text(files["my.yaml"])
    return target


def mm_daemon(site: Path, *arguments: str, installed: bool = True) -> subprocess.CompletedProcess[str]:
    """A verb in a new process, in the folder of the configuration."""
    path = os.pathsep.join([*([str(site)] if installed else []), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "mm_daemon.cli", *arguments],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_example_of_the_page_quotes(site: Path) -> None:
    """Found by its entry point, it prices every decision by its own formula, and the journal verifies with it."""
    listed = mm_daemon(site, "connectors", "--json")
    assert {"kind": "model", "name": "my_model", "package": "my-models", "target": "my_models:StraightLine"} in (
        json.loads(listed.stdout)
    )
    backtest = mm_daemon(
        site, "backtest", "--config", "my.yaml", "--duration", "5s", "--json", "--journal", "the.journal"
    )
    assert backtest.returncode == 0, backtest.stderr
    assert json.loads(backtest.stdout)["orders_placed"] > 0
    priced = 0
    with JournalReader(site.parent / "the.journal") as reader:
        for frame in reader:
            for record in frame.records:
                if not isinstance(record, DecisionsChanged) or record.inputs.half_spread_bps is None:
                    continue
                half, sigma = record.inputs.half_spread_bps, record.inputs.sigma_bps
                assert sigma is not None
                assert half == pytest.approx(0.2 + 0.5 + math.sqrt(2.0) * sigma)  # fee, 1/k, risk
                assert record.inputs.skew_bps == pytest.approx(0.01 * half)
                priced += 1
    assert priced > 3
    verified = mm_daemon(site, "replay", "the.journal", "--verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_signal_of_the_page_moves_the_quotes(site: Path) -> None:
    """It is told of books and prints: quotes stand off the fair price towards the thinner side, within its half a bp
    and `max_shift_bps`; the journal verifies with it.
    """
    config = site.parent / "my.yaml"
    for keys, most in (("model: my_signal", 0.5), ("model: my_signal, max_shift_bps: 0.2", 0.2)):
        config.write_text(files_of_the_page()["my.yaml"].replace("model: my_model", keys + ", fair_price: mid"))
        journal = f"{most}.journal"
        played = mm_daemon(site, "backtest", "--config", "my.yaml", "--duration", "5s", "--json", "--journal", journal)
        assert played.returncode == 0, played.stderr
        moved = []
        with JournalReader(site.parent / journal) as reader:
            records = [record for frame in reader for record in frame.records]
        for record in records:
            if not isinstance(record, DecisionsChanged) or record.inputs.half_spread_bps is None:
                continue
            half, mid = record.inputs.half_spread_bps, record.inputs.mid_ticks
            for decision in record.decisions:
                if decision.target is not None and mid and record.inputs.q == 0.0:
                    sign = 1 if decision.side is Side.BUY else -1
                    depth = sign * (mid - decision.target.raw_ticks) / mid * 1e4
                    moved.append(sign * (half - depth))
        assert any(abs(bps) > 0.8 * most for bps in moved)
        assert all(abs(bps) <= most + 1e-6 for bps in moved)
        verified = mm_daemon(site, "replay", journal, "--verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_wrong_name_is_answered_with_the_known_ones(site: Path) -> None:
    """The nearest where there is one, else all of them, at the line; nothing is started, exit 78."""
    config = site.parent / "my.yaml"
    config.write_text(config.read_text().replace("model: my_model", "model: my_modle"))
    near = mm_daemon(site, "backtest", "--config", "my.yaml", "--duration", "5s")
    assert near.returncode == 78
    assert "no pricing model is called 'my_modle' (did you mean 'my_model'?)" in near.stderr
    config.write_text(config.read_text().replace("my_modle", "xyz"))
    far = mm_daemon(site, "check", "--config", "my.yaml")
    assert far.returncode == 78
    known = ", ".join(sorted([*MODELS, "my_model", "my_signal"]))
    assert f"there are {known}" in far.stdout + far.stderr


def test_without_the_package_its_name_is_unknown(site: Path) -> None:
    """A machine that lacks it says so before anything starts, and a journal of it cannot be replayed as if."""
    missing = mm_daemon(site, "backtest", "--config", "my.yaml", "--duration", "5s", installed=False)
    assert missing.returncode == 78
    assert "no pricing model is called 'my_model'" in missing.stderr
    mm_daemon(site, "backtest", "--config", "my.yaml", "--duration", "1s", "--journal", "the.journal")
    replayed = mm_daemon(site, "replay", "the.journal", "--verify", installed=False)
    assert replayed.returncode != 0
    assert "my_model" in replayed.stdout + replayed.stderr
    assert "Traceback" not in replayed.stderr
