"""Exact money: pairs, texts and their inverses."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.domain.errors import GridError
from mm_daemon.domain.money import ATTO, MoneyPair, from_pair, from_text, to_pair, to_text


@given(st.integers(-(ATTO << 63), (ATTO << 63) - 1))
def test_pair_and_text_give_the_amount_back(atto):
    """Both notations are exact for gains and losses of any size that the journal can hold."""
    whole, rest = to_pair(atto)
    assert 0 <= rest < ATTO
    assert from_pair((whole, rest)) == atto
    assert from_text(to_text(atto)) == (atto, 0)


def test_text_below_one_atto_is_floored_with_its_rest():
    """Nothing is rounded in our favour, and nothing is lost."""
    assert from_text("0.0000000000000000015") == (1, from_text("0.0000000000000000015")[1])
    assert float(from_text("-0.0000000000000000015")[1]) == 0.5
    assert from_text("-0.0000000000000000015")[0] == -2


def test_text_that_is_no_number_is_refused():
    """NaN is not money."""
    with pytest.raises(GridError):
        from_text("NaN")


@pytest.mark.parametrize("sign", ["", "-"])
def test_more_than_a_pair_holds_is_refused(sign):
    """A venue's nonsense is named where it is read, and not met by the journal."""
    with pytest.raises(GridError, match="more than"):
        from_text(f"{sign}99999999999999999999999990.0000001")
    atto, _ = from_text(f"{sign}9223372036854775807")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(to_pair(atto)), type=MoneyPair) == to_pair(atto)
