"""Lockouts: who they lock, until when, and who may clear them."""

from mm_daemon.domain.decisions import Reason, mask
from mm_daemon.domain.orders import RejectKind, Side
from mm_daemon.engine.lockouts import LockoutSet

_MS = 1_000_000


def _lockouts() -> LockoutSet:
    return LockoutSet(1000, 500, 2000)


def test_fill_locks_its_side_until_the_very_instant() -> None:
    """The other side goes on; at the end itself the lockout is over."""
    lockouts = _lockouts()
    lockouts.after_fill(Side.BUY, 5 * _MS)
    assert lockouts.mask(Side.BUY, 1004 * _MS) == Reason.FILL_LOCKOUT.bit
    assert lockouts.mask(Side.BUY, 1005 * _MS) == 0
    assert lockouts.mask(Side.SELL, 6 * _MS) == 0
    assert lockouts.until_ns(Side.BUY, Reason.FILL_LOCKOUT) == 1005 * _MS


def test_recovered_fill_older_than_the_lockout_starts_none() -> None:
    """What happened long ago is no reason to pause now."""
    lockouts = _lockouts()
    lockouts.after_fill(Side.SELL, 0, age_ns=1001 * _MS)
    assert lockouts.mask(Side.SELL, 1) == 0


def test_rejects_in_a_row_double_up_to_a_minute() -> None:
    """2, 4, 8 ... seconds, 60 at most; an accept starts over."""
    lockouts = _lockouts()
    ends = []
    now = 0
    for _ in range(8):
        lockouts.after_reject(Side.BUY, now, RejectKind.INVALID)
        ends.append((lockouts.until_ns(Side.BUY, Reason.REJECT_LOCKOUT) - now) // _MS)
        now = lockouts.until_ns(Side.BUY, Reason.REJECT_LOCKOUT)
    assert ends == [2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]
    lockouts.after_accept(Side.BUY)
    lockouts.after_reject(Side.BUY, now, RejectKind.INVALID)
    assert lockouts.until_ns(Side.BUY, Reason.REJECT_LOCKOUT) - now == 2000 * _MS


def test_post_only_cross_never_doubles() -> None:
    """A quote that came too late says nothing about our orders being wrong."""
    lockouts = _lockouts()
    for now in (0, 10_000 * _MS, 20_000 * _MS):
        lockouts.after_reject(Side.SELL, now, RejectKind.POST_ONLY_CROSS)
        assert lockouts.until_ns(Side.SELL, Reason.REJECT_LOCKOUT) == now + 2000 * _MS


def test_accept_does_not_shorten_a_running_lockout() -> None:
    """Only its own time ends it."""
    lockouts = _lockouts()
    lockouts.after_reject(Side.BUY, 0, RejectKind.OTHER)
    lockouts.after_accept(Side.BUY)
    assert lockouts.mask(Side.BUY, 1999 * _MS) == Reason.REJECT_LOCKOUT.bit


def test_next_expiry_is_the_earliest_end_still_ahead() -> None:
    """Over both sides; None when nothing runs."""
    lockouts = _lockouts()
    assert lockouts.next_expiry_ns(0) is None
    lockouts.after_fill(Side.BUY, 0)
    lockouts.after_order(Side.SELL, 0)
    assert lockouts.next_expiry_ns(0) == 500 * _MS
    assert lockouts.next_expiry_ns(500 * _MS) == 1000 * _MS
    assert lockouts.next_expiry_ns(1000 * _MS) is None


def test_named_lockout_is_cleared_by_its_source_alone() -> None:
    """Two sources of one reason: the reason stands until both are satisfied, on both sides, whatever the time."""
    lockouts = _lockouts()
    lockouts.hold(Reason.RECONCILING, "position")
    lockouts.hold(Reason.RECONCILING, "orders")
    lockouts.hold(Reason.VENUE_BANNED, "venue")
    assert not lockouts.release(Reason.RECONCILING, "somebody else")
    assert lockouts.release(Reason.RECONCILING, "position")
    both = mask(Reason.RECONCILING, Reason.VENUE_BANNED)
    assert lockouts.mask(Side.BUY, 1 << 62) == lockouts.mask(Side.SELL, 0) == both
    assert lockouts.held() == ((Reason.RECONCILING, "orders"), (Reason.VENUE_BANNED, "venue"))
    assert lockouts.release(Reason.RECONCILING, "orders")
    assert lockouts.mask(Side.BUY, 0) == Reason.VENUE_BANNED.bit
    assert lockouts.next_expiry_ns(0) is None


def test_a_side_may_be_held_alone() -> None:
    """The other side goes on; what is kept of it in a checkpoint is the side too."""
    lockouts = LockoutSet(0, 0, 0)
    lockouts.hold(Reason.RECONCILING, "order_size bid", Side.BUY)
    assert lockouts.mask(Side.BUY, 1) == Reason.RECONCILING.bit
    assert lockouts.mask(Side.SELL, 1) == 0
    assert not lockouts.holds_all
    again = LockoutSet(0, 0, 0)
    again.restore(lockouts.state())
    assert (again.mask(Side.BUY, 1), again.mask(Side.SELL, 1)) == (Reason.RECONCILING.bit, 0)
    again.hold(Reason.RECONCILING, "position")
    assert again.holds_all
    assert again.mask(Side.SELL, 1) == Reason.RECONCILING.bit
    again.release(Reason.RECONCILING, "position")
    assert again.mask(Side.SELL, 1) == 0
