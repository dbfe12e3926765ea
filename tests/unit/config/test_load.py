"""Reading a configuration: what is right becomes typed, what is wrong is all named, each at its line."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from mm_daemon.config.load import MAX_BYTES, load
from mm_daemon.config.problems import ConfigProblems
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.instrument import Venue
from mm_daemon.engine.parameters import QuoteParameters
from tests.unit.config.sample import GOOD, FakeSettings, problems, read, settings_of

PLANTED = """\
version: 2
mode: papre
sead: 7
runtime:
  stop_timeout_s: -1
  stop_timeout_s: 5
venues:
  v: {connector: fake, speed: fast}
  w: {connector: fakir}
  x: {connector: fake, secrets: {api_key: hunter2}}
defaults:
  min_spread_bps: 30
  max_spread_bps: 20
markets:
  - venue: u
    symbol: BTC-USDT
    order_size: 0.01
    max_position: 0.05
    gama: 0.1
  - {venue: v, symbol: ETH-USDT, order_size: 0.5, max_position: 0.1, min_spread_bps: 1}
"""


def test_twelve_planted_errors_are_twelve_reports_at_their_lines() -> None:
    """One reading names every mistake, each with file, line, column, path and what is allowed."""
    found = problems(PLANTED)
    expected = (
        "c.yaml:1:10: version: is 2, must be 1 (version of this format)",
        "c.yaml:2:7: mode: is papre, must be one of paper, live",
        "c.yaml:3:1: sead: unknown key (did you mean 'seed'?)",
        "c.yaml:5:19: runtime.stop_timeout_s: is -1, must be a number above 0 and at most 300",
        "c.yaml:6:3: runtime.stop_timeout_s: stands here for the second time, the first is in line 5",
        "c.yaml:8:31: venues.v.speed: is fast, must be a number above 0 and at most 1000 (times real time)",
        "c.yaml:9:18: venues.w.connector: there is no connector 'fakir'",
        "c.yaml:10:43: venues.x.secrets.api_key: a secret may not stand in this file",
        "c.yaml:12:3: defaults.min_spread_bps: min_spread_bps 30 must not be above max_spread_bps 20",
        "c.yaml:15:5: markets[0].venue: no venue is called 'u'; there are v, w, x",
        "c.yaml:19:5: markets[0].gama: unknown key (did you mean 'gamma'?)",
        "c.yaml:20:34: markets[1].order_size: order_size 0.5 must fit between min_position -0.1 and max_position 0.1",
    )
    assert len(found) == len(expected) == 12
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)
    assert "hunter2" not in "".join(found)


def test_the_smallest_configuration_is_filled_with_defaults() -> None:
    """What is not written has the documented default; shorting up to max_position is one of them."""
    config = read(GOOD)
    (market,) = config.markets
    assert (config.mode, config.state_dir, config.seed, config.log.level) == ("paper", Path("var"), 1, "info")
    assert (market.id, market.order_size) == ("v:BTC-USDT", Decimal("0.01"))
    assert (market.min_position, market.max_position) == (Decimal("-0.05"), Decimal("0.05"))
    assert market.quoting == QuoteParameters()
    assert config.symbols_of(Venue("v")) == ("BTC-USDT",)
    assert isinstance(config.venues[Venue("v")].settings, FakeSettings)


def test_defaults_are_merged_under_each_market() -> None:
    """A market's own key wins; a default holds where the market is silent, venue included."""
    config = read(
        """\
version: 1
venues: {v: {connector: fake}}
defaults: {venue: v, order_size: 1, max_position: 5, gamma: 0.2}
markets:
  - {symbol: A}
  - {symbol: B, gamma: 0.3, max_position: 7}
"""
    )
    assert [(m.symbol, m.max_position, m.quoting.gamma) for m in config.markets] == [
        ("A", Decimal(5), 0.2),
        ("B", Decimal(7), 0.3),
    ]


def test_a_mistake_in_defaults_is_reported_once_and_there() -> None:
    """Ten markets that inherit a bad value do not make ten reports, and none says the key is missing."""
    assert problems(
        """\
version: 1
venues: {v: {connector: fake}}
defaults: {venue: v, order_size: lots, max_position: 5}
markets: [{symbol: A}, {symbol: B}]
"""
    ) == ["c.yaml:3:34: defaults.order_size: is lots, must be a number above 0 or null (size of one quote, base units)"]


@pytest.mark.parametrize(
    ("text", "value"), [("1e-4", 1e-4), (".5", 0.5), ("5.", 5.0), ("1_0", 10.0), ("+2", 2.0), ("5E+1", 50.0)]
)
def test_numbers_are_read_as_people_write_them(text: str, value: float) -> None:
    """YAML 1.1 takes `1e-4` for text; here the key asks for a number, so it is one."""
    assert read(GOOD.replace("0.05}", f"0.05, gamma: {text}}}")).markets[0].quoting.gamma == value


@pytest.mark.parametrize("text", [".nan", ".inf", "nan", "0x10", "1:30", "'1'", "1e999", "[1]", "{a: 1}", "1e-", "-"])
def test_what_is_no_finite_number_is_refused(text: str) -> None:
    """Not a number, infinities, hexadecimal, sexagesimal and quoted numbers are all mistakes, not zeros."""
    (problem,) = problems(GOOD.replace("0.05}", f"0.05, gamma: {text}}}"))
    assert "markets[0].gamma" in problem
    assert "must be a number above 0 and at most 1000 (risk aversion, 1/(bps * order))" in problem


@pytest.mark.parametrize("text", ["010", "1.0", "1e3", "99999999999999999999999", "0o7", "true"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    """A whole number has digits only and no leading zero, which YAML would read as octal."""
    (problem,) = problems(GOOD.replace("0.05}", f"0.05, max_book_age_ms: {text}}}"))
    assert "must be a whole number from 10 to 3600000 (oldest book that may be quoted on, ms)" in problem


@pytest.mark.parametrize("text", ["yes", "on", "1", "'true'"])
def test_only_true_and_false_are_truth_values(text: str) -> None:
    """YAML 1.1's other words for true are named as mistakes."""
    (problem,) = problems(GOOD.replace("0.05}", f"0.05, enabled: {text}}}"))
    assert "must be true or false" in problem


def test_a_key_of_several_kinds_takes_each_and_names_all() -> None:
    """`tau` is auto, session or seconds; null stands where the key allows it."""
    for text, value in (("auto", "auto"), ("session", "session"), ("60", 60.0)):
        assert read(GOOD.replace("0.05}", f"0.05, tau: {text}}}")).markets[0].quoting.tau == value
    assert read(GOOD.replace("0.05}", "0.05, tolerance_frac: null}")).markets[0].quoting.tolerance_frac is None
    (problem,) = problems(GOOD.replace("0.05}", "0.05, tau: never}"))
    assert "must be one of auto, session or a number above 0 and at most 10000000" in problem


def test_sizes_are_exact_and_bounded() -> None:
    """A size is the decimal that was written; absurd exponents are refused before anything computes with them."""
    exact = read(GOOD.replace("0.01", "0.010000000000000005")).markets[0].order_size
    assert exact == Decimal("0.010000000000000005")
    (problem,) = problems(GOOD.replace("0.01,", "1e-400,"))
    assert "order_size" in problem
    (problem,) = problems(GOOD.replace("0.05}", "1e99}"))
    assert "max_position" in problem


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ("min_position: 0.01", "markets[0].min_position: is 0.01, must be a number at most 0"),
        ("target_position: 0.06", "target_position 0.06 must lie between min_position -0.05 and max_position 0.05"),
        ("max_order_size: 0.001", "max_order_size: max_order_size 0.001 must be at least order_size 0.01"),
        ("tolerance_frac: 0", "tolerance_frac: is 0, must be above 0 and below 1"),
        ("min_spread_bps: 201", "min_spread_bps: min_spread_bps 201 must not be above max_spread_bps 200"),
        (
            "{min_spread_bps: 100, collar_bps: 10",
            "collar_bps: collar_bps 10 must be at least half of min_spread_bps 100",
        ),
        ("lockout_action: pause", "lockout_action: is pause, must be one of hold, withdraw"),
        ("decide_interval_min_ms: 101", "decide_interval_min_ms 101 must not be above decide_interval_ms 100"),
        (
            "quote_max_age_s: 2, quote_min_life_ms: 2000",
            "quote_max_age_s: quote_max_age_s 2 must be longer than quote_min_life_ms 2000",
        ),
    ],
)
def test_keys_that_contradict_each_other_are_named(keys: str, wanted: str) -> None:
    """Each rule between keys reports at the key that a person would change."""
    (problem,) = problems(GOOD.replace("0.05}", f"0.05, {keys.lstrip('{')}}}"))
    assert wanted in problem


_SIZES = "order_size: 0.01, max_position: 0.05"


def _sized(keys: str, capital: str = "risk: {capital: 10000}\n") -> list[str]:
    return problems(GOOD.replace(_SIZES, keys) + capital)


def test_a_size_may_be_money_or_a_share_of_the_capital() -> None:
    """All come to money of the settlement currency; base units are then nowhere."""
    for keys, order, most, least in (
        ("order_notional: 500, max_position_notional: 2500", 500, 2500, -2500),
        ("order_capital_share: 0.05, max_leverage: 0.5", 500, 5000, -5000),
        ("order_notional: 500, max_leverage: 2, min_position: 0", 500, 20000, 0),
        ("order_capital_share: 0.01, max_position_notional: 300", 100, 300, -300),
    ):
        (market,) = read(GOOD.replace(_SIZES, keys) + "risk: {capital: 10000}\n").markets
        money = market.money
        assert money is not None
        assert (money.order, money.max_position, money.min_position) == (order, most, least)
        assert market.order_size is market.max_position is market.min_position is market.max_order_size is None


def test_a_market_says_its_size_in_exactly_one_way() -> None:
    """None, two, mixed units, and capital that nobody told are mistakes at the key that is to be changed."""
    assert _sized("max_position: 0.05") == [
        "c.yaml:5:5: markets[0].order_size: is missing: one of order_size, order_notional, order_capital_share has to "
        "say how large a quote is"
    ]
    assert _sized("order_size: 0.01, order_notional: 500, max_position: 0.05") == [
        "c.yaml:5:52: markets[0].order_notional: order_size and order_notional say how large a quote is: keep one "
        "of them"
    ]
    (problem,) = _sized("order_notional: 500, max_position: 0.05")
    assert problem.startswith(
        "c.yaml:5:55: markets[0].max_position: max_position is in base units and order_notional is"
    )
    (problem,) = _sized("order_size: 1, max_leverage: 3")
    assert problem.startswith(
        "c.yaml:5:49: markets[0].max_leverage: order_size is in base units and max_leverage is mon"
    )
    (problem,) = _sized("order_notional: 500, max_leverage: 3", capital="")
    assert problem == "c.yaml:5:55: markets[0].max_leverage: max_leverage needs risk.capital, in the quote currency"
    (problem,) = _sized("order_notional: 500, max_position_notional: 900, max_order_size: 1")
    assert "max_order_size: is in base units and order_notional is money: leave it out" in problem
    (problem,) = _sized("order_notional: 500, max_position_notional: 900, min_position: -1")
    assert "min_position: is in base units and max_position_notional is money" in problem
    (problem,) = _sized("order_notional: 500, max_position_notional: 499, min_position: 0")
    assert "order_notional comes to 500, and max_position_notional leaves room for 499: no quote passes" in problem


def test_what_a_market_says_of_its_size_takes_the_place_of_the_defaults() -> None:
    """Defaults in base units, one market in money: no contradiction, whatever was inherited."""
    config = read(
        """\
version: 1
venues: {v: {connector: fake}}
defaults: {venue: v, order_size: 1, max_position: 5}
markets:
  - {symbol: A}
  - {symbol: B, order_notional: 100, max_position_notional: 500}
"""
    )
    assert [market.order_size for market in config.markets] == [Decimal(1), None]
    assert [market.money is None for market in config.markets] == [True, False]


def test_the_same_market_twice_is_a_mistake() -> None:
    """Two entries for one market would quote it twice."""
    (problem,) = problems(GOOD + GOOD.splitlines()[-1] + "\n")
    assert problem == "c.yaml:6:5: markets[1]: v:BTC-USDT stands here for the second time, the first is markets[0]"


def test_a_market_of_a_venue_with_mistakes_is_not_blamed() -> None:
    """A venue that cannot be read is still a venue: its markets name it rightly."""
    (problem,) = problems(GOOD.replace("fake}", "fake, depht: 3}"))
    assert problem == "c.yaml:3:24: venues.v.depht: unknown key (did you mean 'depth'?)"


def test_a_rule_of_the_connectors_own_is_reported_at_the_venue() -> None:
    """What a Settings struct refuses when it is made reads like any other mistake."""
    (problem,) = problems(GOOD.replace("fake}", "fake, even: true, depth: 3}"))
    assert problem == "c.yaml:3:3: venues.v: depth is 3, must be even because even is true"


def test_live_needs_a_limit_on_loss() -> None:
    """Real money is not traded without a point at which everything stops."""
    (problem,) = problems(GOOD + "mode: live\n")
    assert problem == "c.yaml:6:1: mode: live needs risk.max_drawdown or risk.max_loss, in the quote currency"
    assert problems(GOOD + "mode: live\nrisk: {max_loss: 100}\n") == []


def test_market_data_are_not_kept_longer_than_the_orders() -> None:
    """Without the orders they led to they are of no use."""
    (problem,) = problems(GOOD + "journal: {trade_keep_days: 0.5, market_keep_hours: 24}\n")
    assert problem.startswith("c.yaml:6:1: journal.market_keep_hours: market_keep_hours 24 must not be more than")
    assert read(GOOD + "journal: {segment_mb: 8}\n").journal.segment_mb == 8


def test_orders_are_kept_until_a_checkpoint_is_behind_them() -> None:
    """A restart reads the last checkpoint, at most a minute old, and what follows: less may not be kept."""
    (problem,) = problems(GOOD + "journal: {trade_keep_days: 0.0001, market_keep_hours: 0.001}\n")
    assert "must be a number from 0.01 to 36500" in problem


def test_variables_are_expanded_in_text_and_paths() -> None:
    """`${NAME}` must be set, `${NAME:-default}` need not be, `$$` is a dollar sign."""
    text = GOOD.replace("fake}", "fake, path: '${DATA:-../shared}/x$$.gz'}")
    settings = read(text).venues[Venue("v")].settings
    assert isinstance(settings, FakeSettings)
    assert settings.path == Path("../shared/x$.gz")
    settings = read(text, {"DATA": "/d"}).venues[Venue("v")].settings
    assert isinstance(settings, FakeSettings)
    assert settings.path == Path("/d/x$.gz")
    (problem,) = problems(GOOD.replace("fake}", "fake, path: '${DATA}/x'}"))
    assert "the environment variable DATA is not set; set it, or write ${DATA:-a default}" in problem
    for slip in ("${DATA", "${}", "${DA TA}/x", "${DATA:-${HOME}}"):
        (problem,) = problems(GOOD.replace("fake}", f"fake, path: '{slip}'}}"))
        assert "has a ${ that names no variable" in problem


def test_there_is_one_seed_for_all_chance() -> None:
    """Paper execution and connectors draw from the run's seed, which the command line may replace."""

    def seeds(text: str, seed: int | None = None) -> tuple[int, int, int]:
        config = read(text, seed=seed)
        settings = config.venues[Venue("v")].settings
        assert isinstance(settings, FakeSettings)
        return config.seed, config.paper.seed, settings.seed

    assert seeds(GOOD) == (1, 1, 1)
    assert seeds(GOOD + "seed: 9\n") == (9, 9, 9)
    assert seeds(GOOD + "seed: 9\n", seed=4) == (4, 4, 4)
    assert seeds(GOOD.replace("fake}", "fake, seed: 5}") + "seed: 9\n") == (9, 9, 5)
    (problem,) = problems(GOOD + "paper: {seed: 3}\n")
    assert "paper.seed: unknown key" in problem


def test_paper_is_a_mode_and_no_source_of_market_data() -> None:
    """Naming the wrapper as a venue's connector says what to write instead."""
    (problem,) = problems(GOOD.replace("fake}", "paper}"))
    assert "write mode: paper at the top" in problem


def test_lists_and_empty_sections_are_read() -> None:
    """A list has its items checked one by one; a section with nothing in it is as good as none."""
    settings = read(GOOD.replace("fake}", "fake, symbols: [a, NO, 1]}") + "log:\n").venues[Venue("v")].settings
    assert isinstance(settings, FakeSettings)
    assert settings.symbols == ("a", "NO", "1")
    (problem,) = problems(GOOD.replace("fake}", "fake, symbols: [a, [b]]}"))
    assert problem == "c.yaml:3:37: venues.v.symbols[1]: is a list, must be text"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "c.yaml:1:1: is empty"),
        ("a: [1\n", "c.yaml:2:1: not readable as YAML"),
        ("- a\n- b\n", "c.yaml:1:1: is a list, must be a section of keys"),
        ("a: \t b: c\n", "not readable as YAML"),
        ("version: 1\x00\n", "c.yaml:1:11: not readable as YAML"),
        ("a: *nothing\n", "not readable as YAML"),
        ("--- 1\n--- 2\n", "not readable as YAML"),
        ("[" * 1500, "not readable"),
        ("? [a]\n: 1\n", "a key must be plain text"),
        ("a: &a [*a]\n", "a: unknown key"),
        ("venues: &v {v: *v}\n", "venues.v.connector: is missing"),
    ],
)
def test_what_is_no_configuration_is_named_and_never_raises_otherwise(text: str, wanted: str) -> None:
    """Whatever the bytes, the answer is a list of problems with places."""
    assert any(wanted in problem for problem in problems(text))


@pytest.mark.parametrize("section", ["venues: 3", "venues:", "markets: 3", "markets: []", "markets: [3]", "log: 3"])
def test_a_section_of_the_wrong_shape_is_named(section: str) -> None:
    """A number where a section or list belongs is a mistake at its line."""
    key = section.partition(":")[0]
    lines = [line for line in GOOD.splitlines() if line[0] not in " "]
    text = "\n".join(line for line in [*lines, section] if line.partition(":")[0] != key or line == section)
    assert any(f": {key}" in problem for problem in problems(text))


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """Missing, binary and huge files are errors for people, not tracebacks."""
    for name, content, wanted in (
        ("absent.yaml", None, "there is no such file; `mm-daemon init"),
        ("binary.yaml", b"\xff\xfe\x00", "is not UTF-8 text"),
        ("huge.yaml", b"#" * (MAX_BYTES + 1), "larger than"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=wanted):
            load(path, settings_of=settings_of, environ={})
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, settings_of=settings_of, environ={})
    (tmp_path / "bad.yaml").write_text("version: 3\n")
    with pytest.raises(ConfigProblems) as caught:
        load(tmp_path / "bad.yaml", settings_of=settings_of, environ={})
    assert caught.value.exit_code == 78
    assert str(tmp_path / "bad.yaml") + ":1:10: version" in str(caught.value)


def test_a_configuration_can_be_changed_only_by_making_another() -> None:
    """Configurations are values."""
    with pytest.raises(AttributeError):
        read(GOOD).seed = 3  # type: ignore[misc]
    assert msgspec.structs.replace(read(GOOD), seed=3).seed == 3
