"""What a log line looks like, and what never gets into one."""

import ast
import io
import json
import logging
from collections.abc import Iterator

from mm_daemon.observability.logs import FIELDS, catch_third_parties, open_log
from tests.shared import ROOT

NOON_NS = 1_723_118_401_234_567_890  # 2024-08-08 12:00:01.234 UTC


class Paper:
    """A log on a string, with a clock that a test moves."""

    def __init__(self, *, people: bool = True, level: str = "info", secrets: tuple[str, ...] = ()) -> None:
        self.now_ns = NOON_NS
        self._stream = io.StringIO()
        self.log = open_log(self._stream, people=people, now_ns=lambda: self.now_ns, level=level, secrets=secrets)

    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()


def test_line_for_people_is_aligned() -> None:
    """UTC time to the millisecond, the market in a column of its own, then the text."""
    paper = Paper()
    paper.log.info("decision", symbol="BTC-USDT", text="bid quote (new_quote) | ask hold (fill_lockout 640 ms)")
    assert paper.lines() == ["12:00:01.234 BTC-USDT   bid quote (new_quote) | ask hold (fill_lockout 640 ms)"]


def test_line_without_text_shows_its_fields() -> None:
    """Nothing is lost when nobody wrote a sentence."""
    paper = Paper()
    paper.log.warning("task_restarted", task="venue sim", pause_s=0.5)
    assert paper.lines() == ["12:00:01.234            WARNING: task restarted task=venue sim pause_s=0.5"]


def test_json_is_one_object_per_line() -> None:
    """Machines get time, level and event first, and the rest as fields."""
    paper = Paper(people=False)
    paper.log.info("fill", symbol="BTC-USDT", price="60123.4", text="two\nlines")
    (line,) = paper.lines()
    assert json.loads(line) == {
        "ts": "2024-08-08T12:00:01.234Z",
        "level": "info",
        "event": "fill",
        "symbol": "BTC-USDT",
        "price": "60123.4",
        "text": "two\nlines",
    }


def test_line_about_a_turn_carries_the_turns_time() -> None:
    """A recorded feed is logged in the time it happened."""
    paper = Paper(people=False)
    paper.log.info("fill", ts_ns=NOON_NS + 3_600_000_000_000)
    assert json.loads(paper.lines()[0])["ts"] == "2024-08-08T13:00:01.234Z"


def test_secrets_never_appear() -> None:
    """A secret inside any text is cut out, and a field nobody has approved shows no value."""
    for people in (True, False):
        paper = Paper(people=people, secrets=("hunter2", ""))
        paper.log.error(
            "venue_failed", text="GET /?key=hunter2 refused", error=ValueError("bad key hunter2"), api_key="k"
        )
        lines = paper.lines()
        assert "hunter2" not in "".join(lines)
        assert "[redacted]" in lines[0]
        if not people:
            assert json.loads(lines[0])["api_key"] == "[redacted]"


def test_repeated_warning_is_written_once_and_counted() -> None:
    """The same warning within ten seconds is held back; the next one says how many there were."""
    paper = Paper()
    for _ in range(5):
        paper.log.warning("refused", symbol="BTC-USDT", code="price_collar", text="refused")
    paper.log.warning("refused", symbol="ETH-USDT", code="price_collar", text="refused")
    paper.now_ns += 11_000_000_000
    paper.log.warning("refused", symbol="BTC-USDT", code="price_collar", text="refused")
    assert [line[13:] for line in paper.lines()] == [
        "BTC-USDT   WARNING: refused",
        "ETH-USDT   WARNING: refused",
        "BTC-USDT   WARNING: refused (and 4 more like it)",
    ]


def test_level_filters() -> None:
    """What is below the level is not written."""
    paper = Paper(level="warning")
    paper.log.info("decision", text="quiet")
    paper.log.error("loud", text="loud")
    assert [line[13:] for line in paper.lines()] == ["           ERROR: loud"]


def test_library_warnings_become_lines() -> None:
    """What a library says through `logging` does not escape the format."""
    before = logging.getLogger().handlers[:]
    paper = Paper(people=False)
    try:
        catch_third_parties(paper.log)
        logging.getLogger("somewhere").warning("odd %s", "thing")
        logging.getLogger("somewhere").info("chatter")
        logging.getLogger("elsewhere").warning("another")
    finally:
        logging.getLogger().handlers[:] = before
        logging.captureWarnings(False)
    lines = [json.loads(line) for line in paper.lines()]
    assert [(line["logger"], line["text"]) for line in lines] == [("somewhere", "odd thing"), ("elsewhere", "another")]


def test_closed_terminal_does_not_stop_the_daemon() -> None:
    """A reader that went away costs us the line, not the run."""

    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError("reader gone")

    open_log(Gone(), people=True, now_ns=lambda: NOON_NS).error("anything", text="lost")


def test_every_field_the_daemon_writes_is_allowed() -> None:
    """No line of ours shows its own figures as redacted."""
    used = {field for part in ("mm_daemon", "connectors") for field in _fields_written(part)}
    assert {"exit_code", "unknown_orders", "late_s", "segments"} <= used
    assert used - FIELDS == {"ts_ns"}, "the time of a turn becomes `ts`; any other field has to be in FIELDS"


def _fields_written(part: str) -> Iterator[str]:
    """Keywords of all calls of a logger's methods."""
    for path in (ROOT / part).rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and any(_is_log_method(each) for each in _called(call.func)):
                yield from (keyword.arg for keyword in call.keywords if keyword.arg is not None)


def _called(function: ast.expr) -> tuple[ast.expr, ...]:
    """Both of `(log.info if good else log.error)(...)`."""
    return (function.body, function.orelse) if isinstance(function, ast.IfExp) else (function,)


def _is_log_method(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute) or function.attr not in (
        "debug",
        "info",
        "warning",
        "error",
        "critical",
    ):
        return False
    return ast.unparse(function.value).endswith("log")
