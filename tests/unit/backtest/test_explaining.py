"""Explanations: where numbers come from, what happens at limits, what is said when there is nothing to quote."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from mm_daemon.backtest.explain.daemon import explain_daemon, scenes_of
from mm_daemon.backtest.explain.depths import depths_by_inventory
from mm_daemon.backtest.explain.explaining import explain
from mm_daemon.backtest.explain.explanation import Explanation, MarketExplanation, Quotes
from mm_daemon.backtest.explain.market import Given, scenes, told
from mm_daemon.backtest.explain.text import to_text
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.errors import UsageError
from mm_daemon.domain.events import BookSnapshot, FundingUpdate
from mm_daemon.domain.money import ATTO
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.sizing import MoneySizes
from mm_daemon.observability.live_statistics import LiveStatistics
from mm_daemon.observability.status import Status, Surroundings
from mm_daemon.observability.status_of import status_of
from mm_daemon.observability.summary import Tally
from mm_daemon.testkit import builders as b

AROUND_60000 = Given(bid=Decimal("59999.5"), ask=Decimal("60000.5"))
HOUR_NS = 3_600_000_000_000


def of(quoting: QuoteParameters, given: Given = AROUND_60000, *, fee_ppm: int = 0) -> MarketExplanation:
    return explain(told(b.market(b.instrument(maker_fee_ppm=fee_ppm), quoting=quoting), given, 0, "a test"))


def quotes_of(quoting: QuoteParameters, given: Given = AROUND_60000, *, fee_ppm: int = 0) -> Quotes:
    quotes = of(quoting, given, fee_ppm=fee_ppm).quotes
    assert quotes is not None
    return quotes


def test_what_is_meant_is_told_apart_from_what_is_configured() -> None:
    """gamma and k that were solved are named so; the half-spread when flat is then the one asked for."""
    plain = quotes_of(QuoteParameters())
    assert (plain.risk_aversion.origin, plain.intensity.k_origin, plain.volatility.origin) == (
        "configured",
        "configured",
        "prior",
    )
    meant = quotes_of(QuoteParameters(half_spread_bps=4.0, skew_bps_at_max=3.0))
    assert (meant.risk_aversion.origin, meant.intensity.k_origin) == ("solved", "solved")
    assert meant.half_spread.total_bps == pytest.approx(4.0)
    assert meant.skew.at_max_position_bps == pytest.approx(3.0)
    assert meant.skew.at_min_position_bps == pytest.approx(-3.0)


def test_volatility_says_where_it_comes_from() -> None:
    """Given, or half a tick in a half-life where the estimate is less than that."""
    assert quotes_of(QuoteParameters(), Given(mid=Decimal(60000), sigma_bps=2.0)).volatility.origin == "given"
    coarse = Given(mid=Decimal("0.5"), sigma_bps=1.0)
    assert quotes_of(QuoteParameters(), coarse).volatility.origin == "floor"


def test_a_fill_earns_its_distance_less_its_costs() -> None:
    """From the fair price, after fee and adverse move; money for the whole size."""
    quoting = QuoteParameters(fair_price="mid", adverse_bps=0.5)
    ask = quotes_of(quoting, fee_ppm=100).ask
    assert ask.edge_bps == pytest.approx(ask.from_mid_bps - 1.0 - 0.5)
    assert ask.edge_money == pytest.approx(ask.edge_bps * 1e-4 * 60000.0 * 0.01)
    assert ask.behind_best_ticks == ask.ticks - 600005


def test_the_parts_of_a_spread_that_is_solved_in_slices_are_those_of_whole_solutions() -> None:
    """What a fill costs is passed on whole."""
    quoting = QuoteParameters(model="cartea_jaimungal", tau=9.0, gamma=0.05, k=0.5, adverse_bps=0.5)
    market = b.market(b.instrument(), quoting=quoting, order_lots=10, max_position_lots=1000)
    quotes = explain(told(market, AROUND_60000, 0, "a test")).quotes
    assert quotes is not None
    assert quotes.half_spread.adverse_bps == pytest.approx(0.5)


def test_one_more_fill_moves_both_quotes_by_the_skew() -> None:
    """Down after a buy, up after a sale; at the limit the reason for the missing side is there."""
    quotes = quotes_of(QuoteParameters(fair_price="mid"))
    bought, sold = quotes.bid.after_fill, quotes.ask.after_fill
    assert bought is not None and sold is not None
    assert (bought.position, sold.position) == ("0.010", "-0.010")
    assert bought.bid_bps == pytest.approx(-quotes.skew.per_order_bps)
    assert sold.ask_bps == pytest.approx(quotes.skew.per_order_bps)
    near = quotes_of(
        QuoteParameters(inventory_skip_at=1.0), msgspec.structs.replace(AROUND_60000, position=Decimal("0.04"))
    )
    assert near.bid.after_fill is not None
    assert near.bid.after_fill.bid_reasons == (Reason.MAX_POSITION,)
    assert near.bid.after_fill.ask_reasons == ()


def test_beyond_the_limit_a_side_has_a_reason_in_words() -> None:
    quotes = quotes_of(QuoteParameters(), msgspec.structs.replace(AROUND_60000, position=Decimal("0.05")))
    assert not quotes.bid.quoted
    assert quotes.bid.words == ("position limit reached",)
    assert quotes.bid.after_fill is None
    assert quotes.ask.quoted
    near = {part.name: part.bps for part in quotes.bid.parts}["near_limit"]
    assert near == pytest.approx(-0.25 * quotes.half_spread.total_bps)


def test_a_quote_that_would_take_is_held_at_the_best_price() -> None:
    """A short position that may give much away to be bought back: the bid stays a tick below the best ask."""
    quoting = QuoteParameters(max_spread_bps=0.01, max_give_bps=50.0, gamma=1.0)
    short = Given(mid=Decimal("60000.05"), position=Decimal("-0.05"), sigma_bps=20.0)
    bid = quotes_of(quoting, short).bid
    assert bid.post_only_ticks < 0.0
    assert bid.ticks == 600000


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (Given(bid=Decimal(60000)), Reason.NO_REFERENCE),
        (Given(ask=Decimal(60000)), Reason.NO_REFERENCE),
        (Given(bid=Decimal(60001), ask=Decimal(60000)), Reason.BOOK_INVALID),
        (Given(bid=Decimal(60000), ask=Decimal(60000)), Reason.BOOK_INVALID),
        (Given(mid=Decimal(60000), sigma_bps=50.0), Reason.VOLATILITY_HALT),
        (Given(mid=Decimal(60000), sigma_bps=1e200), Reason.VOLATILITY_HALT),
    ],
)
def test_what_cannot_be_priced_has_a_reason(given: Given, reason: Reason) -> None:
    explained = of(QuoteParameters(volatility_stop=5.0), given)
    assert explained.quotes is None
    assert explained.reasons == (reason,)
    assert explained.words[0] in to_text(Explanation(config="c", markets=(explained,)))


def test_numbers_that_no_model_can_price_have_a_reason() -> None:
    quoting = QuoteParameters(model="avellaneda_stoikov", tau=60.0)
    assert of(quoting, Given(mid=Decimal(60000), sigma_bps=1e200)).reasons == (Reason.BAD_NUMBER,)


def test_an_old_book_gives_no_price() -> None:
    scene = told(b.market(), AROUND_60000, 10 * HOUR_NS, "a test", age_ms=6000)
    assert explain(scene).reasons == (Reason.BOOK_STALE,)


def test_funding_is_a_part_of_its_own_and_so_is_what_holds_it() -> None:
    """Longs pay a percent in a minute: both quotes go down, by no more than `max_shift_bps`."""
    scene = told(b.market(quoting=QuoteParameters(max_shift_bps=0.5)), AROUND_60000, 0, "a test")
    update = FundingUpdate(b.SYMBOL, 0, 0, 10**10, 1_000_000_000, HOUR_NS)
    scene.engine.conditions.on_funding(update)
    quotes = explain(scene).quotes
    assert quotes is not None
    of_bid = {part.name: part.bps for part in quotes.bid.parts}
    assert of_bid["funding"] < -0.5
    assert of_bid["funding"] + of_bid["max_shift"] == pytest.approx(-0.5)


def test_what_is_asked_must_make_sense() -> None:
    """Contradictions and numbers off the grid are told as such, before anything is played."""
    parameters = b.core_parameters(b.market(), b.market(b.instrument("ETH-USDT")))
    for given, symbol, at_s in (
        (Given(mid=Decimal(1)), None, None),
        (Given(position=Decimal(1)), None, None),
        (Given(), "DOGE-USDT", None),
        (Given(mid=Decimal(1), bid=Decimal(1)), "BTC-USDT", None),
        (Given(mid=Decimal(1)), "BTC-USDT", 3.0),
        (Given(mid=Decimal("1.01")), "BTC-USDT", None),
        (Given(bid=Decimal(-1)), "BTC-USDT", None),
        (Given(bid=Decimal("nan")), "BTC-USDT", None),
        (Given(bid_size=Decimal(1)), "BTC-USDT", None),
        (Given(position=Decimal("0.0001")), "test:BTC-USDT", None),
        (Given(sigma_bps=float("inf")), None, None),
    ):
        with pytest.raises(UsageError):
            scenes(parameters, {}, given, symbol=symbol, at_s=at_s)


@pytest.mark.parametrize("model", ["glft_exact", "cartea_jaimungal", "fixed_spread", "avellaneda_stoikov_infinite"])
def test_depths_by_inventory_stand_beside_those_of_glft(model: str) -> None:
    """Over all positions, falling for the bid; a side beyond the bound is there, but not quoted."""
    curves = depths_by_inventory(told(b.market(quoting=QuoteParameters(model=model)), AROUND_60000, 0, ""))
    assert [points[0].position for points in (curves.model, curves.glft)] == [-0.05, -0.05]
    assert [points[-1].position for points in (curves.model, curves.glft)] == [0.05, 0.05]
    assert curves.model[-1].bid_bps > curves.model[0].bid_bps
    assert (curves.model[-1].bid_quoted, curves.model[-1].ask_quoted) == (False, True)
    assert any(point.position == 0.0 for point in curves.model)


def test_glft_is_not_compared_with_itself() -> None:
    curves = depths_by_inventory(told(b.market(), AROUND_60000, 0, ""))
    assert len(curves.model) == 101
    assert curves.glft == ()


def status(parameters: QuoteParameters) -> tuple[TradingCore, Status]:
    core = TradingCore(b.core_parameters(b.market(quoting=parameters)))
    for event in (b.connected(), b.account(), b.snapshot(1, 599995, 600005)):
        core.apply(event)
    core.decide(2 * b.MS)
    around = Surroundings(version="1", mode="paper", pid=1, config="c", journal="j", started_ns=0)
    return core, status_of(core, {b.SYMBOL: Tally()}, LiveStatistics(core.markets, 0).markets, around, 5 * b.MS)


def test_a_running_daemon_is_explained_as_it_quotes() -> None:
    """The same quotes, what it says itself as a note, and a warning when its half-spread is another."""
    core, running = status(QuoteParameters())
    (scene,) = scenes_of(core.parameters, running, Given())
    explained = explain_daemon(scene, running)
    pricing = core.markets[b.SYMBOL].pricing
    assert explained.quotes is not None and pricing is not None
    assert (explained.quotes.bid.ticks, explained.quotes.ask.ticks) == (pricing.bid.ticks, pricing.ask.ticks)
    assert any("the daemon on its bid" in note for note in explained.notes)
    assert not any("half-spread" in note for note in explained.notes)
    others = b.core_parameters(b.market(quoting=QuoteParameters(k=1.0)))
    (scene,) = scenes_of(others, running, Given(position=Decimal("0.02")))
    explained = explain_daemon(scene, running)
    assert explained.situation.position == "0.020"
    assert any("the daemon's half-spread" in note for note in explained.notes)


def test_a_market_that_the_daemon_does_not_have_is_named() -> None:
    _, running = status(QuoteParameters())
    with pytest.raises(UsageError, match="ETH"):
        scenes_of(b.core_parameters(b.market(b.instrument("ETH-USDT"))), running, Given())


GUARDED = QuoteParameters(
    stop_loss_bps=20.0,
    max_position_age_s=600.0,
    day_loss_widen=50.0,
    day_loss_stop=100.0,
    inventory_exit_at=0.9,
    volatility_widen=1.0,
    volatility_stop=2.0,
    sessions=("08:00-16:30",),
    blackouts=("12:00-12:05",),
    toxic_cool_down_ms=3000,
)
TEN_NS = 10 * HOUR_NS


def guarded(now_ns: int = TEN_NS, **given: Any) -> MarketExplanation:
    asked = msgspec.structs.replace(AROUND_60000, **given)
    return explain(told(b.market(quoting=GUARDED), asked, now_ns, "a test"))


def acting(explained: MarketExplanation) -> list[str]:
    return [guard.name for guard in explained.guards if guard.acts]


def test_every_guard_that_is_configured_is_shown_without_a_daemon() -> None:
    """What it sees and from where on it acts; without any, only what inventory does."""
    explained = guarded()
    assert [guard.name for guard in explained.guards] == [
        "inventory",
        "stop_loss",
        "position_age",
        "day_loss",
        "volatility",
        "hours",
        "toxic_flow",
    ]
    assert acting(explained) == []
    page = to_text(Explanation(config="c", markets=(explained,)))
    for guard in explained.guards:
        assert guard.words in page
    assert "open at 10:00 UTC; quoted 08:00-16:30 but for 12:00-12:05" in page
    assert [guard.name for guard in of(QuoteParameters()).guards] == ["inventory"]


@pytest.mark.parametrize(
    ("given", "name", "reason", "words"),
    [
        ({"entry": Decimal(60200)}, "stop_loss", Reason.STOP_LOSS, "entered at 60200, loses 33.2 bps"),
        ({"age_s": 600.0}, "position_age", Reason.POSITION_AGE, "held for 600 s"),
        ({"day_loss": 101.0}, "day_loss", Reason.LOSS_LIMIT, "the day has cost 101 USDT"),
        ({"position": Decimal("0.046")}, "inventory", Reason.MAX_POSITION, "92% of the limit"),
    ],
)
def test_a_guard_that_acts_says_so_and_its_side_has_the_reason(
    given: dict[str, Any], name: str, reason: Reason, words: str
) -> None:
    """A long position that is to be worked off: no bid, and the ask next to the best bid."""
    explained = guarded(**{"position": Decimal("0.02"), **given})
    (guard,) = (guard for guard in explained.guards if guard.acts)
    assert guard.name == name
    assert words in guard.words
    assert explained.quotes is not None
    assert reason in explained.quotes.bid.reasons
    assert explained.quotes.ask.quoted
    assert explained.quotes.ask.ticks == 599996
    after = explained.quotes.ask.after_fill
    assert after is not None
    flat_again = after.position == "0.000"
    assert (reason in after.bid_reasons) is (not flat_again or name == "day_loss") or name == "inventory"


def test_a_guard_that_does_not_act_yet_says_how_far_it_is() -> None:
    """A gain is no loss, and half of the loss widens by half."""
    explained = guarded(position=Decimal("-0.02"), entry=Decimal(60200), age_s=30.0, day_loss=75.0)
    words = {guard.name: guard.words for guard in explained.guards}
    assert words["stop_loss"].startswith("entered at 60200, gains 33.2 bps")
    assert words["position_age"].startswith("held for 30 s")
    assert "the day has cost 75 USDT; wider from 50 (now 1.5 times)" in words["day_loss"]
    assert acting(explained) == ["day_loss"]
    assert explained.quotes is not None
    assert explained.quotes.half_spread.widening == pytest.approx(1.5)


def test_hours_and_volatility_act_by_themselves() -> None:
    """Outside the session both sides say so; a wild market has no quotes, and its guard says why."""
    closed = guarded(now_ns=7 * HOUR_NS)
    assert acting(closed) == ["hours"]
    assert closed.quotes is not None
    assert closed.quotes.bid.reasons == closed.quotes.ask.reasons == (Reason.SESSION_CLOSED,)
    wild = guarded(sigma_bps=4.0)
    assert acting(wild) == ["volatility"]
    assert wild.reasons == (Reason.VOLATILITY_HALT,)


def test_what_was_said_of_a_position_needs_one() -> None:
    parameters = b.core_parameters(b.market(quoting=GUARDED))
    for given in (
        Given(entry=Decimal(60000)),
        Given(age_s=5.0),
        Given(position=Decimal("0.01"), age_s=-1.0),
        Given(position=Decimal("0.01"), entry=Decimal(0)),
        Given(day_loss=float("nan")),
    ):
        with pytest.raises(UsageError):
            scenes(parameters, {}, given)


def test_the_guard_of_a_running_daemon_is_explained_with_its_state() -> None:
    """Its entry price, how long it has been held and what the day has cost; another position has none of it."""
    quoting = msgspec.structs.replace(GUARDED, sessions=(), blackouts=(), fair_price="mid")
    core, _ = status(quoting)
    market = core.markets[b.SYMBOL]
    market.position.fill(20, 602000, 1_200_000, fee_atto=0)
    core.apply(b.snapshot(1000, 599995, 600005, update_id=2))
    core.decide(1000 * b.MS)
    around = Surroundings(version="1", mode="paper", pid=1, config="c", journal="j", started_ns=0)
    running = status_of(core, {b.SYMBOL: Tally()}, LiveStatistics(core.markets, 0).markets, around, 31_000 * b.MS)
    (scene,) = scenes_of(core.parameters, running, Given())
    words = {guard.name: guard.words for guard in explain_daemon(scene, running).guards}
    assert words["stop_loss"].startswith("entered at 60200, loses 33.2 bps")
    assert words["position_age"].startswith("held for 30 s")
    assert "the day has cost 4 USDT" in words["day_loss"]
    (scene,) = scenes_of(core.parameters, running, Given(position=Decimal("0.01")))
    words = {guard.name: guard.words for guard in explain_daemon(scene, running).guards}
    assert words["stop_loss"].startswith("no entry price was given")
    assert "the day has cost 4 USDT" in words["day_loss"]


def test_a_size_in_money_is_explained() -> None:
    """With the lots it comes to at this price."""
    money = MoneySizes(order_atto=600 * ATTO, max_position_atto=3000 * ATTO, min_position_atto=0)
    market = msgspec.structs.replace(b.market(quoting=QuoteParameters(size_depth_share=0.5)), money=money)
    scene = told(market, AROUND_60000, 0, "a test")
    explained = explain(scene)
    assert explained.situation.order_size == "0.010"
    assert (explained.situation.max_position, explained.situation.min_position) == ("0.050", "0.000")
    assert explained.situation.sized_by == "600 USDT at this price, the limit 3000"
    assert any("size_depth_share" in note for note in explained.notes)
    scene.engine.look_at_depth(one_level(8, 1000), 0)
    thin = explain(scene)
    assert thin.situation.sized_by is not None
    assert "by the displayed depth a bid has 0.004 at most, an ask 0.500" in thin.situation.sized_by
    assert thin.quotes is not None and explained.quotes is not None
    assert (explained.quotes.bid.size, thin.quotes.bid.size) == ("0.010", "0.004")
    assert "order size" in to_text(Explanation(config="c", markets=(thin,)))


@pytest.mark.parametrize(
    ("keys", "left_s"),
    [
        ({"model": "cartea_jaimungal", "tau": 20.0}, 20.0),
        ({"model": "avellaneda_stoikov", "tau": "session", "session_s": 60.0}, None),
        ({"model": "cartea_jaimungal"}, None),
        ({"model": "glft", "tau": 20.0}, None),
    ],
)
def test_a_model_with_an_end_says_how_far_it_is(keys: dict[str, Any], left_s: float | None) -> None:
    """Seconds of `tau`, or of the session at that instant; nothing where quotes have no end."""
    explained = of(QuoteParameters(**keys))
    assert explained.quotes is not None
    left = explained.quotes.skew.left_s
    if keys.get("tau") == "session":
        assert left is not None and 0.0 < left <= 60.0
    else:
        assert left == left_s
    assert ("s to the end" in to_text(Explanation(config="c", markets=(explained,)))) == (left is not None)


def test_a_size_by_impact_is_explained() -> None:
    """What Kyle's lambda makes of it, or that it is not known yet."""
    scene = told(b.market(quoting=QuoteParameters(size_impact_bps=0.5)), AROUND_60000, 0, "a test")
    assert explain(scene).situation.sized_by == "what moves the mid by 0.5 bps is not known yet (Kyle's lambda)"
    state = scene.engine.conditions.state()
    assert state is not None
    for value, words, size in (
        (2000.0, "0.004 moves the mid by 0.5 bps (Kyle's lambda is 2000 bps per million)", "0.004"),
        (0.0, "no order moves the mid by 0.5 bps (Kyle's lambda is 0 bps per million)", "0.010"),
    ):
        kyle = msgspec.structs.replace(state.kyle, value=value, half_ticks=2 * 600_000)
        scene.engine.conditions.restore(msgspec.structs.replace(state, kyle=kyle))
        explained = explain(scene)
        assert explained.situation.sized_by == words
        assert explained.quotes is not None
        assert explained.quotes.ask.size == size


def one_level(bid_lots: int, ask_lots: int) -> OrderBook:
    made = OrderBook()
    made.apply_snapshot(BookSnapshot(b.SYMBOL, 0, 0, ((599995, bid_lots),), ((600005, ask_lots),), 1))
    return made
