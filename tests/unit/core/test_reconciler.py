"""What a venue's snapshot does to the core: what it books, what it buries, what it holds, when it lets go."""

import msgspec

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.decisions import CancelAll, CancelOrder, Reason
from mm_daemon.domain.events import FundingPaid, OpenOrder, OrderCanceled, OrderFilled, RunStarted
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import ClientOrderId, Phase, Side
from mm_daemon.domain.reconciliation import DiffKind
from mm_daemon.journal.recovery import left_by
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk, commands


def fill(client_id: int, lots: int, key: str, at_ms: int, side: Side = Side.BUY, ticks: int = 599_000) -> OrderFilled:
    at_ns = at_ms * MS
    number = ClientOrderId(client_id)
    return OrderFilled(SYMBOL, at_ns, at_ns, number, f"v{client_id}", key, side, ticks, lots, True, (0, 5))


def resumed(desk: Desk, at_ms: int) -> Desk:
    """Another life of the same core."""
    left = desk.core.checkpoint()
    again = Desk(desk.core.parameters)
    again.core = TradingCore(desk.core.parameters, left)
    again.feed(RunStarted(at_ms * MS, "test", desk.core.parameters.to_json(), left))
    return again


def working() -> Desk:
    desk = Desk()
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(1000)
    return desk


def test_fill_that_only_the_venue_knows_is_booked_at_the_start() -> None:
    """Killed between the venue's fill and our journal: position and fee are the venue's, and the market starts."""
    desk = working()
    bid = desk.quote(Side.BUY)
    again = resumed(desk, 2000)
    told = fill(bid.client_id, 4, "f1", 1500)
    turn = again.feed(builders.account(2001, lots=4, fills=(told,)))
    market = again.core.markets[SYMBOL]
    assert market.position.lots == 4
    assert market.position.fees_atto == -5
    assert [booked.state.lots for booked in turn.booked] == [4]
    (came_of_it,) = turn.reconciled
    assert came_of_it.clean
    assert came_of_it.fills == (msgspec.structs.replace(told),)
    assert {diff.kind for diff in came_of_it.diffs} == {DiffKind.FILL_UNSEEN, DiffKind.ORDER_MISSING}
    assert again.core.ledger.open_orders() == 0
    assert again.core.reconciled


def test_known_fill_is_not_booked_again() -> None:
    """Its key is in the checkpoint."""
    desk = working()
    bid = desk.quote(Side.BUY)
    told = fill(bid.client_id, 4, "f1", 1500)
    desk.feed(told)
    again = resumed(desk, 2000)
    again.feed(builders.account(2001, lots=4, fills=(told,)))
    assert again.core.markets[SYMBOL].position.lots == 4
    assert again.core.reconciled


def test_fill_that_is_told_again_long_after_it_is_not_booked_again() -> None:
    """Its key is forgotten by then, in this life as in the next one: no stream makes news of it."""
    desk = working()
    told = fill(desk.quote(Side.BUY).client_id, 4, "f1", 1500)
    desk.feed(told)
    later_ms = 1500 + (desk.core.parameters.orders.keep_final_s + 60) * 1000
    desk.wait(later_ms)
    assert not desk.core.ledger.seen(SYMBOL, "f1")
    for each in (desk, resumed(desk, later_ms + 1000)):
        assert each.core.markets[SYMBOL].position.lots == 4
        each.feed(msgspec.structs.replace(told, ts_local_ns=(later_ms + 2000) * MS))
        assert each.core.markets[SYMBOL].position.lots == 4
        assert each.core.ledger.duplicates == 1


def test_fill_that_was_left_to_the_stream_is_not_lost_by_a_death() -> None:
    """A snapshot while running books what the stream should have told long ago, and leaves what is young to it. Who
    lives the journal again must not take the young one for booked: its key would be known and its lots missing."""
    desk = working()
    bid = desk.quote(Side.BUY)
    old, young = fill(bid.client_id, 3, "old", 1500), fill(bid.client_id, 4, "young", 2900)
    started = RunStarted(0, "test", desk.core.parameters.to_json(), None)
    before = desk.core.checkpoint()
    shown = builders.account(3000, lots=7, fills=(old, young))
    turn = desk.feed(shown)
    assert desk.core.markets[SYMBOL].position.lots == 3
    left = left_by([started, before, shown, *turn.booked, *turn.reconciled])
    assert left is not None
    assert [key.key for key in left[0].ledger.fills] == ["old"]
    again = Desk(desk.core.parameters)
    again.core = TradingCore(desk.core.parameters, left[0])
    again.feed(RunStarted(4000 * MS, "test", desk.core.parameters.to_json(), left[0]))
    assert again.core.markets[SYMBOL].position.lots == 3
    again.feed(builders.account(4001, lots=7, fills=(old, young)))
    assert again.core.markets[SYMBOL].position.lots == 7


def test_what_was_booked_at_a_start_is_known_after_a_death() -> None:
    """At a start the stream has told nothing: young fills and payments are booked at once, and so they are relived."""
    desk = working()
    young = fill(desk.quote(Side.BUY).client_id, 4, "young", 2900)
    paid = FundingPaid(SYMBOL, 2950 * MS, 2950 * MS, (1, 0), "pay")
    again = resumed(desk, 2990)
    started = RunStarted(2990 * MS, "test", desk.core.parameters.to_json(), desk.core.checkpoint())
    shown = builders.account(3000, lots=4, fills=(young,), payments=(paid,))
    turn = again.feed(shown)
    left = left_by([started, shown, *turn.booked, *turn.reconciled])
    assert left is not None
    assert [key.key for key in left[0].ledger.fills] == ["young"]
    assert [key.key for key in left[0].payments] == ["pay"]
    assert [(each.position.lots, each.position.funding) for each in left[0].markets] == [(4, (1, 0))]


def test_payment_that_only_the_venue_knows_is_booked_once() -> None:
    """Funding is told by its key like a fill."""
    desk = working()
    again = resumed(desk, 2000)
    paid = FundingPaid(SYMBOL, 1500 * MS, 1500 * MS, (-1, ATTO // 2), "pay-1")
    again.feed(builders.account(2001, payments=(paid,)))
    again.feed(paid)
    assert again.core.markets[SYMBOL].position.funding_atto == -ATTO // 2
    third = resumed(again, 3000)
    third.feed(builders.account(3001, payments=(paid,)))
    assert third.core.markets[SYMBOL].position.funding_atto == -ATTO // 2


def test_history_of_a_venue_never_met_is_none_of_ours() -> None:
    """Fills that are older than our first snapshot are not booked; a position they left is a difference."""
    desk = Desk()
    turn = desk.feed(builders.connected(), builders.account(100, lots=7, fills=(fill(3, 7, "old", 50),)))
    assert desk.core.markets[SYMBOL].position.lots == 0
    (came_of_it,) = turn.reconciled
    assert [(diff.kind, diff.subject) for diff in came_of_it.diffs] == [(DiffKind.POSITION, 7)]
    assert not came_of_it.clean
    turn = desk.feed(builders.snapshot(200, 600_000, 600_001))
    assert not turn.released
    assert "starting, reconciling" in desk.says()
    assert not desk.core.reconciled


def test_start_is_let_go_when_the_account_comes_to_agree() -> None:
    """One clean round is enough at the start."""
    desk = Desk()
    desk.feed(builders.connected(), builders.account(100, lots=7), builders.snapshot(150, 600_000, 600_001))
    turn = desk.feed(builders.account(1200))
    assert turn.reconciled[0].clean
    assert desk.core.reconciled
    assert "quote" in desk.says()


def test_position_that_moves_away_while_running_holds_until_two_clean_rounds() -> None:
    """Quotes are pulled for `reconciling`; a second clean round, a second later, brings them back."""
    desk = working()
    desk.feed(builders.snapshot(2000, 600_000, 600_001))
    bid, ask = desk.quote(Side.BUY), desk.quote(Side.SELL)
    shown = [
        OpenOrder(SYMBOL, order.client_id, f"v{order.client_id}", order.side, order.ticks, order.remaining_lots)
        for order in (bid, ask)
    ]
    turn = desk.feed(builders.account(2100, *shown, lots=3))
    assert [type(command) for command in commands(turn)] == [CancelOrder, CancelOrder]
    assert desk.says() == "bid withdraw (reconciling) | ask withdraw (reconciling)"
    desk.acknowledge(turn, 2110)
    desk.feed(builders.account(3000))
    desk.feed(builders.account(3500))
    assert not desk.core.reconciled
    desk.feed(builders.account(4000))
    assert desk.core.reconciled


def test_order_absent_twice_is_dead_at_a_venue_in_this_process() -> None:
    """Once is no proof; the slot is free after the second round."""
    desk = working()
    bid, ask = desk.quote(Side.BUY), desk.quote(Side.SELL)
    there = OpenOrder(SYMBOL, ask.client_id, f"v{ask.client_id}", Side.SELL, ask.ticks, ask.remaining_lots)
    desk.feed(builders.account(2000, there))
    assert bid.phase is Phase.LIVE
    desk.feed(builders.account(12_000, there))
    assert bid.phase is Phase.CANCELED
    assert ask.phase is Phase.LIVE


def test_order_absent_twice_is_only_suspected_at_a_real_venue() -> None:
    """A snapshot is no proof: the slot stays held until the venue can no longer fill it."""
    desk = Desk(builders.core_parameters(capabilities=Capabilities(amend=True)))
    desk.acknowledge(desk.open_market(), 10)
    bid = desk.quote(Side.BUY)
    desk.feed(builders.account(2000))
    desk.feed(builders.account(12_000))
    assert bid.phase is Phase.CLOSING
    assert bid.exposure == 10


def test_what_was_touched_since_the_request_is_not_compared() -> None:
    """The stream knows more than a snapshot that is older."""
    desk = working()
    bid = desk.quote(Side.BUY)
    desk.feed(fill(bid.client_id, 4, "f1", 1500))
    turn = desk.feed(builders.account(1510, requested_ms=1400))
    assert turn.reconciled == () or all(
        diff.kind is not DiffKind.POSITION for each in turn.reconciled for diff in each.diffs
    )
    assert desk.core.reconciled


def test_order_of_ours_without_a_record_is_cancelled() -> None:
    """An orphan belongs to no slot and counts until it is gone."""
    desk = working()
    bid, ask = desk.quote(Side.BUY), desk.quote(Side.SELL)
    shown = [
        OpenOrder(SYMBOL, order.client_id, f"v{order.client_id}", order.side, order.ticks, order.remaining_lots)
        for order in (bid, ask)
    ]
    orphan = OpenOrder(SYMBOL, ClientOrderId(900), "v900", Side.BUY, 598_000, 6)
    turn = desk.feed(builders.account(2000, *shown, orphan))
    (cancel,) = commands(turn)
    assert isinstance(cancel, CancelOrder)
    assert (cancel.client_id, cancel.reasons) == (900, (Reason.ORPHAN,))
    assert desk.core.ledger.exposure(SYMBOL, Side.BUY) == 16


def test_an_orphan_that_had_filled_before_we_knew_of_it_ends() -> None:
    """Its death names lots that were filled before our record of it began: they are not owed for ever, but until the
    fills are complete beyond its end.
    """
    desk = working()
    orphan_id = ClientOrderId(900)
    shown = [
        OpenOrder(SYMBOL, order.client_id, f"v{order.client_id}", order.side, order.ticks, order.remaining_lots)
        for order in (desk.quote(Side.BUY), desk.quote(Side.SELL))
    ]
    desk.feed(builders.account(2000, *shown, OpenOrder(SYMBOL, orphan_id, "v900", Side.BUY, 598_000, 6)))
    desk.feed(OrderCanceled(SYMBOL, 2100 * MS, 2100 * MS, orphan_id, "v900", True, 4))
    orphan = desk.core.ledger.get(orphan_id)
    assert orphan is not None
    assert (orphan.phase, orphan.exposure) == (Phase.CLOSING, 4)
    desk.feed(builders.account(8000, *shown))
    assert orphan.exposure == 4, "a fill of its last moment may not have been told yet"
    desk.feed(builders.account(14_000, *shown))
    assert (orphan.phase, orphan.exposure) == (Phase.CANCELED, 0)


def test_order_that_we_thought_dead_pulls_everything() -> None:
    """If we were wrong about one order we may be about others."""
    desk = working()
    bid = desk.quote(Side.BUY)
    desk.fill(Side.BUY, 10, 1100)
    zombie = OpenOrder(SYMBOL, bid.client_id, f"v{bid.client_id}", Side.BUY, bid.ticks, 5)
    turn = desk.feed(builders.account(2500, zombie, lots=10))
    assert CancelAll in [type(command) for command in commands(turn)]
    assert not desk.core.reconciled


def test_kill_latch_and_pause_outlive_the_process() -> None:
    """R15: quoting stays off across restarts until an operator says otherwise."""
    desk = working()
    desk.core.gate.latch("operator anna")
    again = resumed(desk, 2000)
    again.feed(builders.connected(2001), builders.account(2001), builders.snapshot(2002, 600_000, 600_001))
    assert again.says().startswith("bid withdraw (kill_latched")
    assert again.core.gate.latched == "operator anna"


def test_lockouts_keep_the_time_they_had_left_when_the_clock_begins_again() -> None:
    """A recording that is played from its start is earlier than its own end; nobody waits for minutes."""
    desk = working()
    desk.fill(Side.BUY, 4, 300_000)
    again = resumed(desk, 1000)
    market = again.core.markets[SYMBOL]
    assert market.lockouts.until_ns(Side.BUY, Reason.FILL_LOCKOUT) == 2000 * MS
    assert market.position.lots == 4
