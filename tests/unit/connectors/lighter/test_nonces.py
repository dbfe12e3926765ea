"""The owner of a key's nonces: none twice, none left out, and doubt where doubt is due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.lighter.nonces import NonceOwner


def _owner(nonce: int = 100) -> NonceOwner:
    owner = NonceOwner()
    owner.start(nonce)
    return owner


def test_nothing_is_given_out_before_the_venue_was_asked() -> None:
    """A guessed nonce is a refused transaction."""
    owner = NonceOwner()
    assert owner.doubtful
    with pytest.raises(ValueError, match="in doubt"):
        owner.take(1)


def test_refused_nonce_is_the_next_one_again() -> None:
    """A refusal uses none, and nothing later is in flight."""
    owner = _owner()
    assert owner.take(3) == [100, 101, 102]
    owner.refused([100, 101, 102])
    assert owner.take(1) == [100]


def test_refusal_below_something_in_flight_is_doubt() -> None:
    """What came later was refused too, or not: only the venue knows."""
    owner = _owner()
    first, second = owner.take(1), owner.take(1)
    owner.refused(first)
    assert owner.doubtful
    owner.start(100)
    owner.refused(second)  # settled by the venue's word meanwhile: it must not move the count
    assert owner.take(1) == [100]


@given(st.lists(st.sampled_from(["admit", "refuse", "lose", "late"]), max_size=60))
def test_every_nonce_is_the_venues_next_one(fates: list[str]) -> None:
    """Against a venue that counts by itself: sent one after the other, nothing but what follows a loss is refused for
    its nonce, and nothing at all once the venue was asked."""
    venue_next, owner = 0, NonceOwner()
    for fate in fates:
        if owner.doubtful:
            owner.start(venue_next)
        (nonce,) = owner.take(1)
        assert nonce == venue_next
        if fate in ("admit", "late"):
            venue_next += 1
        if fate == "admit":
            owner.admitted([nonce])
        elif fate == "refuse":
            owner.refused([nonce])
        else:
            owner.doubt()  # lost on the way there, or on the way back
    assert owner.in_flight <= 1 or owner.doubtful
