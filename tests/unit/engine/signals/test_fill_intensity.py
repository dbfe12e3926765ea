"""A and k live: the guards around a fit, and what silence and a new clock do."""

import math
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.signals.fill_intensity import FillIntensity

_S = 1_000_000_000
_FAIR = 1_000_000.0
"""A tick is a hundredth of a bp."""


def fed(
    estimator: FillIntensity, seconds: int, *, k: float = 0.5, a_second: int = 4, start_s: int = 0, seed: int = 5
) -> FillIntensity:
    """Orders of both sides in turn with exponential depths, and the clock every second."""
    rng = Rng(seed)
    for second in range(start_s, start_s + seconds):
        estimator.on_clock(second * _S)
        for index in range(a_second):
            depth_ticks = round(-math.log(1.0 - rng.uniform()) / k * 100.0)
            buy = index % 2 == 0
            ticks = _FAIR + depth_ticks if buy else _FAIR - depth_ticks
            estimator.on_order(second * _S + index * _S // a_second, buy, ticks, 1, _FAIR)
    return estimator


def estimator(**settings: Any) -> FillIntensity:
    return FillIntensity(300.0, refit_s=5.0, **settings)


def test_market_with_exponential_orders_is_measured() -> None:
    """Four orders a second, two a side: A is 2, k what made the depths, with confidence."""
    fitted = fed(estimator(), 1800)
    assert fitted.k == pytest.approx(0.5, rel=0.08)
    assert pytest.approx(2.0, rel=0.05) == fitted.A
    assert fitted.A_buy == pytest.approx(2.0, rel=0.05)
    assert fitted.A_sell == pytest.approx(2.0, rel=0.05)
    assert fitted.r2 > 0.95
    assert 0.85 < fitted.confidence < 1.0
    assert fitted.age_s(1800 * _S) is not None


def behind_a_touch(estimator: FillIntensity, seconds: int, *, start_s: int = 0, usual: int = 300) -> FillIntensity:
    """The same orders behind a touch that is `usual` ticks wide, twice that for a third of the time: an order that does
    not reach it does not trade.
    """
    rng = Rng(7)
    for second in range(start_s, start_s + seconds):
        width = usual if second % 3 else 2 * usual
        estimator.on_clock(second * _S)
        estimator.on_touch(second * _S, 1_000_000 - width // 2, 1_000_000 + width // 2)
        for index in range(8):
            depth_ticks = math.ceil(-math.log(1.0 - rng.uniform()) / 0.5 * 100.0)
            if depth_ticks >= width // 2:
                ticks = _FAIR + depth_ticks if index % 2 else _FAIR - depth_ticks
                estimator.on_order(second * _S + index * _S // 8, bool(index % 2), ticks, 1, _FAIR)
    return estimator


def test_what_ends_inside_the_touch_is_missed_by_nobody() -> None:
    """Half a touch of 1.5 bps, then 3: eight orders a second are four a side at distance zero, and k is 0.5."""
    fitted = behind_a_touch(estimator(), 2400)
    assert fitted.k == pytest.approx(0.5, rel=0.08)
    assert pytest.approx(4.0, rel=0.12) == fitted.A
    assert fitted.r2 > 0.95


def test_a_distance_asked_for_beyond_the_touch_is_where_counting_begins() -> None:
    """The same law from 4 bps on, of fewer orders."""
    near, far = behind_a_touch(estimator(), 2400), behind_a_touch(estimator(d0_bps=4.0), 2400)
    assert far.k == pytest.approx(0.5, rel=0.12)
    assert pytest.approx(4.0, rel=0.3) == far.A
    assert far.n_eff < 0.6 * near.n_eff


def test_a_narrow_touch_of_the_moment_hides_no_orders() -> None:
    """A small order stands a tick from the fair price now and then and stops takers who would have gone further: they
    ended inside the usual touch and say nothing.
    """
    fitted = behind_a_touch(estimator(), 600)
    before = fitted.k
    assert before is not None
    for second in range(600, 1200):
        behind_a_touch(fitted, 1, start_s=second)
        at_ns = second * _S + 9 * _S // 10
        fitted.on_clock(at_ns)
        fitted.on_touch(at_ns, 999_999, 1_000_001)
        for _ in range(8):
            fitted.on_order(at_ns, True, _FAIR + 1, 1, _FAIR)
    assert fitted.k == pytest.approx(before, rel=0.2)


def test_a_restored_estimator_goes_on_as_if_nothing_had_been() -> None:
    """Of the same settings; a state from before touches were counted gives its fit, and the sample starts over."""
    lived = behind_a_touch(estimator(), 900)
    again = estimator()
    again.restore(lived.state())
    for one in (lived, again):
        behind_a_touch(one, 300, start_s=900)
    assert again.state() == lived.state()
    old = estimator()
    old.restore(msgspec.structs.replace(lived.state(), stood=(), stood_bps=()))
    assert (old.A, old.k) == (lived.A, lived.k)
    assert old.state().buys == 0.0


def test_nothing_is_said_before_enough_was_seen() -> None:
    """Half a half-life must have been observed, however many orders came."""
    fitted = fed(estimator(), 120, a_second=50)
    assert fitted.k is None
    assert fitted.age_s(120 * _S) is None
    assert fitted.refused > 0


def test_small_orders_do_not_count() -> None:
    """An order smaller than ours could not have filled it."""
    fitted = fed(estimator(min_lots=2), 600)
    assert fitted.k is None
    assert fitted.n_eff == 0.0


def test_bad_fit_keeps_the_last_good_one_and_ages() -> None:
    """Orders that are all of one depth are no exponential: what was known stands, and gets older."""
    fitted = fed(estimator(min_r2=0.9), 900)
    for second in range(900, 6000):
        fitted.on_order(second * _S, True, _FAIR + 990, 1, _FAIR)
    assert fitted.r2 < 0.9
    good = (fitted.k, fitted.A, fitted.good_ns)
    assert None not in good
    fitted.on_clock(6005 * _S)
    assert (fitted.k, fitted.A, fitted.good_ns) == good
    assert (fitted.age_s(6005 * _S) or 0.0) > 1000.0


def test_orders_that_cease_leave_the_last_fit() -> None:
    """A market without orders says nothing about their depths: the sample fades, the fit stands."""
    fitted = fed(estimator(), 900)
    for second in range(900, 4500):
        fitted.on_clock(second * _S)
    assert fitted.n_eff < 20.0
    assert fitted.k is not None
    assert (fitted.age_s(4500 * _S) or 0.0) > 300.0
    assert fitted.confidence < 0.6


def test_one_fit_changes_little() -> None:
    """When the market turns, k follows by at most a fifth a fit."""
    fitted = fed(FillIntensity(60.0, refit_s=30.0, max_change=0.2), 300)
    seen = [fitted.k]
    for start_s in range(300, 600, 30):
        fed(fitted, 30, k=5.0, start_s=start_s, seed=start_s)
        seen.append(fitted.k)
    steps = [after / before for before, after in pairwise(seen) if before and after]
    assert max(steps) <= 1.2 + 1e-12
    assert seen[-1] is not None
    assert seen[0] is not None
    assert seen[-1] > 1.5 * seen[0]


def test_silent_feed_is_not_a_quiet_market() -> None:
    """A minute without any event is left out of the time observed; a minute with only books is not."""
    silent, quiet = fed(estimator(), 900), fed(estimator(), 900)
    for second in range(900, 960):
        quiet.on_clock(second * _S)
    for one in (silent, quiet):
        fed(one, 60, start_s=960, seed=9)
    assert silent.A is not None
    assert quiet.A is not None
    assert silent.A > quiet.A * 1.05


def test_long_silence_and_a_new_clock_start_the_sample_over() -> None:
    """What was fitted stays as the last good fit; n starts from nothing."""
    fitted = fed(estimator(), 900)
    k = fitted.k
    fitted.on_clock(900 * _S + 3001 * _S)
    fitted.on_clock(900 * _S + 3010 * _S)
    assert fitted.n_eff == 0.0
    assert fitted.k == k
    fitted.lose_clock()
    fitted.on_clock(5)
    assert fitted.k == k
    assert fitted.age_s(10) is None


def test_bad_input_is_dropped_and_counted() -> None:
    """Prices and sizes that are none, and time that goes back."""
    one = estimator()
    one.on_clock(10 * _S)
    one.on_clock(9 * _S)
    for ticks, lots, fair in (
        (0.0, 1, 1.0),
        (1.0, 0, 1.0),
        (1.0, 1, math.nan),
        (math.inf, 1, 1.0),
        (1.0, math.nan, 1.0),
    ):
        one.on_order(11 * _S, True, ticks, lots, fair)
    one.on_order(1, True, 1.0, 1, 1.0)
    assert one.dropped == 7


@pytest.mark.parametrize(
    "settings", [{"refit_s": 500.0}, {"edges": 1}, {"k_min": 2.0, "k_max": 1.0}, {"reach_bps": 0.0}, {"d0_bps": -1.0}]
)
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    """Fits must come more often than half-lives, edges make a line, bounds are the right way round."""
    with pytest.raises(DomainError):
        FillIntensity(300.0, **settings)


@pytest.mark.parametrize("others", [{"half_life_s": 10.0}, {"d0_bps": 2.0}])
def test_sample_of_other_settings_is_not_gone_on_with(others: dict[str, Any]) -> None:
    """The fit holds; weights and distances of the sample would mean something else, and the rate run away with it."""
    before = fed(FillIntensity(**{"half_life_s": 300.0, "refit_s": 5.0, **others}), 1800)
    after = estimator()
    after.restore(before.state())
    assert (after.A, after.k) == (before.A, before.k)
    assert after.state().buys == 0.0
    fed(after, 1200, start_s=1800)
    assert pytest.approx(2.0, rel=0.15) == after.A
    assert after.k == pytest.approx(0.5, rel=0.15)
