"""Two-way position mode of OKX, Bybit and KuCoin futures, offline: each order names its leg in the venue's own words,
and positions and fills are read leg by leg."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from connectors.ccxt import position_mode
from connectors.ccxt.account import AccountReader
from connectors.ccxt.legs import Leg, Legs, leg_of
from connectors.ccxt.settings import PositionMode
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import OrderRejected
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side
from mm_daemon.ports.connector import ConnectorContext
from tests.unit.connectors.ccxt.offline import NOW_NS, Offline, filled_in, payload

FOLDERS = {"okx": "okx", "bybit": "bybit", "kucoinfutures": "kucoin"}
OURS = {"clOrdId": "mm1", "ordId": "111", "orderLinkId": "mm1", "orderId": "111", "clientOid": "mm1"}
WORDS: Mapping[str, tuple[str, Any, Any]] = {
    "okx": ("posSide", "long", "short"),
    "bybit": ("positionIdx", 1, 2),
    "kucoinfutures": ("positionSide", "LONG", "SHORT"),
}
"""The field of an order that names its leg, and what it says of either."""


@pytest.fixture(params=WORDS)
async def venue(request: pytest.FixtureRequest) -> AsyncIterator[Offline]:
    offline = await Offline(request.param, position_mode=PositionMode.TWO_WAY).load()
    yield offline
    await offline.close()


def hold(offline: Offline, long: int, short: int) -> Legs:
    legs, name = offline.kept.legs, offline.contract.instrument.id
    assert legs is not None
    legs.read({(name, Leg.LONG): long, (name, Leg.SHORT): short}, (), (), since=legs.mark(), requested_ns=0)
    return legs


async def sent(offline: Offline, number: int, side: Side, lots: int, **keys: Any) -> Mapping[str, Any]:
    """The body of one order as it leaves."""
    answer = filled_in(payload(FOLDERS[offline.exchange.id], "rest_place_order"), **OURS)
    offline.answer(filled_in(answer, clOrdId=f"mm{number}", orderLinkId=f"mm{number}", clientOid=f"mm{number}"))
    await offline.send(offline.place(number, 250_000, lots, side, **keys))
    body = offline.sent[-1][2]
    found: Mapping[str, Any] = body[0] if isinstance(body, list) else body
    return found


async def test_each_order_names_its_leg(venue: Offline) -> None:
    """Flat: either side opens its own leg. Both held: either side closes the other's."""
    key, long, short = WORDS[venue.exchange.id]
    opened = [await sent(venue, 1, Side.BUY, 4), await sent(venue, 2, Side.SELL, 4)]
    assert [body[key] for body in opened] == [long, short]
    hold(venue, 4, 4)
    closed = [await sent(venue, 3, Side.BUY, 4), await sent(venue, 4, Side.SELL, 4, reduce_only=True)]
    assert [body[key] for body in closed] == [short, long]
    sides = [body["side"].lower() for body in closed]
    assert sides == ["buy", "sell"]
    only = venue.exchange.id == "kucoinfutures"  # where ccxt says it beside the leg
    assert [bool(body.get("reduceOnly")) for body in (*opened, *closed)] == [False, False, only, only]


async def test_reduce_only_beyond_its_leg_is_not_sent(venue: Offline) -> None:
    (refused,) = await venue.send(venue.place(1, 250_000, 4, Side.SELL, reduce_only=True))
    assert isinstance(refused, OrderRejected) and refused.kind is RejectKind.REDUCE_ONLY
    assert not venue.sent


def positions_of(exchange: str) -> Any:
    """Six lots long and two short, as the exchange documents its rows."""
    if exchange == "okx":
        answer = payload("okx", "rest_get_account_positions")
        row = {**answer["data"][0], "instId": "BTC-USDT-SWAP", "instType": "SWAP", "ccy": "USDT", "mgnMode": "cross"}
        row |= {"lever": "3", "markPx": "25000", "imr": "1", "notionalUsd": "10", "mmr": "0.1", "margin": ""}
        rows = [{**row, "posSide": "long", "pos": "0.06"}, {**row, "posSide": "short", "pos": "0.02"}]
        return {**answer, "data": rows}
    if exchange == "bybit":
        answer = payload("bybit", "rest_get_positions")
        row = {**answer["result"]["list"][0], "symbol": "BTCUSDT"}
        rows = [
            {**row, "positionIdx": 1, "side": "Buy", "size": "0.006"},
            {**row, "positionIdx": 2, "side": "Sell", "size": "0.002"},
        ]
        return {**answer, "result": {**answer["result"], "list": rows, "category": "linear"}}
    answer = payload("kucoin", "rest_get_positions")
    rows = [
        {**answer["data"][0], "positionSide": "LONG", "currentQty": 6},
        {**answer["data"][0], "positionSide": "SHORT", "currentQty": -2},
    ]
    return {**answer, "data": rows}


def reader(offline: Offline) -> AccountReader:
    context = ConnectorContext(
        venue=Venue(offline.exchange.id), symbols=(), emit=print, now_ns=lambda: NOW_NS, delay_s=lambda _ns: 0.0
    )
    return AccountReader(context, offline.requests, offline.prices, lambda: NOW_NS, page=50)


async def test_positions_are_read_leg_by_leg(venue: Offline) -> None:
    venue.answer(positions_of(venue.exchange.id))
    held = await reader(venue)._held()
    name = venue.contract.instrument.id
    assert held == {(name, Leg.LONG): 6, (name, Leg.SHORT): 2}
    assert reader(venue)._net(held) == ((name, 4),)


async def test_the_first_reading_of_an_account_knows_its_legs_although_it_wants_no_fills() -> None:
    """As at the first start at a venue: what is held there is closed, not held twice. Later ones without fills are no
    readings of legs, because a fill may be on its way.
    """
    offline = await Offline("okx", position_mode=PositionMode.TWO_WAY).load()
    legs, name, never = offline.kept.legs, offline.contract.instrument.id, 1 << 62
    assert legs is not None
    nothing = {"code": "0", "data": [], "msg": ""}
    for answer in (positions_of("okx"), nothing, positions_of("okx")):
        offline.answer(answer)
    assert (await reader(offline).snapshot(never)).boxed == ((name, 2),)
    assert (legs.held(name, Leg.LONG), legs.held(name, Leg.SHORT)) == (6, 2)
    for _ in range(3):
        offline.answer(nothing)
    await reader(offline).snapshot(never)
    assert (legs.held(name, Leg.LONG), legs.held(name, Leg.SHORT)) == (6, 2)
    await offline.close()


async def test_fills_say_their_leg_where_the_venue_does(venue: Offline) -> None:
    """A fill of an order that another process sent."""
    exchange = venue.exchange.id
    key, _, short = WORDS[exchange]
    legs = hold(venue, 4, 4)
    row: dict[str, Any] = {"symbol": venue.contract.unified, "side": "buy", "id": "t9", "order": "9", "price": "25000"}
    row |= {"amount": venue.contract.amount(1), "info": {key: short}}
    fill = venue.kept.filled(row, NOW_NS)
    assert fill is not None
    legs.fill(fill, leg_of(row["info"]))
    name = venue.contract.instrument.id
    assert (legs.held(name, Leg.LONG), legs.held(name, Leg.SHORT)) == (4, 3)


def mode_of(exchange: str, *, hedged: bool) -> Any:
    """The answer by which an exchange tells the account's mode."""
    if exchange == "okx":
        return {"code": "0", "data": [{"uid": "1", "posMode": "long_short_mode" if hedged else "net_mode"}]}
    if exchange == "bybit":
        return positions_of("bybit") if hedged else payload("bybit", "rest_get_positions")
    return {"code": "200000", "data": {"positionMode": int(hedged)}}


@pytest.mark.parametrize("mode", list(PositionMode))
async def test_the_accounts_mode_is_told(venue: Offline, mode: PositionMode) -> None:
    """Bybit has no word for it but its positions, which it shows for a symbol although they are empty."""
    venue.answer(filled_in(mode_of(venue.exchange.id, hedged=mode.hedged), symbol="BTCUSDT", size="0"))
    assert await position_mode.told(venue.requests, [venue.contract]) is mode


SWITCHED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "okx": ("/api/v5/account/set-position-mode", {"posMode": "long_short_mode"}),
    "bybit": ("/v5/position/switch-mode", {"mode": 3, "coin": "USDT", "category": "linear"}),
    "kucoinfutures": ("/api/v2/position/switchPositionMode", {"positionMode": "1"}),
}


async def test_the_account_is_switched_in_the_venues_words(venue: Offline) -> None:
    path, body = SWITCHED[venue.exchange.id]
    documented = {"okx": "rest_set_account_position_mode", "bybit": "rest_switch_position_mode"}
    name = documented.get(venue.exchange.id)
    answer = payload(venue.exchange.id, name) if name else {"code": "200000", "data": {"positionMode": 1}}
    venue.answer(answer)
    await position_mode.switch(venue.requests, PositionMode.TWO_WAY, Venue("v"))
    assert venue.sent[-1] == ("POST", path, body)


REFUSED: Mapping[str, Mapping[str, Any]] = {
    "okx": {"code": "59000", "data": [], "msg": "Setting failed. Cancel any open orders or close any open positions."},
    "bybit": {"retCode": 110024, "retMsg": "You have an existing position", "result": {}, "retExtInfo": {}, "time": 1},
    "kucoinfutures": {"code": "330005", "msg": "Position mode cannot be switched."},
}


async def test_an_account_that_cannot_be_switched_is_told_of_both_ways_out(venue: Offline) -> None:
    venue.answer(REFUSED[venue.exchange.id])
    with pytest.raises(ConfigError, match="close its orders and positions first, or write position_mode: one_way"):
        await position_mode.switch(venue.requests, PositionMode.TWO_WAY, Venue("v"))


async def test_an_order_that_outgrows_its_leg_is_cancelled_instead() -> None:
    """Bybit: the stream tells of its end, as of every cancel."""
    offline = await Offline("bybit", position_mode=PositionMode.TWO_WAY).load()
    hold(offline, 4, 0)
    await sent(offline, 1, Side.SELL, 4)
    offline.answer(filled_in(payload("bybit", "rest_cancel_order"), **OURS))
    assert await offline.send(offline.amend(1, 250_010, 5)) == []
    assert offline.sent[-1][1] == "/v5/order/cancel"
    offline.answer(filled_in(payload("bybit", "rest_edit_order"), **OURS))
    await offline.send(offline.amend(1, 250_010, 4))
    assert offline.sent[-1][1] == "/v5/order/amend"
    assert offline.kept.known(ClientOrderId(1)) is not None
    await offline.close()
