"""The owner of a key's nonces: none twice, none left out, and doubt where doubt is due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.lighter.nonces import KeyRing, NonceOwner


def _owner(nonce: int = 100) -> NonceOwner:
    owner = NonceOwner(4)
    owner.start(nonce)
    return owner


def test_nothing_is_given_out_before_the_venue_was_asked() -> None:
    """A guessed nonce is a refused transaction."""
    owner = NonceOwner(4)
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
    venue_next, owner = 0, NonceOwner(4)
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


def test_taking_orders_use_the_last_key() -> None:
    """The venue delays them, and whatever follows on their key."""
    ring = KeyRing([4, 5, 6])
    assert ring.owner(takes=True).key_index == 6
    assert ring.owner(takes=False).key_index == 4
    only = KeyRing([4])
    assert only.owner(takes=True) is only.owner(takes=False)


def test_key_in_doubt_makes_way_for_the_next() -> None:
    """Quotes go on under another key; when all are in doubt, the one in use is asked for."""
    ring = KeyRing([4, 5, 6])
    for owner in ring.owners:
        owner.start(0)
    ring.owners[0].doubt()
    assert ring.owner(takes=False).key_index == 5
    ring.owners[0].start(3)
    assert ring.owner(takes=False).key_index == 5
    ring.owners[1].doubt()
    assert ring.owner(takes=False).key_index == 4
    ring.owners[0].doubt()
    assert ring.owner(takes=False).key_index == 4
