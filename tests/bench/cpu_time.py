"""CPU time of a piece of work. Imports nothing of ours: the peers' scripts use it in environments of their own."""

from collections.abc import Callable
from time import process_time
from typing import TypeVar

T = TypeVar("T")


def cpu_of(work: Callable[[], T]) -> tuple[float, T]:
    """(seconds of CPU time of this process, result)."""
    began = process_time()
    result = work()
    return process_time() - began, result
