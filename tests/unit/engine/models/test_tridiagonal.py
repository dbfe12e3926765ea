"""The solver behind the exact models, against arithmetic with hundreds of digits and against closed solutions."""

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Any

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models.tridiagonal import Generator, evolve, leading


def _generator(bound: int, penalty: float, drift: float = 0.0, lower: float = 0.4, upper: float = 0.4) -> Generator:
    return Generator(lower, tuple(drift * q - penalty * q * q for q in range(-bound, bound + 1)), upper)


def _product(generator: Generator, vector: Sequence[Decimal]) -> list[Decimal]:
    """K times a vector."""
    padded = [Decimal(0), *vector, Decimal(0)]
    lower, upper = Decimal(generator.lower), Decimal(generator.upper)
    return [
        lower * padded[i] + Decimal(element) * padded[i + 1] + upper * padded[i + 2]
        for i, element in enumerate(generator.diagonal)
    ]


def _evolved(generator: Generator, log_start: Sequence[float], time: float) -> list[float]:
    """`ln exp(K t) w` by the plain power series, with digits to spare for its cancellations."""
    with localcontext() as context:
        context.prec = 900
        total = term = [Decimal(value).exp() for value in log_start]
        order = 0
        while order < 10 or max(map(abs, term)) > Decimal(10) ** -800:
            order += 1
            term = [value * Decimal(time) / order for value in _product(generator, term)]
            total = [so_far + value for so_far, value in zip(total, term, strict=True)]
        return [float(value.ln()) for value in total]


def test_without_penalty_the_spectrum_is_known() -> None:
    """A free walk between two walls: 2 c cos(pi/(n+1)) and a sine, for every size of grid."""
    for bound in (1, 10, 100):
        found = leading(_generator(bound, 0.0))
        size = 2 * bound + 1
        assert found.rate == pytest.approx(0.8 * math.cos(math.pi / (size + 1)), rel=1e-14)
        for i, value in enumerate(found.log_vector):
            wanted = math.log(math.sin(math.pi * (i + 1) / (size + 1)))
            assert value == pytest.approx(wanted, abs=1e-11)


@pytest.mark.parametrize(
    "generator",
    [
        _generator(100, 0.02),
        _generator(100, 1e6),
        _generator(30, 0.1, drift=1.0),
        _generator(50, 0.01, drift=0.3, lower=4e3, upper=1e-3),
    ],
    ids=["usual", "only flat is bearable", "drift", "one-sided flow"],
)
def test_eigenvector_is_exact_in_its_smallest_component(generator: Generator) -> None:
    """Every row of `K w = rate w` holds to a relative 1e-11, though components go down to 10^-1000."""
    found = leading(generator)
    with localcontext() as context:
        context.prec = 60
        vector = [Decimal(value).exp() for value in found.log_vector]
        for row, (value, element) in enumerate(zip(_product(generator, vector), generator.diagonal, strict=True)):
            scale = abs(element) + found.rate + generator.lower + generator.upper
            assert abs(value / vector[row] - Decimal(found.rate)) < Decimal(1e-11 * scale)


@pytest.mark.parametrize(
    ("generator", "terminal", "time"),
    [
        (_generator(5, 0.05), 0.0, 3.0),
        (_generator(5, 60.0), 0.0, 0.2),
        (_generator(4, 0.02, lower=2.0, upper=0.01), 0.0, 2.0),
        (_generator(3, 0.5, drift=2.0), 0.1, 1.5),
        (_generator(5, 0.02), 100.0, 5.0),
        (_generator(5, 0.02), 40.0, 1e-4),
    ],
    ids=["usual", "steep", "one-sided", "drift", "must end flat", "must end flat now"],
)
def test_evolution_agrees_with_hundreds_of_digits(generator: Generator, terminal: float, time: float) -> None:
    """To a relative 1e-12, where the components span hundreds of orders of magnitude too."""
    bound = len(generator.diagonal) // 2
    start = [-terminal * q * q for q in range(-bound, bound + 1)]
    growth = leading(generator).rate * time
    for got, want in zip(evolve(generator, start, time)[-1], _evolved(generator, start, time), strict=True):
        assert got + growth == pytest.approx(want, rel=1e-12, abs=1e-12)


def test_path_passes_through_its_shorter_horizons() -> None:
    """The solution at a step is the solution for that horizon."""
    generator = _generator(6, 0.1, lower=0.5)
    path = evolve(generator, [0.0] * 13, 4.0, steps=40)
    assert path.shape == (41, 13)
    assert path[0].tolist() == [0.0] * 13
    for step in (1, 10, 40):
        assert path[step] == pytest.approx(evolve(generator, [0.0] * 13, 0.1 * step)[-1], abs=1e-12)


def test_any_horizon_ends_in_the_stationary_shape() -> None:
    """Differences are the leading eigenvector's, even where the growth is beyond a float's digits."""
    generator = _generator(20, 3.0)
    wanted = leading(generator).log_vector
    for horizon in (1e3, 1e9, 1e300):
        shape = evolve(generator, [0.0] * 41, horizon)[-1]
        assert [value - shape[20] for value in shape] == pytest.approx([value - wanted[20] for value in wanted])


@pytest.mark.parametrize("wrong", [{"lower": 0.0}, {"upper": math.inf}, {"drift": math.nan}, {"lower": -1.0}])
def test_what_is_no_generator_is_refused(wrong: dict[str, Any]) -> None:
    """Flow that has stopped or a penalty that has overflowed."""
    with pytest.raises(DomainError):
        _generator(**{"bound": 3, "penalty": 0.1, **wrong})


@pytest.mark.parametrize("coupling", [1e-200, 1e200])
def test_rates_that_cannot_be_multiplied_are_refused(coupling: float) -> None:
    """No quote rather than a number made of rounding."""
    with pytest.raises(DomainError, match="too small or too large"):
        leading(_generator(3, 0.1, lower=coupling, upper=coupling))
