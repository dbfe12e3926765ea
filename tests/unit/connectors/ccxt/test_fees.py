"""Fees in another currency than the contract settles in: what they are booked as, and what happens without a price."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ccxt import dialects
from connectors.ccxt.fees import FeeNotPriced, FeePrices, charged_amount, valued
from mm_daemon.domain.errors import GridError, VenueUnreachable
from mm_daemon.domain.events import ChargedIn, OrderFilled, VenueConnected, VenueDisconnected
from mm_daemon.domain.money import ATTO, from_pair, to_pair
from tests.unit.connectors.ccxt.offline import Offline, filled_in, payload
from tests.unit.connectors.ccxt.test_connector import live_on
from tests.unit.connectors.ccxt.test_exchanges import OURS, placed

BNB = ("BNB", "USDT")
BOTH = {"symbols": ("BTCUSDT", "BNBUSDT"), "bnb_balance": Decimal(1)}


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**24))
def test_a_fee_is_worth_what_its_record_says_rounded_against_us(amount: int, price: int) -> None:
    fee, charged = valued(amount, "BNB", to_pair(price))
    exact = amount * price
    assert 0 <= from_pair(fee) * ATTO - exact < ATTO
    assert charged == ChargedIn("BNB", to_pair(amount), to_pair(price))


def test_a_fees_text_is_read_exactly() -> None:
    assert charged_amount("0.00002016", "x", negated=False) == 20_160_000_000_000
    assert charged_amount("-0.5", "x", negated=True) == ATTO // 2
    assert charged_amount("1e-19", "x", negated=False) == 1, "below an atto: against us"
    with pytest.raises(GridError, match="'much' is no number"):
        charged_amount("much", "x", negated=False)


# Prices


class Exchange:
    """Markets, and a book whose middle is 600.5."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.reads: list[str] = []
        self.down = False
        swap = {"symbol": "BNB/USDT:USDT", "base": "BNB", "quote": "USDT", "swap": True, "inverse": False}
        spot = {"symbol": "BNB/USDT", "base": "BNB", "quote": "USDT", "spot": True}
        self.markets: list[dict[str, Any]] = [spot, swap]

    async def read(self, method: str, symbol: str, depth: int) -> Any:
        assert (method, depth) == ("fetch_order_book", 20)
        if self.down:
            raise VenueUnreachable("weather")
        self.reads.append(symbol)
        return {"bids": [["600", "1"]], "asks": [["601", "1"]]}

    def prices(self, **fixed: str) -> FeePrices:
        known = {name: Decimal(text) for name, text in fixed.items()}
        return FeePrices(self.read, lambda: self.markets, known, lambda: self.now_ns)


async def test_price_is_the_middle_of_the_perpetuals_book() -> None:
    exchange = Exchange()
    prices = exchange.prices()
    with pytest.raises(FeeNotPriced, match="charged in BNB, and what that is worth in USDT is not known"):
        prices.price(BNB)
    await prices.ensure()
    assert prices.price(BNB) == (600, ATTO // 2) and exchange.reads == ["BNB/USDT:USDT"]
    await prices.ensure([BNB])
    assert len(exchange.reads) == 1, "what is known is not asked for again"
    exchange.markets.pop()
    exchange.now_ns += 901 * 10**9
    await prices.ensure()
    assert exchange.reads[-1] == "BNB/USDT"


async def test_a_price_that_cannot_be_read_again_is_good_for_a_while() -> None:
    exchange = Exchange()
    prices = exchange.prices()
    await prices.expect([BNB])
    exchange.down = True
    exchange.now_ns = 900 * 10**9
    await prices._renew()
    assert prices.price(BNB) == (600, ATTO // 2) and prices.problems == {"no_fee_price": 1}
    exchange.now_ns += 1
    with pytest.raises(FeeNotPriced):
        prices.price(BNB)
    with pytest.raises(VenueUnreachable, match="weather"):
        await prices.ensure()


async def test_a_currency_without_a_market_needs_a_word_of_the_configuration() -> None:
    exchange, pair = Exchange(), ("KCS", "USDT")
    prices = exchange.prices()
    await prices.expect([pair])  # nobody has charged it yet: no trouble
    with pytest.raises(FeeNotPriced, match=r"no market of it; write fee_prices: \{KCS: its price\}"):
        await prices.ensure([pair])
    prices = exchange.prices(KCS="10.5")
    await prices.ensure([pair])
    assert prices.price(pair) == (10, ATTO // 2)


async def test_a_market_with_one_side_has_no_price() -> None:
    exchange = Exchange()

    async def one_sided(*_: Any) -> Any:
        return {"bids": [["600", "1"]], "asks": []}

    exchange.read = one_sided  # type: ignore[assignment, method-assign]
    with pytest.raises(FeeNotPriced, match="no two sides"):
        await exchange.prices().ensure([BNB])


# On the simulated venue


async def test_fees_in_bnb_are_booked_at_its_price() -> None:
    """Stream and snapshot tell the same amount; when it is used up, the venue goes back to USDT."""
    async with live_on(venue={**BOTH, "bnb_balance": Decimal("0.000001")}) as (live, control):
        order = live.order(away=0)
        await live.placed(order)
        since = live.here
        for _ in range(2):
            await control.fill(f"mm{order.client_id}", "0.0004")
        fills = []
        for wanted in range(2):
            fill = await live.heard.until(OrderFilled, since=since)
            since, _ = live.heard.events.index(fill) + 1, wanted
            fills.append(fill)
        first, second = fills
        assert first.charged is not None and first.charged.currency == "BNB" and first.fee is not None
        worth = from_pair(first.charged.amount) * from_pair(first.charged.price)
        assert from_pair(first.fee) == -(-worth // ATTO) > 0
        assert (590, 0) < first.charged.price < (610, 0)
        assert second.charged is None and second.fee is not None and second.fee > (0, 0)
        told = {fill.fill_key: fill for fill in (await live.snapshot()).fills}
        assert told[first.fill_key].charged is not None and told[second.fill_key].charged is None
        assert told[first.fill_key].charged.amount == first.charged.amount  # type: ignore[union-attr]
        balance = await live.connector._asking.read("fetch_balance")  # type: ignore[attr-defined]
        assert Decimal(balance["BNB"]["total"]) < Decimal("0.000001")


async def test_a_fill_whose_fee_has_no_price_ends_the_link_until_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody expected BNB: nothing is quoted, the price is read, and the fill is told with it."""
    careless = msgspec.structs.replace(dialects.KNOWN["binanceusdm"], fee_currencies=())
    monkeypatch.setattr(dialects, "KNOWN", {**dialects.KNOWN, "binanceusdm": careless})
    async with live_on(venue=BOTH) as (live, control):
        order = live.order(away=0)
        await live.placed(order)
        since = live.here
        await control.fill(f"mm{order.client_id}", "0.0004")
        fill = await live.heard.until(OrderFilled, since=since)
        before = [event for event in live.heard.events[since:] if isinstance(event, VenueDisconnected)]
        assert "a fee was charged in BNB, and what that is worth in USDT is not known" in before[0].cause
        assert fill.charged is not None and fill.charged.currency == "BNB"
        await live.heard.until(VenueConnected, since=live.heard.events.index(fill))
        assert live.connector.problems["fee_not_priced"] == 1  # type: ignore[attr-defined]


# Other exchanges, offline


@pytest.mark.parametrize(
    ("exchange", "folder", "currency"),
    [("okx", "okx", "OKB"), ("bybit", "bybit", "MNT"), ("kucoinfutures", "kucoin", "KCS")],
)
async def test_other_exchanges_name_the_currency_of_a_fee(exchange: str, folder: str, currency: str) -> None:
    """As their documents have fills; KuCoin's stream names no fee, its list of fills does."""
    offline = await Offline(exchange, fee_prices={currency: Decimal(2)}).load()
    await placed(offline, folder)
    answer = payload(folder, "rest_get_user_trades")
    symbol = {"okx": "BTC-USDT-SWAP", "bybit": "BTCUSDT", "kucoin": "XBTUSDTM"}[folder]
    ours = {**OURS, "instId": symbol, "instType": "SWAP", "symbol": symbol}
    fee = "-0.5" if folder == "okx" else "0.5"
    fees = {"feeCcy": currency, "feeCurrency": currency, "fee": fee, "execFee": fee}
    sizes = {"fillPx": "25000", "fillSz": "0.01", "price": "25000", "size": 1}
    offline.answer(filled_in(answer, **ours, **fees, **sizes, execPrice="25000", execQty="0.001"))
    row, *_ = await offline.requests.read("fetch_my_trades", offline.contract.unified)
    assert offline.kept.fee_pair(row) == (currency, "USDT")
    with pytest.raises(FeeNotPriced):
        offline.kept.filled(row, 1)
    await offline.prices.ensure()
    fill = offline.kept.filled(row, 1)
    assert fill is not None and fill.fee == (1, 0)
    assert fill.charged == ChargedIn(currency, (0, ATTO // 2), (2, 0))
    await offline.close()
