"""Deadlines: instants in nanoseconds at which something has to be looked at again, None where nothing has to."""

from typing import Final

NEVER_NS: Final = (1 << 62) - 1
"""Later than any instant; the largest number that compiled code keeps in a register."""


def sooner(a_ns: int | None, b_ns: int | None) -> int | None:
    """The earlier of two deadlines."""
    if a_ns is None:
        return b_ns
    return a_ns if b_ns is None or a_ns < b_ns else b_ns
