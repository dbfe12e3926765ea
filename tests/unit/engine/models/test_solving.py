"""A model that takes long is solved in slices, and quotes by the solution before until then."""

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.models.solving import SLICE, Kept, Work, at_once
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.pricing_model import ModelInputs, ModelSettings

_CALM = ModelInputs(0.9, 1.2, 1.2, 0.5, 0.05, 0.0)
_LIVELY = ModelInputs(1.1, 1.2, 1.2, 0.5, 0.05, 0.0)
_WILD = ModelInputs(3.0, 1.2, 1.2, 0.5, 0.05, 0.0)
_STEP = SLICE // 4


class Laborious:
    """Finds the volatility in ten steps, four of which fill a slice; what is above 2 bps has no solution."""

    def __init__(self) -> None:
        self.steps = 0
        self.begun = 0

    def find(self, inputs: ModelInputs) -> Work[float]:
        self.begun += 1
        for _ in range(10):
            self.steps += 1
            yield _STEP
        if inputs.sigma_bps > 2.0:
            raise DomainError("too wild")
        return inputs.sigma_bps


def test_a_decision_does_a_slice_and_quotes_by_the_solution_before() -> None:
    """The first is waited for; the next comes with the third decision that does its part."""
    work = Laborious()
    kept = Kept(work.find)
    assert kept.solution(_CALM) == 0.9
    done = []
    for _ in range(3):
        before = work.steps
        done.append((kept.solution(_LIVELY), work.steps - before))
    assert done == [(0.9, 4), (0.9, 4), (1.1, 2)]
    assert work.begun == 2


def test_what_is_begun_is_brought_to_an_end() -> None:
    """Inputs that never rest for long enough still get a solution: then the latest ones are solved for."""
    work = Laborious()
    kept = Kept(work.find)
    moving = [ModelInputs(1.0 * 1.03**n, 1.2, 1.2, 0.5, 0.05, 0.0) for n in range(12)]
    solutions = [kept.solution(inputs) for inputs in moving]
    assert solutions[3:] == [pytest.approx(1.03 ** (n // 3 * 3 - 2)) for n in range(3, 12)]


def test_who_asks_knows_whether_to_ask_again() -> None:
    """Inputs that moved while others were being solved for are not forgotten, although they rest from then on."""
    kept = Kept(Laborious().find)
    asked = [_CALM, ModelInputs(1.0, 1.2, 1.2, 0.5, 0.05, 0.0), _LIVELY]
    told = [(kept.solution(inputs), kept.unfinished) for inputs in (*asked, *[_LIVELY] * 4)]
    assert told == [(0.9, False), *[(0.9, True)] * 2, (1.0, True), *[(1.0, True)] * 2, (1.1, False)]


def test_inputs_without_a_solution_are_not_tried_again() -> None:
    """What stood before them no longer serves, and others are waited for."""
    work = Laborious()
    kept = Kept(work.find)
    kept.solution(_CALM)
    assert [kept.solution(_WILD) for _ in range(2)] == [0.9, 0.9]
    for _ in range(3):
        with pytest.raises(DomainError, match="too wild"):
            kept.solution(_WILD)
    assert work.begun == 2
    assert kept.solution(_LIVELY) == 1.1


@pytest.mark.parametrize(
    ("model", "orders", "left_s"),
    [("glft_exact", 1000, None), ("cartea_jaimungal", 1000, None), ("cartea_jaimungal", 100, 9.0)],
)
def test_the_longest_calculations_come_in_slices(model: str, orders: int, left_s: float | None) -> None:
    """What a decision of the largest grids does is bounded, and what comes of it is what is found at once."""
    quoting = QuoteParameters(model=model, tau="auto" if left_s is None else left_s)
    settings = ModelSettings(quoting, orders)
    made, fresh = MODELS[model](settings), MODELS[model](settings)
    first = made.curve(_CALM)
    decisions = 1
    while (last := made.curve(_LIVELY)) is first:
        decisions += 1
    assert 3 < decisions < 40
    assert last.at(2.0) == fresh.curve(_LIVELY).at(2.0)


def test_at_once_is_the_same_work() -> None:
    assert at_once(Laborious().find(_CALM)) == 0.9
