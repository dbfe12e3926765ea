"""The proof that an order is dead: what the vectors do not tell by themselves."""

import pytest

from mm_daemon.core.absence import Evidence, Missing, absence_proven, closed_since, nonce_spent
from mm_daemon.domain.capabilities import Validity

S = 1_000_000_000


def evidence(**changes: object) -> Evidence:
    """A `delay` proof that is complete."""
    fields: dict[str, object] = {
        "kind": Validity.DELAY,
        "closes_at": 15 * S,
        "now": 20 * S,
        "not_found": (16 * S, 18 * S),
        "absent_at": 19 * S,
        "fills_to": 15 * S,
    }
    return Evidence(**(fields | changes))  # type: ignore[arg-type]


def test_four_later_sources_are_a_proof() -> None:
    """Nothing is missing when each of them answered after the validity closed."""
    assert absence_proven(evidence()) == ()


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"now": 15 * S}, Missing.VALIDITY_OPEN),
        ({"not_found": (16 * S, 17 * S - 1)}, Missing.NOT_FOUND_TWICE),
        ({"not_found": (14 * S, 16 * S)}, Missing.NOT_FOUND_TWICE),
        ({"not_found": (16 * S, 16 * S)}, Missing.NOT_FOUND_TWICE),
        ({"absent_at": 15 * S}, Missing.SNAPSHOT),
        ({"absent_at": None}, Missing.SNAPSHOT),
        ({"fills_to": 15 * S - 1}, Missing.FILLS_INCOMPLETE),
        ({"fills_to": None}, Missing.FILLS_INCOMPLETE),
    ],
)
def test_each_source_is_needed(changes: dict[str, object], missing: Missing) -> None:
    """Take one away and the proof names it."""
    assert absence_proven(evidence(**changes)) == (missing,)


def test_a_validity_that_never_closes_by_itself_needs_a_fence() -> None:
    """Without an end nothing can be later than it; an accepted fence is the end."""
    assert Missing.VALIDITY_OPEN in absence_proven(evidence(closes_at=None))
    assert absence_proven(evidence(closes_at=None, closed_at=15 * S)) == ()
    assert closed_since(evidence(closes_at=None, closed_at=3 * S)) == 3 * S


def test_a_height_is_passed_by_all_three_sources() -> None:
    """A block's own snapshot and fills are no proof: the order may match in it."""
    whole = Evidence(kind=Validity.HEIGHT, closes_at=100, now=101, absent_at=101, fills_to=101)
    assert absence_proven(whole) == ()
    at = Evidence(kind=Validity.HEIGHT, closes_at=100, now=101, absent_at=100, fills_to=100)
    assert absence_proven(at) == (Missing.FILLS_INCOMPLETE, Missing.SNAPSHOT)
    never = Evidence(kind=Validity.HEIGHT, closes_at=None, now=101, absent_at=101, fills_to=101)
    assert Missing.VALIDITY_OPEN in absence_proven(never)


def test_a_nonce_is_spent_by_somebody_else_only() -> None:
    """The venue must be past it, and must not know our transaction."""
    assert nonce_spent(41, 42, hash_found=False)
    assert not nonce_spent(41, 41, hash_found=False)
    assert not nonce_spent(41, 42, hash_found=True)
