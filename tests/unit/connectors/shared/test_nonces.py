"""Numbers that a key never uses twice."""

from connectors.shared.nonces import Nonces


def test_nonces_grow_although_the_clock_stands_or_steps_back() -> None:
    """At least the time, and always more than before."""
    times = iter([100, 100, 90, 500])
    nonces = Nonces(lambda: next(times))
    assert [nonces.next() for _ in range(4)] == [100, 101, 102, 500]
