"""The group ecGFp5: y^2 = x (x^2 + 2 x + 263 z) over GF(p^5) (Pornin 2022, "EcGFp5: a Specialized Elliptic Curve",
IACR ePrint 2022/274).

Its elements are the points whose x is no square, and N = (0, 0), which is the neutral one: the sum of two elements is
their sum on the curve plus N. An element is written as w = y / x, the neutral one as 0. Here it is (X, Z, U, T) with
x = X / Z and 1 / w = x / y = U / T; the sum below is complete: it has no exceptions (section 4 of the paper).
"""

from collections.abc import Sequence

from connectors.simulators.lighter.signing import quintic as q
from connectors.simulators.lighter.signing.poseidon2 import HASH_BYTES, P, to_bytes, to_words

ORDER = 1067993516717146951041484916571792702745057740581727230159139685185762082554198619328292418486241
"""Elements of the group: a prime."""
_A = 2
_B_Z = 263
_WINDOW = 4
_DIGITS = 80
"""Windows of 4 bits in a scalar of 320."""

Point = tuple[int, int, int, int]

NEUTRAL: Point = (q.ZERO, q.ONE, q.ZERO, q.ONE)


def decode(data: bytes) -> Point | None:
    """The element written so; None for what is none: a wrong length, a word not below p, or no point."""
    words = to_words(data)
    if len(data) != HASH_BYTES or any(word >= P for word in words):
        return None
    w = q.pack(words)
    if w == q.ZERO:
        return NEUTRAL
    shifted = q.sub(q.mul(w, w), _A)  # x^2 - (w^2 - a) x + b = 0
    root = q.square_root(q.sub(q.mul(shifted, shifted), q.times_z(q.ONE, 4 * _B_Z)))
    if root is None:
        return None
    half = (P + 1) // 2
    x = q.scale(q.add(shifted, root), half)
    if q.is_square(x):
        x = q.scale(q.sub(shifted, root), half)
    return (x, q.ONE, q.ONE, w)


def encode(point: Point) -> bytes:
    """40 bytes."""
    _, _, u, t = point
    return to_bytes(q.unpack(q.mul(t, q.inverse(u))))


def add(a: Point, b: Point) -> Point:
    x1, z1, u1, t1 = a
    x2, z2, u2, t2 = b
    xx, zz, uu, tt = q.mul(x1, x2), q.mul(z1, z2), q.mul(u1, u2), q.mul(t1, t2)
    xz = q.sub(q.mul(x1 + z1, x2 + z2), xx + zz)
    ut = q.sub(q.mul(u1 + t1, u2 + t2), uu + tt)
    bzz = q.times_z(zz, _B_Z)
    near, far = q.mul(tt, xx + bzz), q.mul(uu, q.times_z(xz, 2 * _B_Z) + 2 * (xx + bzz))
    both = q.mul(tt + 2 * uu, xz + xx + bzz)
    return q.times_z(q.sub(both, near), _B_Z), q.sub(near, far), q.mul(ut, q.sub(bzz, xx)), q.add(near, far)


def multiple(scalar: int, point: Point) -> Point:
    """`scalar` times an element, for a scalar from 0 to 2**320."""
    table = _multiples(point)
    result = NEUTRAL
    for digit in _digits(scalar):
        for _ in range(_WINDOW):
            result = add(result, result)
        if digit:
            result = add(result, table[digit])
    return result


def base_multiple(scalar: int) -> Point:
    """`scalar` times the generator, for a scalar from 0 to 2**320."""
    if not _base:
        _base.extend(_base_table())
    result = NEUTRAL
    for digit, table in zip(_digits(scalar), _base, strict=True):
        if digit:
            result = add(result, table[digit])
    return result


def _multiples(point: Point) -> list[Point]:
    """Nothing to fifteen times an element."""
    table = [NEUTRAL]
    for _ in range((1 << _WINDOW) - 1):
        table.append(add(table[-1], point))
    return table


def _digits(scalar: int) -> Sequence[int]:
    """The scalar's windows, highest first."""
    if not 0 <= scalar < 1 << _WINDOW * _DIGITS:
        raise ValueError("a scalar has 320 bits")
    return [scalar >> _WINDOW * place & (1 << _WINDOW) - 1 for place in reversed(range(_DIGITS))]


def _base_table() -> list[list[Point]]:
    """Multiples of the generator for each window, highest first."""
    point, tables = GENERATOR, []
    for _ in range(_DIGITS):
        table = _multiples(point)
        tables.append(table)
        point = add(table[-1], point)
    return tables[::-1]


_base: list[list[Point]] = []
"""Filled when it is first needed."""


def _generator() -> Point:
    point = decode(to_bytes([4, 0, 0, 0, 0]))
    assert point is not None
    return point


GENERATOR = _generator()
