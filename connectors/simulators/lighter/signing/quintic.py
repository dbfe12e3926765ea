"""The field GF(p^5) = GF(p)[z] / (z^5 - 3) over the Goldilocks prime.

An element is one integer: its five coefficients, each below p, at a distance of 144 bits. So a product of polynomials
is one product of integers (Kronecker's substitution), and it takes microseconds in plain Python.
"""

from collections.abc import Sequence

from connectors.simulators.lighter.signing.poseidon2 import P

DEGREE = 5
_W = 3
_STEP = 144
_MASK = (1 << _STEP) - 1
_LOW = (1 << _STEP * DEGREE) - 1
_FROBENIUS = pow(_W, (P - 1) // DEGREE, P)
"""z^p = z * 3^((p-1)/5)."""
_FACTORS = [[pow(_FROBENIUS, power * place, P) for place in range(DEGREE)] for power in range(DEGREE)]
_TWO_ADICITY = 32
_NON_RESIDUE = 7
"""A generator of the multiplicative group of GF(p)."""

ZERO = 0
ONE = 1


def pack(coefficients: Sequence[int]) -> int:
    """An element from its coefficients, lowest power first."""
    element = 0
    for coefficient in reversed(coefficients):
        element = element << _STEP | coefficient % P
    return element


def unpack(element: int) -> tuple[int, ...]:
    return tuple(element >> _STEP * place & _MASK for place in range(DEGREE))


_MINUS = sum(8 * P << _STEP * place for place in range(DEGREE))
"""Nothing, and large enough in each coefficient to subtract up to eight elements from."""


def _reduce(e: int) -> int:
    """Coefficients below 2**144 to below p."""
    m, s, p = _MASK, _STEP, P
    a, b, c, d = (e & m) % p, (e >> s & m) % p, (e >> 2 * s & m) % p, (e >> 3 * s & m) % p
    return a | b << s | c << 2 * s | d << 3 * s | (e >> 4 * s) % p << 4 * s


def add(a: int, b: int) -> int:
    return _reduce(a + b)


def sub(a: int, b: int) -> int:
    """The difference. `b` may be a sum of up to eight elements that has not been reduced."""
    return _reduce(a + _MINUS - b)


def mul(a: int, b: int) -> int:
    """The product. Both may be sums of up to eight elements that have not been reduced."""
    product = a * b
    return _reduce((product & _LOW) + _W * (product >> _STEP * DEGREE))


def scale(a: int, factor: int) -> int:
    """Times an element of GF(p)."""
    return _reduce(a * (factor % P))


def times_z(a: int, factor: int) -> int:
    """Times `factor` * z, for a small factor."""
    shifted = a * factor << _STEP
    return _reduce((shifted & _LOW) + _W * (shifted >> _STEP * DEGREE))


def power(a: int, exponent: int) -> int:
    result = ONE
    for bit in bin(exponent)[2:]:
        result = mul(result, result)
        if bit == "1":
            result = mul(result, a)
    return result


def frobenius(a: int, times: int) -> int:
    """a^(p^times)."""
    return pack([value * factor for value, factor in zip(unpack(a), _FACTORS[times], strict=True)])


def inverse(a: int) -> int:
    """1 / a, and 0 for 0."""
    rest, norm = _conjugates(a)
    return scale(rest, pow(norm, P - 2, P))


def is_square(a: int) -> bool:
    """Whether a square root exists; one of 0 does. (p^5 - 1)/(p - 1) is odd: it does when the norm has one."""
    norm = _conjugates(a)[1]
    return pow(norm, (P - 1) // 2, P) in (0, 1)


def square_root(a: int) -> int | None:
    """A square root; None when there is none.

    With r = (p^5 - 1)/(p - 1), a^(r + 1) is a times its norm, and (r + 1)/2 = 1 + (p + 1)/2 (p + p^3).
    """
    root = _root_in_base(_conjugates(a)[1])
    if root is None:
        return None
    half = frobenius(power(a, (P + 1) // 2), 1)
    return scale(mul(a, mul(half, frobenius(half, 2))), pow(root, P - 2, P))


def _conjugates(a: int) -> tuple[int, int]:
    """(the product of a's other conjugates, a's norm in GF(p))."""
    two = mul(frobenius(a, 1), frobenius(a, 2))
    rest = mul(two, frobenius(two, 2))
    return rest, mul(a, rest) & _MASK


def _root_in_base(a: int) -> int | None:
    """Tonelli's square root in GF(p), p - 1 = 2^32 (2^32 - 1)."""
    if a == 0:
        return 0
    odd = (P - 1) >> _TWO_ADICITY
    root, check, ring, order = pow(a, (odd + 1) // 2, P), pow(a, odd, P), pow(_NON_RESIDUE, odd, P), _TWO_ADICITY
    while check != 1:
        least, square = 0, check
        while square != 1:
            square, least = square * square % P, least + 1
        if least == order:
            return None
        step = pow(ring, 1 << (order - least - 1), P)
        ring, order = step * step % P, least
        root, check = root * step % P, check * ring % P
    return root
