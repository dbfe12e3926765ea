"""A fee in another currency: in the journal, in what people read, and absent from what older versions wrote."""

import msgspec

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.events import ChargedIn, OrderFilled
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.observability.story import sentence
from mm_daemon.testkit import builders

SYMBOL = InstrumentId("test:BTC-USDT")
BNB = ChargedIn("BNB", (0, 20_000_000_000_000), (600, 0))
FEE = (0, 12 * 10**15)
FILL = OrderFilled(SYMBOL, 1, 1, ClientOrderId(1), "v1", "k1", Side.BUY, 600_000, 2, True, FEE, charged=BNB)


def test_older_journals_have_fills_without_it() -> None:
    written = msgspec.to_builtins(FILL)
    assert msgspec.convert(written, OrderFilled) == FILL
    older = msgspec.convert(written[:-1], OrderFilled)
    assert older == msgspec.structs.replace(FILL, charged=None)


def test_the_fee_is_booked_at_its_worth_and_told_with_what_was_paid() -> None:
    core = TradingCore(builders.core_parameters())
    for event in (builders.connected(0), builders.account(0), builders.snapshot(0, 600_000, 600_001), FILL):
        core.apply(event)
    assert core.markets[SYMBOL].position.fees_atto == -12 * 10**15
    told = sentence(FILL, {SYMBOL: core.markets[SYMBOL].instrument})
    assert told is not None and "fee 0.012 (0.00002 BNB at 600)" in told.text
