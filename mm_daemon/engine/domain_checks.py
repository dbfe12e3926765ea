"""The boundary of the models' domain: a number outside it is an error that names itself, never a clamp (MODELS 0.3,
step 8).

Functions on the hot path compare inline and come here only to say which number was wrong.
"""

import math

from mm_daemon.domain.errors import DomainError


def require_finite(**numbers: float) -> None:
    """Raises DomainError naming the first number that is NaN or infinite."""
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise DomainError(f"{name} = {value} is not a finite number")


def require_positive(**numbers: float) -> None:
    """Raises DomainError naming the first number that is not finite and greater than zero."""
    for name, value in numbers.items():
        if not 0.0 < value < math.inf:
            raise DomainError(f"{name} = {value} must be finite and greater than zero")


def require_not_negative(**numbers: float) -> None:
    """Raises DomainError naming the first number that is not finite and at least zero."""
    for name, value in numbers.items():
        if not 0.0 <= value < math.inf:
            raise DomainError(f"{name} = {value} must be finite and not negative")
