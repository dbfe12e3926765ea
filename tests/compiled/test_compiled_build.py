"""The optional compiled build decides what the source decides, to the last byte.

`make compiled` builds it beside the source, from the source. A process finds it by PYTHONPATH; that of the tests does
not, so that both can be asked the same.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bench.processes import MM_DAEMON
from tests.shared import ROOT, SHARED, shared_file

pytestmark = pytest.mark.slow

_TESTED = (
    "core",
    "domain",
    "engine",
    "risk",
    "simulation",
    "backtest",
    "runtime",
    "observability",
    "connectors/binance",
    "connectors/hyperliquid",
    "connectors/recorded",
    "connectors/shared",
)
"""Folders of unit tests that look at what is compiled."""

_OF_ANOTHER_TYPE = (
    "tests/unit/risk/test_gate.py::test_numbers_sizes_and_notional_are_bounded",
    "tests/properties/test_signals_survive_anything.py::test_nothing_is_ever_not_finite",
)
"""They hand in floats for whole numbers, which compiled code refuses at the door, by a TypeError."""

_STRUCTS = """
import importlib, runpy, sys
import msgspec
for path in runpy.run_path(sys.argv[1])["HOT"]:
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    assert module.__file__.endswith(".so"), f"{path} is not compiled"
    for thing in vars(module).values():
        own = isinstance(thing, type) and thing.__module__ == module.__name__
        assert not (own and issubclass(thing, msgspec.Struct)), f"{path} defines the struct {thing.__name__}"
"""

_WRITTEN = """
from mm_daemon.dst.run import live_seed
for seed in range(1000, 1010):
    print(seed, live_seed(seed, 2000).digest)
"""


@pytest.fixture(scope="module")
def compiled() -> dict[str, str]:
    """The environment in which a process runs the compiled build."""
    made = subprocess.run(["make", "compiled"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return {**os.environ, "MM_SHARED": str(SHARED), "PYTHONPATH": str(ROOT / "build/compiled")}


def source() -> dict[str, str]:
    return {**os.environ, "MM_SHARED": str(SHARED), "PYTHONPATH": str(ROOT)}


def run(command: Sequence[str], environment: dict[str, str], cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_every_module_that_is_named_is_compiled_and_defines_no_struct(compiled: dict[str, str], tmp_path: Path) -> None:
    run([sys.executable, "-c", _STRUCTS, str(ROOT / "setup.py")], compiled, tmp_path)


def test_it_says_what_it_is(compiled: dict[str, str]) -> None:
    assert run([*MM_DAEMON, "--version"], compiled).strip().endswith(" (compiled)")
    assert "compiled" not in run([*MM_DAEMON, "--version"], source())


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ("deploy/examples/recorded-binance-usdm.yaml", ()),
        ("deploy/examples/recorded-two-venues.yaml", ()),
        ("deploy/examples/recorded-hyperliquid.yaml", ()),
        ("config.yaml", ("--duration", "10m")),
        ("deploy/examples/embedded-dangerous.yaml", ("--duration", "10m")),
        *(
            ("config.yaml", ("--duration", "2m", "--set", f"markets.BTC-USDT.model={model}"))
            for model in ("avellaneda_stoikov", "cartea_jaimungal", "fixed_spread", "glft_exact", "ho_stoll")
        ),
    ],
)
def test_journals_are_equal_to_the_last_byte(
    compiled: dict[str, str], tmp_path: Path, config: str, options: tuple[str, ...]
) -> None:
    """And what the source wrote is relived by the compiled build without a difference."""
    journals, reports = [], []
    for name, environment in (("source", source()), ("compiled", compiled)):
        journals.append(tmp_path / f"{name}.journal")
        command = [*MM_DAEMON, "backtest", "--config", config, "--json", "--journal", str(journals[-1]), *options]
        reports.append(json.loads(run(command, environment)))
        del reports[-1]["wall_seconds"], reports[-1]["journal"]
    assert journals[0].stat().st_size > 10_000
    assert journals[0].read_bytes() == journals[1].read_bytes()
    assert reports[0] == reports[1]
    run([*MM_DAEMON, "replay", "--verify", str(journals[0])], compiled)


def test_simulations_with_faults_are_equal(compiled: dict[str, str]) -> None:
    """Thirty seeds of `mm-daemon dst`: the same steps, turns, lives and happenings, and no violation."""
    command = [*MM_DAEMON, "dst", "--seeds", "30", "--workers", "2", "--json"]
    seen = [json.loads(run(command, environment)) for environment in (source(), compiled)]
    for each in seen:
        assert not each["violations"]
        del each["seconds"]
    assert seen[0] == seen[1]


def test_simulations_with_faults_write_the_same_bytes(compiled: dict[str, str], tmp_path: Path) -> None:
    """Journals of every life, checkpoints and all."""
    seen = [run([sys.executable, "-c", _WRITTEN], environment, tmp_path) for environment in (source(), compiled)]
    assert seen[0] == seen[1]


def test_the_tests_of_the_source_pass(compiled: dict[str, str]) -> None:
    """Vectors, laws and units. The packages are loaded before pytest puts the source in front of them."""
    shared_file("design/model_vectors.json")
    folders = [f"tests/unit/{name}" for name in _TESTED]
    pytest_ = [str(Path(sys.executable).parent / "pytest"), "-p", "mm_daemon", "-p", "connectors", "-q", "-n", "2"]
    without = [f"--deselect={name}" for name in _OF_ANOTHER_TYPE]
    told = run([*pytest_, "-m", "not slow", *without, *folders, "tests/vectors", "tests/properties"], compiled)
    assert " passed" in told
