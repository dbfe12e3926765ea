"""Seeded chance: splitmix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators").

The only source of chance in the house. It is passed in, never global, so that one seed gives one history on every
machine.
"""

import math

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


class Rng:
    """A stream of pseudo-random numbers that depends on its seed alone."""

    __slots__ = ("_seed", "_state")

    def __init__(self, seed: int) -> None:
        self._seed = self._state = seed & _MASK

    def bits(self) -> int:
        """64 uniform bits."""
        self._state = (self._state + _GOLDEN) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def uniform(self) -> float:
        """Uniform on [0, 1), 53 bits."""
        return (self.bits() >> 11) * (1.0 / (1 << 53))

    def below(self, n: int) -> int:
        """Uniform integer in 0..n-1 (bias below n / 2**64)."""
        return (self.bits() * n) >> 64

    def exponential(self, rate: float) -> float:
        """Waiting time of a Poisson process with `rate` events a unit."""
        return -math.log1p(-self.uniform()) / rate

    def normal(self) -> float:
        """Standard normal by Box and Muller; the second value is thrown away so that one call costs two draws."""
        radius = math.sqrt(-2.0 * math.log1p(-self.uniform()))
        return radius * math.cos(2.0 * math.pi * self.uniform())

    def split(self, name: str) -> "Rng":
        """An independent stream for `name`; the same name always gives the same stream, whatever was drawn so far."""
        state = self._seed
        for byte in name.encode():
            state = ((state ^ byte) * 0x100000001B3) & _MASK
        return Rng(Rng(state).bits())
