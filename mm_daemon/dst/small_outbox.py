"""Outboxes that are full before they hold hundreds of commands: what a short run with few markets cannot reach."""

from collections.abc import Iterator
from contextlib import contextmanager

from mm_daemon.core import dispatch, outbox


@contextmanager
def outboxes_of(capacity: int) -> Iterator[None]:
    """Inside this block an outbox is full with so many commands."""
    owners = vars(outbox), vars(dispatch)
    real = outbox.CAPACITY
    for names in owners:
        names["CAPACITY"] = capacity
    try:
        yield
    finally:
        for names in owners:
            names["CAPACITY"] = real
