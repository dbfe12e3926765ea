"""The law of lockouts: whatever happens, an end once set is not brought forward."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.orders import RejectKind, Side
from mm_daemon.engine.lockouts import LockoutSet

_REASONS = (Reason.FILL_LOCKOUT, Reason.ORDER_LOCKOUT, Reason.REJECT_LOCKOUT)
_STEPS = st.lists(
    st.tuples(
        st.integers(0, 5_000_000_000),
        st.sampled_from(list(Side)),
        st.sampled_from(["fill", "order", "reject", "accept"]),
        st.sampled_from(list(RejectKind)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps=_STEPS)
def test_lockout_is_never_shortened(steps: list[tuple[int, Side, str, RejectKind]]) -> None:
    """Ends only move out; the mask holds a reason exactly until its end; the next expiry is the earliest end ahead."""
    lockouts = LockoutSet(1000, 500, 2000)
    ends = {(side, reason): 0 for side in Side for reason in _REASONS}
    now = 0
    for wait_ns, side, what, kind in steps:
        now += wait_ns
        if what == "fill":
            lockouts.after_fill(side, now)
        elif what == "order":
            lockouts.after_order(side, now)
        elif what == "reject":
            lockouts.after_reject(side, now, kind)
        else:
            lockouts.after_accept(side)
        for (of_side, reason), before in ends.items():
            end = lockouts.until_ns(of_side, reason)
            assert end >= before
            assert bool(lockouts.mask(of_side, now) & reason.bit) == (now < end)
            ends[of_side, reason] = end
        ahead = [end for end in ends.values() if end > now]
        assert lockouts.next_expiry_ns(now) == min(ahead, default=None)
