"""`report`, `compare` and `calibrate-queue` on what backtests and a daemon really left."""

import json
import os
import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mm_daemon.backtest.run_report.figure_list import FIGURES
from mm_daemon.cli.main import execute
from mm_daemon.domain.checkpoint import PositionBooked
from mm_daemon.domain.errors import JournalError, UsageError
from mm_daemon.domain.money import from_pair, to_decimal
from mm_daemon.journal.run_reader import RunReader
from mm_daemon.journal.segments import runs_in
from tests.shared import ROOT
from tests.unit.backtest.test_curves import walked
from tests.unit.cli.test_history import traded
from tests.unit.runtime.test_app import TEXT

assert traded  # a fixture: the state_dir of two lives, the second of which continues the first
BUDGET_BYTES = 700_000


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return walked(tmp_path, [(700, 0, None), (700, -9, None), (2500, 3, None), (700, 0, None)])[1]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """With fills."""
    folder = tmp_path / "filled"
    folder.mkdir()
    from mm_daemon.domain.orders import Side

    steps = [(700, 20, Side.SELL), (2500, 35, Side.BUY), (2500, -50, Side.SELL), (2500, 5, None)] * 8
    return walked(folder, steps)[1]


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("src", "href", "xlink:href", "action", "data"):
                self.links.append(value or "")


def test_the_terminal_has_a_table(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["report", str(filled)]) == 0
    out = capsys.readouterr().out
    assert "P&L, USDT" in out
    assert "ended: the data ends here" in out


def test_a_page_stands_alone(filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert execute(["report", str(filled), "--html", str(page)]) == 0
    assert str(page) in capsys.readouterr().out
    text = page.read_text()
    tags = Tags(text)
    assert len(tags.ids) == len(set(tags.ids))
    assert all(link.startswith("#") and link[1:] in tags.ids for link in tags.links)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(tags.ids)
    assert not tags.tags & {"script", "link", "img", "iframe", "object"}
    assert "@import" not in text
    assert len(text.encode()) < BUDGET_BYTES
    for figure in FIGURES:
        assert f'id="def-{figure.key}"' in text
    assert text.count("<svg") == 8  # seven pictures, the first also for a phone
    assert "color-scheme" in text and "prefers-color-scheme: dark" in text
    drawn = re.findall(r"(?:fill|stroke): (#[0-9a-fA-F]{6})", text)
    assert not drawn, f"colours that dark mode cannot change: {sorted(set(drawn))}"
    assert ">mid<" in text  # text is text
    again = tmp_path / "again.html"
    assert execute(["report", str(filled), "--html", str(again)]) == 0
    assert again.read_text() == text


def test_runs_stand_side_by_side(filled: Path, journal: Path, tmp_path: Path) -> None:
    """And what a run is called cannot break the page."""
    strange = journal.rename(journal.with_name("<b>&x"))
    page = tmp_path / "page.html"
    assert execute(["report", str(filled), str(strange), "--html", str(page)]) == 0
    text = page.read_text()
    assert "Side by side" in text
    assert "− first" in text
    assert "Equity of each run" in text
    assert "<b>&x" not in text
    assert "&lt;b&gt;&amp;x" in text
    tags = Tags(text)
    assert len(tags.ids) == len(set(tags.ids))


def test_live_runs_count_what_is_theirs(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second run's P&L is what its books came to, less what the first one left; both add up to the last booking."""
    capsys.readouterr()
    assert execute(["report", str(traded), "--json"]) == 0
    told = json.loads(capsys.readouterr().out, parse_float=Decimal)
    assert len(told["runs"]) == 2
    first, second = (run["markets"][0] for run in told["runs"])
    last: PositionBooked | None = None
    for run in runs_in(traded / "journal"):
        for frame in RunReader(run):
            booked = [one for one in frame.records if isinstance(one, PositionBooked)]
            booked = [one for one in booked if one.instrument == first["market"]]
            last = booked[-1] if booked else last
    assert last is not None
    for part in ("spread", "fees"):
        sums = sum(market["values"][f"pnl_{part}"]["value"] for market in (first, second))
        assert sums == to_decimal(from_pair(getattr(last.state, part)))
    assert second["detail"]["figures"]["start_value"] != 0 or first["values"]["position"]["value"] == 0
    for market in (first, second):
        detail = market["detail"]["figures"]
        total = detail["cash"] + detail["position_value"] - detail["start_value"]
        assert total == market["values"]["pnl_total"]["value"]
    assert all(run["notes"] == [] for run in told["runs"])
    assert execute(["compare", str(traded), str(traded)]) == JournalError.exit_code
    assert "holds 2 runs: name one of them" in capsys.readouterr().err


def test_what_is_left_of_a_trimmed_run_is_reported(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One run of several. Retention has deleted its market data: money is there, prices are not, and it is said."""
    run = runs_in(traded / "journal")[0]
    capsys.readouterr()
    assert execute(["report", str(run), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 1
    for segment in run.glob("market-*"):
        segment.unlink()
    capsys.readouterr()
    assert execute(["report", str(run)]) == 0
    out = capsys.readouterr().out
    assert "all market data were deleted" in out


def test_a_run_without_data_is_drawn(tmp_path: Path) -> None:
    """Nothing happened, and nothing breaks."""
    from mm_daemon.backtest.runner import run_backtest
    from mm_daemon.backtest.sources import RecordedMarket
    from mm_daemon.testkit.builders import VENUE, core_parameters, market
    from tests.unit.backtest.doubles import ListFeed, ObedientVenue

    journal, page = tmp_path / "empty", tmp_path / "page.html"
    run_backtest(core_parameters(market()), {VENUE: RecordedMarket(ListFeed([]), ObedientVenue())}, journal=journal)
    assert execute(["report", str(journal), "--html", str(page)]) == 0
    assert "no fills" in page.read_text()
    assert execute(["calibrate-queue", str(journal)]) == 0
    assert execute(["compare", str(journal), str(journal)]) == 0


def test_the_pictures_of_the_docs_are_there_and_small() -> None:
    page = (ROOT / "deploy/docs/report.md").read_text()
    pictures = [ROOT / "deploy/docs" / name for name in re.findall(r"\]\((\.\./pictures/[^)]+)\)", page)]
    assert len(pictures) == 3
    assert all(0 < picture.stat().st_size < 150_000 for picture in pictures)


def test_errors_are_words(tmp_path: Path, journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code, words in (
        (["report"], UsageError.exit_code, "name at least one journal"),
        (["report", str(tmp_path / "none")], JournalError.exit_code, "does not exist"),
        (["report", str(journal), "--html", "page.pdf"], UsageError.exit_code, "must end in .html"),
        (["report", str(journal), "--html", str(tmp_path / "no/page.html")], UsageError.exit_code, "cannot be written"),
        (["compare", str(journal), str(tmp_path / "none")], JournalError.exit_code, "none"),
        (["calibrate-queue", str(tmp_path / "none")], JournalError.exit_code, "none"),
    ):
        assert execute(arguments) == code, arguments
        assert words in capsys.readouterr().err


def test_a_backtest_can_draw_its_page_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, page = tmp_path / "config.yaml", tmp_path / "page.html"
    one_market = TEXT[: TEXT.index("  - {{venue: sim, symbol: ETH")]
    config.write_text(one_market.format(state_dir=tmp_path / "state"))
    arguments = ["backtest", "-c", str(config), "--duration", "20s"]
    assert execute([*arguments, "--journal", str(tmp_path / "journal"), "--html", str(page)]) == 0
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert execute([*arguments, "--no-journal", "--html", str(page)]) == UsageError.exit_code
    assert "drawn from the journal" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [["report"], ["compare", "{}"], ["calibrate-queue"]])
def test_a_name_that_is_not_utf8_is_shown_as_far_as_it_can_be(
    verb: list[str], filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In JSON, and in a page."""
    other = filled.rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd\xffname.journal")))
    asked = [word.format(other) for word in verb]
    assert execute([*asked, str(other), "--json"]) == 0
    assert "odd\ufffdname" in json.dumps(json.loads(capsys.readouterr().out), ensure_ascii=False)
    if verb == ["report"]:
        assert execute(["report", str(other), "--html", str(tmp_path / "page.html")]) == 0
        assert "odd\ufffdname" in (tmp_path / "page.html").read_text("utf-8")


def test_compare_in_words_and_json(journal: Path, filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["compare", str(journal), str(filled)]) == 0
    assert "first difference" in capsys.readouterr().out
    assert execute(["compare", str(journal), str(journal), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True


def test_calibrate_queue_in_words_and_json(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["calibrate-queue", str(filled)]) == 0
    assert "queue_model:" in capsys.readouterr().out
    assert execute(["calibrate-queue", str(filled), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["markets"][0]["suggestion"]["queue_model"] in ("risk_averse", "power")


@pytest.mark.parametrize("verb", [["report"], ["compare"], ["calibrate-queue"]])
def test_half_a_run_is_not_taken_for_a_whole_one(
    verb: list[str], filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a damaged journal what stands before the place is told, and the exit code says that it is not all."""
    intact = [str(filled)] * (1 + (verb == ["compare"]))
    assert execute([*verb, *intact, "--json"]) == 0
    damaged = bytearray(filled.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    filled.write_bytes(bytes(damaged))
    capsys.readouterr()
    assert execute([*verb, *intact, "--json"]) == JournalError.exit_code
    assert "damaged" in capsys.readouterr().out
