"""The adjustment of Stoikov's micro-price, solved from transition probabilities (MODELS 6.5).

Source: Stoikov, "The micro-price: a high-frequency estimator of future prices", Quantitative Finance 18 (2018). A pure
function of small matrices, for off the hot path: tens of states take milliseconds. The sum over ever more moves of the
mid is taken by doubling, so that slowly mixing books cost no more than quick ones.
"""

import math
from collections.abc import Iterator, Sequence
from operator import mul

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_finite

Matrix = Sequence[Sequence[float]]

_SETTLED = 1e-10
"""The sum has converged when doubling it changes it by less than this share: the next doubling would square it."""
_MAX_DOUBLINGS = 60
_SINGULAR = 1e-12


def microprice_stoikov(stay: Matrix, moves: Matrix, sizes: Sequence[float], move_to: Matrix) -> tuple[list[float], ...]:
    """`(G1, g)` by state: the expected next move of the mid, and the sum of all that follow; the fair price is mid + g.

    `stay[i][j]` (Q): to state j without a move of the mid; `moves[i][m]` (R): a move by `sizes[m]` (K); `move_to[i][j]`
    (T): to state j with some move. Unit of the result: that of `sizes`. Raises DomainError for matrices that do not fit
    together, states that never see a move, and sums that do not converge (probabilities that are not symmetrised).
    """
    gain = [sum(map(mul, row, sizes)) if len(row) == len(sizes) else math.nan for row in moves]
    return solve(stay, gain, move_to)


def solve(stay: Matrix, gain: Sequence[float], move_to: Matrix) -> tuple[list[float], list[float]]:
    """As above, with the expected jump per step (R K) by state already taken."""
    n = len(gain)
    if not n or any(len(matrix) != n or any(len(row) != n for row in matrix) for matrix in (stay, move_to)):
        raise DomainError(f"the micro-price needs square matrices of the {n} states, and moves of as many sizes")
    for matrix in (stay, move_to, (gain,)):
        for row in matrix:
            require_finite(**{f"column[{index}]": value for index, value in enumerate(row)})
    # (I - Q)^-1 applied to the gain and to each column of T at once.
    rows = [
        [float(i == j) - stay[i][j] for j in range(n)] + [gain[i]] + [move_to[i][j] for j in range(n)] for i in range(n)
    ]
    for _ in eliminating(rows):
        pass
    first = [row[n] for row in rows]
    return first, _sum_of_powers([row[n + 1 :] for row in rows], first)


def eliminating(rows: list[list[float]]) -> Iterator[None]:
    """Gauss-Jordan with partial pivots, a column a step; leaves the solutions behind the square part.

    Raises DomainError when the square part has no inverse.
    """
    n = len(rows)
    for column in range(n):
        pivot = max(range(column, n), key=lambda i: abs(rows[i][column]))
        head = rows[pivot][column]
        if not abs(head) > _SINGULAR:
            raise DomainError("the micro-price has no solution: from some states the mid never moves")
        rows[pivot], rows[column] = rows[column], [value / head for value in rows[pivot]]
        source = rows[column]
        for i, row in enumerate(rows):
            factor = row[column]
            if i != column and factor:
                rows[i] = [value - factor * known for value, known in zip(row, source, strict=True)]
        yield


def _sum_of_powers(power: list[list[float]], first: list[float]) -> list[float]:
    """The sum of `B^i first` over i >= 0."""
    total = first
    for _ in range(_MAX_DOUBLINGS):
        more = [sum(map(mul, row, total)) for row in power]
        total = [known + value for known, value in zip(total, more, strict=True)]
        if max(map(abs, more)) <= _SETTLED * max(map(abs, total)):
            return total
        columns = list(zip(*power, strict=True))
        power = [[sum(map(mul, row, column)) for column in columns] for row in power]
    raise DomainError("the micro-price does not converge: its probabilities are not symmetrised")
