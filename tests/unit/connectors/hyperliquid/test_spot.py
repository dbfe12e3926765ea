"""Spot pairs of Hyperliquid: names and numbers, fees taken out of what was bought, balances as positions."""

import json
from collections.abc import Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from aiohttp import web

from connectors.hyperliquid import account_wire as aw
from connectors.hyperliquid import actions, contracts
from connectors.hyperliquid.account import Account
from connectors.hyperliquid.orders import FOREIGN, OwnOrders, kind_of
from connectors.hyperliquid.requests import Asset, Requests
from connectors.hyperliquid.rest import RestClient
from connectors.hyperliquid.signing import Signer
from connectors.hyperliquid.translate import HyperliquidTranslator
from connectors.shared.http import OutcomeUnknown
from mm_daemon.domain.decisions import PlaceOrder, Reason
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import BookSnapshot, FundingUpdate, MarkPriceUpdate, OrderAccepted
from mm_daemon.domain.instrument import Instrument, SignificantFigures
from mm_daemon.domain.money import ATTO, to_pair
from mm_daemon.domain.orders import ClientOrderId, Purpose, RejectKind, Side, TimeInForce
from mm_daemon.runtime.clock import Clock
from tests.hyperliquid import hyperliquid_connector, hyperliquid_venue
from tests.shared import shared_file
from tests.unit.connectors.hyperliquid.frames import VENUE, book, framed
from tests.unit.connectors.hyperliquid.test_rest import served

FEES = contracts.Charged(contracts.Fees(150, 450), contracts.Fees(400, 700))
HYPE = Instrument(
    venue=VENUE,
    symbol="HYPE/USDC",
    base="HYPE",
    quote="USDC",
    tick=Decimal("0.000001"),
    lot=Decimal("0.01"),
    grid=SignificantFigures(figures=5, decimals=6),
    spot=True,
    wire_symbol="@107",
)
CID = ClientOrderId(77)
MESSAGES = "venues/hyperliquid/messages"


def orders() -> OwnOrders:
    return OwnOrders([Asset.of(HYPE, 10_107, 2)])


def fill(side: str, fee: str, token: str, **more: Any) -> aw.Fill:
    row = {"coin": "@107", "px": "40.003", "sz": "1.23", "side": side, "time": 5, "oid": 9, "crossed": False}
    return msgspec.convert({**row, "fee": fee, "feeToken": token, "tid": 3, **more}, aw.Fill)


# Contracts


async def test_pairs_are_found_by_both_their_names() -> None:
    """The number is the pair's index from 10000 on, decimals are the base token's, prices have 8 less those."""
    async with hyperliquid_venue(coins=("BTC", "PURR/USDC", "HYPE/USDC")) as control:
        rest = RestClient(control.url, now_ns=lambda: 0, timeout_s=3.0, weight_per_minute=1000)
        charged = await contracts.fees(rest, None)
        found = await contracts.assets(rest, VENUE, ("HYPE/USDC", "BTC", "PURR/USDC"), charged)
        again = await contracts.assets(rest, VENUE, ("@107",), charged)
        with pytest.raises(ConfigError, match="HYPE/USDC and @107 are the same market"):
            await contracts.assets(rest, VENUE, ("HYPE/USDC", "@107"), charged)
        with pytest.raises(ConfigError, match=r"no spot pair HYP/USDC.*did you mean 'HYPE/USDC'"):
            await contracts.assets(rest, VENUE, ("HYP/USDC",), charged)
        await rest.close()
    hype, btc, purr = found.ours
    assert (hype.number, hype.coin, hype.instrument.symbol) == (10_107, "@107", "HYPE/USDC")
    assert (purr.number, purr.coin, purr.instrument.base) == (10_000, "PURR/USDC", "PURR")
    assert (hype.instrument.tick, hype.instrument.lot) == (Decimal("0.000001"), Decimal("0.01"))
    assert (purr.instrument.tick, purr.instrument.lot) == (Decimal("0.00000001"), 1)
    assert (hype.instrument.maker_fee_ppm, hype.instrument.taker_fee_ppm) == (400, 700)
    assert (btc.instrument.maker_fee_ppm, btc.instrument.spot, hype.instrument.spot) == (150, False, True)
    assert hype.instrument.min_notional == 10
    (same,) = again.ours
    assert (same.number, same.coin, same.instrument.symbol, same.instrument.base) == (10_107, "@107", "@107", "HYPE")
    assert {"BTC": 0, "@107": 10_107}.items() <= again.numbers.items()


def meta(*pairs: tuple[str, list[int], int]) -> aw.SpotMeta:
    """The captured tokens (USDC 0, USDH 360, USDE 235), and pairs of them."""
    found = json.loads(shared_file(f"{MESSAGES}/rest_info_spotMeta_sample_response.json").read_bytes())
    found["universe"] = [{"name": name, "tokens": tokens, "index": index} for name, tokens, index in pairs]
    return msgspec.convert(found, aw.SpotMeta)


def spot(symbol: str, found: aw.SpotMeta, fees: contracts.Fees | None = FEES.spot) -> Asset:
    return contracts._spot(VENUE, symbol, contracts._pairs(found), found, fees)


def test_tokens_are_found_by_index_and_not_by_place() -> None:
    """As the captured answer has them; a pair's place says nothing either."""
    found = meta(("@230", [360, 0], 230), ("@150", [235, 0], 150))
    asset = spot("USDE/USDC", found)
    assert (asset.number, asset.coin, asset.size_decimals, asset.price_decimals) == (10_150, "@150", 2, 6)


def test_a_pair_in_other_money_is_refused() -> None:
    """Or one of which the venue does not say what it is, or what it costs."""
    found = meta(("@230", [235, 360], 230), ("@231", [77, 0], 231), ("@232", [235, 0], 232))
    with pytest.raises(ConfigError, match="USDE/USDH is priced in USDH"):
        spot("USDE/USDH", found)
    with pytest.raises(OutcomeUnknown, match="what is traded for what"):
        spot("@231", found)
    with pytest.raises(OutcomeUnknown, match="no fees of spot"):
        spot("@232", found, None)


# Orders, fills, balances


def test_reduce_only_is_never_said_of_spot() -> None:
    """A sale of what is held is all there is: the venue has no such flag there."""
    place = PlaceOrder(
        HYPE.id,
        CID,
        Side.SELL,
        0,
        40_003_000,
        123,
        (Reason.FLATTEN,),
        post_only=False,
        reduce_only=True,
        time_in_force=TimeInForce.IOC,
        purpose=Purpose.FLATTEN,
    )
    ((action, _),), refused = orders().requested([place], 1)
    assert not refused and isinstance(action, actions.Place)
    (row,) = action.orders
    assert (row.a, row.b, row.p, row.s, row.r, row.t) == (10_107, False, "40.003", "1.23", False, actions.IOC)


def test_fee_of_a_purchase_is_taken_out_of_what_was_bought() -> None:
    """Its value at the fill's price is the fee in money, to the atto and against us; a sale's is in money."""
    bought = orders().filled(fill("B", "0.000492", "HYPE"), 1)
    assert bought is not None
    assert (bought.instrument, bought.client_id, bought.lots, bought.ticks) == (HYPE.id, FOREIGN, 123, 40_003_000)
    assert bought.base_fee == to_pair(492 * ATTO // 10**6)
    assert bought.fee == to_pair(492 * 40_003 * ATTO // 10**9)
    tiny = orders().filled(fill("B", "0.0000000000000000011", "HYPE", px="0.33333"), 1)
    assert tiny is not None and (tiny.base_fee, tiny.fee) == (to_pair(2), to_pair(1))
    rebate = orders().filled(fill("B", "-0.000123", "HYPE"), 1)
    assert rebate is not None and rebate.fee == to_pair(-123 * 40_003 * ATTO // 10**9)
    sold = orders().filled(fill("A", "0.0196", "USDC"), 1)
    assert sold is not None and (sold.fee, sold.base_fee) == (to_pair(196 * ATTO // 10**4), None)
    other = orders().filled(fill("B", "0.1", "PURR"), 1)
    assert other is not None and (other.fee, other.base_fee) == (None, None)


def test_positions_are_whole_lots_of_the_balances() -> None:
    """Of the captured answer; what is held for orders counts, dust does not, and what is not there is nothing."""
    text = shared_file(f"{MESSAGES}/rest_info_spotClearinghouseState_response.json").read_bytes()
    rows = msgspec.json.decode(text, type=aw.SpotState).balances
    assert orders().balances(rows) == ((HYPE.id, 520),)
    assert orders().balances([aw.Balance("HYPE", "0.01999999")]) == ((HYPE.id, 1),)
    assert orders().balances([]) == ((HYPE.id, 0),)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Insufficient spot balance asset=10107", RejectKind.INSUFFICIENT_MARGIN),
        ("Order has insufficient spot balance to trade", RejectKind.INSUFFICIENT_MARGIN),
        ("Order must have minimum value of 10 USDC. asset=10107", RejectKind.INVALID),
        ("Order has zero size.", RejectKind.INVALID),
    ],
)
def test_refusals_of_spot(text: str, kind: RejectKind) -> None:
    """By the live words and by the documents'."""
    assert kind_of(text) is kind


def test_an_update_names_the_coin_and_is_told_under_our_symbol() -> None:
    """The captured frame, as if it were an order of ours."""
    frame = json.loads(shared_file(f"{MESSAGES}/ws_orderUpdates_open_spot_frame.json").read_bytes())
    frame["data"][0]["order"]["cloid"] = actions.cloid(CID)
    (update,) = aw.decode_updates(json.dumps(frame).encode()).data
    (accepted,) = orders().updated(update, 1)
    assert isinstance(accepted, OrderAccepted)
    assert (accepted.instrument, accepted.client_id, accepted.venue_order_id) == (HYPE.id, CID, "1")


def test_market_data_names_the_coin_and_is_told_under_our_symbol() -> None:
    """Books by the venue's name; the context comes on a channel of its own, with a mark and no funding."""
    translator = HyperliquidTranslator([HYPE])
    frame = book(1000, bids=[("40.003", "1.5")], asks=[("40.01", "2")], coin="@107")
    (snapshot,) = translator.translate(frame, 1)
    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.instrument, snapshot.bids, snapshot.asks) == (HYPE.id, ((40_003_000, 150),), ((40_010_000, 200),))
    context = {"dayNtlVlm": "1.0", "prevDayPx": "39.0", "markPx": "40.005", "midPx": "40.0065"}
    more = {"circulatingSupply": "1.0", "coin": "@107", "totalSupply": "1.0", "dayBaseVlm": "0.0"}
    events = translator.translate(framed("activeSpotAssetCtx", {"coin": "@107", "ctx": {**context, **more}}), 2)
    assert [type(event) for event in events] == [MarkPriceUpdate]
    assert isinstance(events[0], MarkPriceUpdate) and events[0].mark_half_ticks == 80_010_000
    assert not isinstance(events[0], FundingUpdate) and not translator.problems


# The account


@asynccontextmanager
async def account_whose(fills: Sequence[Sequence[aw.Fill]]) -> Any:
    """An account of 1.99 HYPE at 1,000 ms whose fills are read so, time after time; and what it was asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        kind = (await request.json())["type"]
        asked.append(kind)
        body: Any = []
        if kind == "clearinghouseState":
            body = {"assetPositions": [], "time": 1000}
        elif kind == "spotClearinghouseState":
            body = {"balances": [{"coin": "HYPE", "total": "1.99"}]}
        elif kind == "userFillsByTime":
            body = fills[min(asked.count(kind), len(fills)) - 1]
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    async with served(answer) as rest:
        yield Account(VENUE, rest, "0x1", orders(), lambda: 1, lambda: 1), asked


async def test_balances_are_read_again_when_a_fill_came_meanwhile() -> None:
    """The venue does not say of what time they are: a fill behind the snapshot's may be in them, or not."""
    early, late = fill("B", "0", "HYPE", time=1000), fill("B", "0", "HYPE", time=1001, tid=4)
    async with account_whose([[early, late], [early]]) as (account, asked):
        shown = await account.snapshot(0)
    assert [event.fill_key for event in shown.fills] == ["1000-3-9"]
    assert (shown.positions, shown.ts_venue_ns) == (((HYPE.id, 199),), 1_000_000_000)
    assert asked.count("spotClearinghouseState") == 2
    async with account_whose([[early, late]]) as (account, asked):
        with pytest.raises(OutcomeUnknown, match="moved whenever they were read"):
            await account.snapshot(0)


async def test_leverage_is_set_of_perpetuals_only() -> None:
    """Spot is bought outright."""
    async with hyperliquid_venue(coins=("BTC", "HYPE/USDC")) as control:
        connector = hyperliquid_connector(
            control.url, lambda _event: None, key=control.key(), symbols=("HYPE/USDC", "BTC"), leverage=5
        )
        await connector.load_instruments()
        await connector._set_leverage()
        await connector.close()
        assert control.venue.acted == {"updateLeverage": 1}


async def test_cancel_all_takes_orders_on_spot_with_the_others() -> None:
    """They are shown together, and the daemon has perpetuals only."""
    async with hyperliquid_venue(coins=("BTC", "HYPE/USDC")) as control:
        connector = hyperliquid_connector(control.url, lambda _event: None, key=control.key())
        await connector.load_instruments()
        requests = Requests(Signer(control.key(), mainnet=False), Clock().now_ns)
        order = actions.OrderWire(10_107, True, "39", "1", False, actions.GTC)
        await connector._rest.exchange(requests.signed(actions.Place([order])))
        account = control.venue.exchange.accounts[control.users[0]]
        assert len(account.orders) == 1
        await connector.cancel_all()
        assert not account.orders
        await connector.close()
