"""What a person may choose about differences (EXECUTION 7): orphans, orders of others, positions nothing explains."""

import msgspec

from mm_daemon.core.parameters import ReconcileRules
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.decisions import AmendOrder, CancelAll, OrderQuery, Reason, Turn
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    OpenOrder,
    OrderAmended,
    OrderCancelRejected,
    OrderEventsLost,
    OrderFilled,
    PositionAdopted,
    RateLimited,
    RunStarted,
)
from mm_daemon.domain.money import ATTO, to_pair
from mm_daemon.domain.orders import ClientOrderId, InFlight, Operation, Phase, RejectKind, Side
from mm_daemon.domain.reconciliation import DiffKind
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk, commands

REAL = Capabilities(amend=True)


def working(rules: ReconcileRules | None = None, capabilities: Capabilities = REAL) -> Desk:
    """Both quotes rest."""
    parameters = builders.core_parameters(capabilities=capabilities)
    desk = Desk(msgspec.structs.replace(parameters, reconcile=rules or ReconcileRules()))
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(1000)
    return desk


def shown(desk: Desk) -> list[OpenOrder]:
    """Our quotes as the venue shows them."""
    return [
        OpenOrder(SYMBOL, each.client_id, f"v{each.client_id}", each.side, each.ticks, each.remaining_lots)
        for each in (desk.quote(Side.BUY), desk.quote(Side.SELL))
    ]


def foreign(lots: int = 7) -> OpenOrder:
    return OpenOrder(SYMBOL, None, "stranger-1", Side.BUY, 590_000, lots)


def kinds(turn: Turn) -> list[DiffKind]:
    return [diff.kind for each in turn.reconciled for diff in each.diffs]


def test_an_order_of_others_counts_and_is_left_alone() -> None:
    """By default: it fills our position, so there is less room for ours."""
    desk = working()
    turn = desk.feed(builders.account(2000, *shown(desk), foreign()))
    assert kinds(turn) == [DiffKind.ORDER_FOREIGN]
    assert not commands(turn)
    assert desk.core.ledger.exposure(SYMBOL, Side.BUY) == 17
    assert desk.core.reconciled
    desk.feed(builders.account(12_000, *shown(desk), foreign(3)))
    assert desk.core.ledger.exposure(SYMBOL, Side.BUY) == 13
    desk.feed(builders.account(22_000, *shown(desk)))
    assert desk.core.ledger.exposure(SYMBOL, Side.BUY) == 10


def test_an_order_of_others_is_cancelled_where_that_is_wished() -> None:
    """With everything else of the account, because it has no id that another command could name."""
    desk = working(ReconcileRules(on_foreign_order="cancel"))
    turn = desk.feed(builders.account(2000, *shown(desk), foreign()))
    assert commands(turn) == [CancelAll(builders.VENUE, (Reason.FOREIGN,))]


def test_an_order_of_others_halts_while_it_is_there() -> None:
    """Out until it is gone, for two rounds."""
    desk = working(ReconcileRules(on_foreign_order="halt"))
    desk.feed(builders.snapshot(1990, 600_000, 600_001))
    turn = desk.feed(builders.account(2000, *shown(desk), foreign()))
    assert desk.says() == "bid withdraw (reconciling) | ask withdraw (reconciling)"
    desk.acknowledge(turn, 2010)
    for at_ms in (3000, 4000, 5000):
        desk.feed(builders.account(at_ms, foreign()))
    assert not desk.core.reconciled
    desk.feed(builders.account(6000))
    desk.feed(builders.account(7000))
    assert desk.core.reconciled


def test_an_orphan_may_be_adopted() -> None:
    """It takes the free slot of its side and is moved like any quote."""
    desk = working(ReconcileRules(on_orphan="adopt"))
    bid = desk.quote(Side.BUY)
    desk.fill(Side.BUY, bid.remaining_lots, 1500)
    ask = shown_ask(desk)
    orphan = OpenOrder(SYMBOL, ClientOrderId(900), "v900", Side.BUY, 598_000, 6)
    turn = desk.feed(builders.account(1600, ask, orphan, lots=10))
    assert kinds(turn) == [DiffKind.ORDER_EXTRA_OURS]
    assert not [command for command in commands(turn) if getattr(command, "reasons", ()) == (Reason.ORPHAN,)]
    adopted = desk.core.markets[SYMBOL].working(Side.BUY)
    assert adopted is not None
    assert (adopted.client_id, adopted.phase) == (900, Phase.LIVE)


def shown_ask(desk: Desk) -> OpenOrder:
    ask = desk.quote(Side.SELL)
    return OpenOrder(SYMBOL, ask.client_id, f"v{ask.client_id}", ask.side, ask.ticks, ask.remaining_lots)


def test_a_missing_order_is_asked_about_at_once() -> None:
    """One snapshot without it raises suspicion, and a query."""
    desk = working()
    turn = desk.feed(builders.account(2000, shown_ask(desk)))
    assert kinds(turn) == [DiffKind.ORDER_MISSING_ONCE]
    assert turn.queries == (OrderQuery(SYMBOL, desk.quote(Side.BUY).client_id),)


def test_an_order_in_doubt_is_told_missing_once() -> None:
    """While it is looked into, every further snapshot without it says nothing new."""
    desk = working()
    desk.feed(builders.account(2000, shown_ask(desk)))
    turn = desk.feed(builders.account(12_000, shown_ask(desk)))
    assert kinds(turn) == [DiffKind.ORDER_MISSING]
    assert kinds(desk.feed(builders.account(22_000, shown_ask(desk)))) == []


def test_another_size_is_asked_about_and_cancelled_the_second_time() -> None:
    """Stay out, ask, and if nothing explains it, cancel."""
    desk = working()
    bid = desk.quote(Side.BUY)
    odd = OpenOrder(SYMBOL, bid.client_id, "v1", Side.BUY, bid.ticks, 6)
    turn = desk.feed(builders.account(2000, odd, shown_ask(desk)))
    assert kinds(turn) == [DiffKind.ORDER_SIZE]
    assert OrderQuery(SYMBOL, bid.client_id) in turn.queries
    desk.feed(builders.snapshot(2100, 600_000, 600_001))
    bid_says, ask_says = desk.says().split(" | ")
    assert "reconciling" in bid_says
    assert "reconciling" not in ask_says
    again = TradingCore(desk.core.parameters, desk.core.checkpoint())
    assert not again.reconciled
    assert not again.markets[SYMBOL].facts.reconciling, "only one side is held"


def test_the_answer_to_a_lost_amend_is_in_the_snapshot() -> None:
    """Only its size was asked to change: shown with it, the amend has happened."""
    desk = working()
    bid = desk.quote(Side.BUY)
    amend = AmendOrder(SYMBOL, bid.client_id, bid.ticks, 14, (Reason.SIZE_CHANGED,))
    desk.core.ledger.queue(amend, 1000 * MS)
    desk.core.ledger.released(amend, 1000 * MS)
    desk.feed(CommandOutcomeUnknown(SYMBOL, 0, 1500 * MS, bid.client_id, Operation.AMEND))
    desk.feed(OrderCancelRejected(SYMBOL, 0, 1600 * MS, bid.client_id, RejectKind.OTHER))  # of the cancel as a help
    grown = OpenOrder(SYMBOL, bid.client_id, f"v{bid.client_id}", Side.BUY, bid.ticks, 14)
    turn = desk.feed(builders.account(2000, grown, shown_ask(desk)))
    assert kinds(turn) == [DiffKind.ORDER_SIZE]
    assert bid.lots == 14
    assert bid.amend is not InFlight.UNKNOWN
    assert desk.core.reconciled


def rounds(desk: Desk, first_ms: int, lots: int, times: int) -> list[Turn]:
    """Snapshots a second apart, with our quotes gone."""
    return [desk.feed(builders.account(first_ms + 1000 * n, lots=lots)) for n in range(times)]


def test_a_position_nothing_explains_waits_for_a_person() -> None:
    """After five rounds it has another name; an operator's word takes it over, at the mid, as no trade."""
    desk = working()
    desk.feed(builders.snapshot(1990, 600_000, 600_001))
    turn = desk.feed(builders.account(2000, *shown(desk), lots=3))
    assert kinds(turn) == [DiffKind.POSITION]
    desk.acknowledge(turn, 2010)
    turns = rounds(desk, 3000, 3, 5)
    assert [kinds(each) for each in turns] == [[DiffKind.POSITION]] * 3 + [[DiffKind.POSITION_UNEXPLAINED]] * 2
    market = desk.core.markets[SYMBOL]
    before = market.position.total_atto
    turn = desk.feed(PositionAdopted(8000 * MS, SYMBOL, "anna"))
    assert [(diff.kind, diff.subject) for each in turn.reconciled for diff in each.diffs] == [
        (DiffKind.POSITION_ADOPTED, 3)
    ]
    assert (market.position.lots, market.facts.position_lots) == (3, 3)
    assert market.position.total_atto == before
    assert market.position.bought.lots == 0
    assert [booked.state.lots for booked in turn.booked] == [3]
    rounds(desk, 9000, 3, 2)
    assert desk.core.reconciled


def test_the_venue_may_be_trusted_with_the_position() -> None:
    """`position_adopt: venue`: after five rounds, by itself."""
    desk = working(ReconcileRules(position_adopt="venue"))
    turn = desk.feed(builders.account(2000, *shown(desk), lots=-4))
    desk.acknowledge(turn, 2010)
    turns = rounds(desk, 3000, -4, 4)
    assert kinds(turns[-1]) == [DiffKind.POSITION_ADOPTED]
    assert desk.core.markets[SYMBOL].position.lots == -4
    rounds(desk, 7000, -4, 2)
    assert desk.core.reconciled


def test_there_is_nothing_to_adopt_where_nothing_differs() -> None:
    """A person's word changes no position that both agree on."""
    desk = working()
    turn = desk.feed(PositionAdopted(2000 * MS, SYMBOL, "anna"))
    assert not turn.reconciled
    assert desk.core.markets[SYMBOL].position.lots == 0


def test_lost_order_events_lock_out_until_two_later_rounds_agree() -> None:
    """A round that was asked for before the loss does not count."""
    desk = working()
    turn = desk.feed(OrderEventsLost(builders.VENUE, 0, 2000 * MS, "overflow"))
    assert "reconciling" in desk.says()
    desk.acknowledge(turn, 2010)
    desk.feed(builders.account(2050, requested_ms=1900))
    desk.feed(builders.account(3000))
    assert not desk.core.reconciled
    desk.feed(builders.account(4000))
    assert desk.core.reconciled


def test_after_a_ban_the_account_is_compared_first() -> None:
    """What happened meanwhile we may not have been told."""
    desk = working()
    assert not desk.feed(RateLimited(builders.VENUE, 0, 2000 * MS, None, 1000, True)).released
    desk.acknowledge(desk.wait(3100), 3110)
    assert not desk.core.reconciled
    desk.feed(builders.account(4000))
    assert not desk.core.reconciled
    desk.feed(builders.account(5000))
    assert desk.core.reconciled


def test_a_torn_journal_starts_after_two_rounds() -> None:
    """One is enough only if nothing of what we knew was lost."""
    desk = Desk(builders.core_parameters(capabilities=REAL))
    desk.feed(RunStarted(0, "test", "", None, False), builders.connected(0), builders.account(100))
    assert not desk.core.reconciled
    desk.feed(builders.account(500))
    assert not desk.core.reconciled
    desk.feed(builders.account(1200))
    assert desk.core.reconciled


def test_short_ids_that_still_mean_an_order_are_skipped() -> None:
    """A venue that keeps 32 bits would take the new order for the old one."""
    short = Capabilities(amend=True, client_id_bits=32)
    first = 77 + (1 << 32)
    parameters = builders.core_parameters(capabilities=short, first_client_id=77)
    old = Desk(parameters)
    old.acknowledge(old.open_market(), 10)
    left = old.core.checkpoint()
    again = Desk(msgspec.structs.replace(parameters, first_client_id=ClientOrderId(first)))
    again.core = TradingCore(again.core.parameters, left)
    assert again.core.dispatch.next_client_id() == first + 2  # 77 and 78 live
    assert again.core.dispatch.next_client_id() == first + 3


def test_a_moved_price_that_was_asked_for_is_the_amend() -> None:
    """The acknowledgement was lost; the snapshot stands for it, and the stream may repeat it."""
    desk = working()
    desk.feed(builders.snapshot(1100, 599_900, 599_901))
    bid = desk.quote(Side.BUY)
    ticks, lots = bid.pend_ticks, bid.pend_lots
    assert lots
    desk.core.ledger.expire(60_000 * MS)
    here = OpenOrder(SYMBOL, bid.client_id, f"v{bid.client_id}", Side.BUY, ticks, lots)
    desk.feed(builders.account(61_000, here, shown_ask(desk)))
    assert bid.ticks == ticks
    at = 61_100 * MS
    desk.feed(OrderAmended(SYMBOL, at, at, bid.client_id, f"v{bid.client_id}", ticks, lots))
    assert (bid.ticks, bid.lots) == (ticks, lots)


def test_a_lot_of_a_spot_balance_is_dust() -> None:
    """What is held of a lot is known to the venue alone: one lot more or less is taken over at once, two are not."""
    parameters = builders.core_parameters(capabilities=REAL)
    (market,) = parameters.markets
    spot = msgspec.structs.replace(market, instrument=msgspec.structs.replace(market.instrument, spot=True))
    desk = Desk(msgspec.structs.replace(parameters, markets=(spot,)))
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(1000)
    turn = desk.feed(builders.account(2000, *shown(desk), lots=1))
    assert kinds(turn) == [DiffKind.POSITION_ADOPTED]
    assert desk.core.markets[SYMBOL].position.lots == 1
    turn = desk.feed(builders.account(12_000, *shown(desk), lots=3))
    assert kinds(turn) == [DiffKind.POSITION]


def test_a_fee_out_of_the_base_leaves_the_position() -> None:
    """Two lots and a half of ten: seven are left, and the fee is its value."""
    desk = working()
    bid = desk.quote(Side.BUY)
    fee, base_fee = to_pair(150 * ATTO // 1000), to_pair(25 * ATTO // 10_000)
    desk.feed(
        OrderFilled(
            SYMBOL, 0, 1500 * MS, bid.client_id, f"v{bid.client_id}", "k1", Side.BUY, 600_000, 10, True, fee, base_fee
        )
    )
    position = desk.core.markets[SYMBOL].position
    assert (position.lots, position.fees_atto) == (7, -150 * ATTO // 1000)
    assert position.base_surplus == 5 * ATTO // 10_000


def test_fills_that_only_a_snapshot_tells_of_bring_what_their_fees_leave() -> None:
    """Two purchases of ten lots, a lot and a half of each gone as a fee: seventeen more are what the venue has, and
    nothing is taken over."""
    parameters = builders.core_parameters(capabilities=REAL)
    (market,) = parameters.markets
    spot = msgspec.structs.replace(market, instrument=msgspec.structs.replace(market.instrument, spot=True))
    desk = Desk(msgspec.structs.replace(parameters, markets=(spot,)))
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(1000)
    base_fee = to_pair(15 * ATTO // 10_000)
    fills = tuple(
        OrderFilled(
            SYMBOL, 1400 * MS, 1500 * MS, ClientOrderId(5), "v5", key, Side.BUY, 600_000, 10, True, (0, 0), base_fee
        )
        for key in ("k1", "k2")
    )
    turn = desk.feed(builders.account(5000, *shown(desk), lots=17, fills=fills))
    assert kinds(turn) == [DiffKind.FILL_UNSEEN, DiffKind.FILL_UNSEEN]
    assert desk.core.markets[SYMBOL].position.lots == 17
