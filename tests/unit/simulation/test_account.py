"""The account of a simulated venue across two lives of its process."""

import pytest

from mm_daemon.domain.account_history import Entry
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import FundingPaid
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.money import from_pair
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side
from mm_daemon.simulation.account import VenueAccount
from mm_daemon.testkit.builders import SYMBOL, VENUE, instrument
from tests.histories import amounts, same, summed
from tests.simulated import place

TICK_ATTO = 10**14
"""One tick of 0.1 on one lot of 0.001."""


def _account(contract: Instrument | None = None) -> tuple[VenueAccount, list[Entry]]:
    account = VenueAccount(VENUE, [contract or instrument(maker_fee_ppm=200)])
    noted: list[Entry] = list(account.history.entries())
    account.note = noted.append
    return account, noted


def _live(account: VenueAccount) -> None:
    """Buy 4 of 10 at 1000, sell 3 of 3 at 1002, receive funding, leave an order open."""
    bought = account.open(place(1, Side.BUY, 1000, 10))
    account.fill(bought, 1000, 4, maker=True, ts_venue_ns=10, ts_local_ns=11)
    sold = account.open(place(2, Side.SELL, 1002, 3))
    account.fill(sold, 1002, 3, maker=True, ts_venue_ns=20, ts_local_ns=21)
    account.pay_funding(SYMBOL, 5, ts_venue_ns=30, ts_local_ns=31)


def test_noted_entries_restore_the_account() -> None:
    """A venue that begins with what the other one noted serves the same positions, fills and payments."""
    account, noted = _account()
    _live(account)
    before = account.snapshot(40, 40, 0)
    history = summed(noted)
    assert same(history, account.history)
    history.end_open_orders()
    again, _ = _account()
    again.restore(history)
    after = again.snapshot(40, 40, 0)
    assert (after.positions, after.fills, after.payments) == (before.positions, before.fills, before.payments)
    assert [order.client_id for order in before.orders] == [1]
    assert after.orders == ()
    assert after.positions == ((SYMBOL, 1),)


def test_money_is_exact() -> None:
    """Cash is what was paid and received less fees, which the venue rounds against us; funding is its own part."""
    account, _ = _account()
    _live(account)
    fees = 4 * 1000 * TICK_ATTO * 200 // 10**6 + 3 * 1002 * TICK_ATTO * 200 // 10**6
    cash = (-4 * 1000 + 3 * 1002) * TICK_ATTO - fees + 5
    assert amounts(account.history) == {SYMBOL: (1, cash, -fees, 5, 2)}


def test_ids_of_an_earlier_life_are_not_taken_again() -> None:
    """So that no order or fill of the venue ever has the name of another one."""
    account, _ = _account()
    _live(account)
    history = account.history
    history.end_open_orders()
    again, _ = _account()
    again.restore(history)
    refused = again.refusal(place(2, Side.BUY, 1000, 10), 0)
    assert refused is not None
    assert refused[0] is RejectKind.INVALID
    assert again.refusal(place(3, Side.BUY, 1000, 10), 0) is None


def test_questions_after_orders_of_an_earlier_life_get_true_answers() -> None:
    """The one died part filled, the other had filled."""
    account, _ = _account()
    _live(account)
    history = account.history
    history.end_open_orders()
    again, _ = _account()
    again.restore(history)
    died = again.ended(ClientOrderId(1))
    assert died is not None
    assert (died.filled_lots, died.lots) == (4, 10)
    assert again.gone_kind(ClientOrderId(1)) is RejectKind.GONE
    assert again.gone_kind(ClientOrderId(2)) is RejectKind.FILLED


def test_position_in_lots_of_another_size_is_refused() -> None:
    """Five lots are not five lots of something else; without a position the contract may change."""
    account, _ = _account()
    _live(account)
    history = account.history
    with pytest.raises(ConfigError, match=r"holds 1 lots of 0\.001 x 1, and the configuration now says 0\.01 x 1"):
        _account(instrument(lot="0.01"))[0].restore(history)
    empty = VenueAccount(VENUE, [])
    empty.restore(history)
    with pytest.raises(ConfigError, match="put the old size back"):
        empty.define(instrument(lot="0.01"))
    flat = account.open(place(3, Side.SELL, 1000, 1))
    account.fill(flat, 1000, 1, maker=True, ts_venue_ns=40, ts_local_ns=41)
    other, _ = _account(instrument(lot="0.01"))
    other.restore(history)
    assert other.positions == {SYMBOL: 0}


def test_other_markets_of_the_account_are_kept_and_not_shown() -> None:
    """A market that is no longer configured keeps its position in the history, and the snapshot is about ours."""
    account, _ = _account()
    _live(account)
    again = VenueAccount(VENUE, [instrument("ETH-USDT")])
    again.restore(account.history)
    seen = again.snapshot(40, 40, 0)
    assert (seen.fills, seen.payments, dict(seen.positions)) == ((), (), {"test:ETH-USDT": 0})
    assert again.history.lots(SYMBOL) == 1


def test_payment_says_what_was_booked() -> None:
    """Its key names the market and the instant, so that it can be booked once only."""
    account, _ = _account()
    paid = account.pay_funding(SYMBOL, -7, ts_venue_ns=30, ts_local_ns=31)
    assert paid == FundingPaid(SYMBOL, 30, 31, (-1, 10**18 - 7), "test:BTC-USDT@30")
    assert from_pair(paid.amount) == account.history.holdings[SYMBOL].funding_atto == -7


def test_account_clock_goes_on_when_a_recording_is_played_again() -> None:
    """What is booked later has a later time, although the venue's own clock went back; and later than any snapshot."""
    account, _ = _account()
    _live(account)
    account.history.end_open_orders()
    again, _ = _account()
    again.restore(account.history)
    assert again.snapshot(5, 5, 0).ts_venue_ns == 30
    order = again.open(place(3, Side.BUY, 1000, 10))
    early = again.fill(order, 1000, 1, maker=True, ts_venue_ns=4, ts_local_ns=6)
    later = again.fill(order, 1000, 1, maker=True, ts_venue_ns=15, ts_local_ns=16)
    assert (early.ts_venue_ns, later.ts_venue_ns) == (31, 40)
    assert again.snapshot(16, 16, 31).fills == (early, later)
    assert again.snapshot(16, 16, 32).fills == (later,)
