"""The command line as a person meets it: exit codes, words instead of tracebacks, JSON where it is asked for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mm_daemon.cli.main import execute
from mm_daemon.cli.options import seconds
from mm_daemon.domain.errors import UsageError
from tests.shared import shared_file


@pytest.fixture
def config(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A first configuration in an empty folder that is also the working directory."""
    monkeypatch.chdir(tmp_path)
    assert execute(["init"]) == 0
    capsys.readouterr()
    return tmp_path / "config.yaml"


def test_init_writes_once_and_never_over_something(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second `init` says so, exits 64 and leaves the file alone."""
    config.write_text("mine")
    assert execute(["init"]) == 64
    assert "exists already" in capsys.readouterr().err
    assert config.read_text() == "mine"
    assert execute(["init", "no/such/folder/c.yaml"]) == 64


def test_check_approves_and_names_the_markets(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A right configuration exits 0, in words and as JSON."""
    assert execute(["check"]) == 0
    assert "ok, 2 markets: sim:BTC-USDT, sim:ETH-USDT" in capsys.readouterr().out
    assert execute(["check", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_check_says_everything_that_is_wrong(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every mistake on a line of its own, exit 78, nothing started; the same as JSON."""
    config.write_text(config.read_text().replace("gamma: 0.05", "gama: 0.05").replace("seed: 1 ", "seed: -1"))
    assert execute(["check"]) == 78
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert told[0].startswith("config.yaml:8:7: seed: is -1, must be a whole number at least 0")
    assert "defaults.gama: unknown key (did you mean 'gamma'?)" in told[1]
    assert told[2] == "2 mistakes; nothing was started"
    assert execute(["check", "--json"]) == 78
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [problem["path"] for problem in problems] == ["seed", "defaults.gama"]
    assert problems[0]["place"]["line"] == 8


def test_check_fits_sizes_to_the_venue(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What only the venue's lot shows is found too, where the venue needs no network."""
    config.write_text(config.read_text().replace("order_size: 0.2 ", "order_size: 0.20005"))
    assert execute(["check"]) == 78
    assert "markets[1].order_size: is 0.20005, must be a multiple of the lot of sim:ETH-USDT" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["check", "run", "backtest"])
def test_a_missing_configuration_is_told_in_words(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 78 and a way out, no traceback."""
    assert execute([verb, "--config", str(tmp_path / "absent.yaml")]) == 78
    assert "there is no such file; `mm-daemon init" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["quote"],
        ["run", "--pepar"],
        ["run", "--duration", "soon"],
        ["run", "--duration", "0s"],
        ["backtest", "--seed", "x"],
        ["backtest", "--seed", "-1"],
        ["backtest", "--journal", "a", "--no-journal"],
        ["backtest", "--workers", "0"],
        ["replay"],
    ],
)
def test_a_bad_command_line_exits_64(arguments: list[str], config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever makes no sense is told on stderr and starts nothing."""
    assert execute(arguments) == 64
    told = capsys.readouterr()
    assert told.out + told.err
    assert not Path("var").exists()


def test_connectors_lists_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """For people and as JSON."""
    assert execute(["connectors"]) == 0
    assert "connectors.sim.connector:SimConnector" in capsys.readouterr().out
    assert execute(["connectors", "--json"]) == 0
    assert {"recorded", "sim"} <= {plugin["name"] for plugin in json.loads(capsys.readouterr().out)}


def test_a_backtest_and_its_journal_agree(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`backtest --json` reports, its parts add up, and `replay --verify` finds every answer equal."""
    assert execute(["backtest", "--duration", "5s", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["orders_placed"] > 0
    assert report["open_orders"] == 0
    assert Path(report["journal"]).parent == Path("var/backtest")
    assert execute(["replay", report["journal"], "--verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_equal_seeds_write_equal_journals(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Byte for byte, and another seed writes another journal."""
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert execute(["backtest", "--duration", "2s", "--journal", name, "--seed", seed]) == 0
    assert Path("a").read_bytes() == Path("b").read_bytes() != Path("c").read_bytes()
    assert execute(["backtest", "--duration", "2s", "--journal", "a"]) == 74
    assert "never overwritten" in capsys.readouterr().err


def test_a_damaged_journal_is_noticed_and_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`replay --verify` exits 74 on a flipped byte, and says where; a file that is no journal too."""
    assert execute(["backtest", "--duration", "2s", "--journal", "a"]) == 0
    damaged = bytearray(Path("a").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    Path("b").write_bytes(damaged)
    capsys.readouterr()
    assert execute(["replay", "b", "--verify"]) == 74
    assert "NOT OK" in capsys.readouterr().out
    assert execute(["replay", "config.yaml", "--verify"]) == 74
    assert execute(["replay", "absent", "--verify"]) == 74


def test_an_embedded_market_needs_an_end(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A backtest that would never end says how to give it one."""
    assert execute(["backtest"]) == 64
    assert "--duration" in capsys.readouterr().err


def test_the_recorded_example_names_the_file_it_misses(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the shared files the example says which file it wanted."""
    monkeypatch.setenv("MM_SHARED", "nowhere")
    example = Path(__file__).parents[3] / "deploy/examples/recorded-binance-usdm.yaml"
    assert execute(["backtest", "--config", str(example)]) == 78
    assert "nowhere/data/binance-usdm-btcusdt-20240808.gz" in capsys.readouterr().err


def test_the_recorded_example_reads_its_beginning(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten seconds of the real market are quoted on both sides."""
    monkeypatch.setenv("MM_SHARED", str(shared_file("data/binance-usdm-btcusdt-20240808.gz").parents[1]))
    example = Path(__file__).parents[3] / "deploy/examples/recorded-binance-usdm.yaml"
    assert execute(["backtest", "--config", str(example), "--duration", "10s", "--json", "--no-journal"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["quote_uptime"] > 0.5
    assert report["journal"] is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("60s", 60), ("2m", 120), ("1h30m", 5400), ("90", 90), ("1.5s", 1.5), ("250ms", 0.25), ("1d", 86400)],
)
def test_durations_are_read_as_people_write_them(text: str, value: float) -> None:
    """Units may be joined; a bare number is seconds."""
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "s", "1x", "-1s", "1 s", "1e3s", "m1", "inf", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With an example of what is."""
    with pytest.raises(UsageError, match="--duration"):
        seconds(text)


def test_the_command_tree_brings_nothing_that_only_a_verb_needs() -> None:
    """Every start pays for what is imported here, a backtest and `--help` too."""
    asked = "import sys, mm_daemon.cli.main; print(*{'asyncio', 'msgspec', 'ssl', 'yaml'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
