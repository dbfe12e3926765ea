"""Law of the wire at dYdX: whatever bytes arrive, the translator and the simulated chain answer, and never raise."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.dydx import tx
from connectors.dydx.keys import Signer
from connectors.dydx.orders import OwnOrders
from connectors.dydx.own import Market
from connectors.dydx.translate import DydxTranslator
from connectors.simulators.dydx.chain import Chain
from connectors.simulators.dydx.settings import DydxVenueSettings
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import PlaceOrder, Reason
from mm_daemon.domain.events import BookDelta, BookInvalidated, BookSnapshot, Event
from mm_daemon.domain.orders import ClientOrderId, Side
from tests.dydx import QUIET
from tests.properties.test_translate_never_raises import damaged
from tests.unit.connectors.dydx.test_messages import BTC, GRID, OWNER

_SUBACCOUNT = tx.Subaccount(OWNER)
_MARKET = Market(BTC, GRID, _SUBACCOUNT)
_PLACE = PlaceOrder(BTC.id, ClientOrderId(1), Side.BUY, 0, 89946, 123, (Reason.NEW_QUOTE,))
_UUID = str(tx.OrderId(_SUBACCOUNT, 1, 0).uuid)


def frame(number: int, channel: str, contents: Any, **more: Any) -> bytes:
    name = {"v4_markets": {}}.get(channel, {"id": "BTC-USD"})
    return msgspec.json.encode(
        {"type": "channel_data", "message_id": number, "channel": channel, "contents": contents, **name, **more}
    )


def order(status: str, **more: Any) -> dict[str, Any]:
    return {
        "id": _UUID,
        "clientId": "1",
        "status": status,
        "orderFlags": "0",
        "ticker": "BTC-USD",
        "side": "BUY",
        "size": "0.0123",
        "price": "89946",
        "goodTilBlock": "120",
        **more,
    }


def fill(number: int) -> dict[str, Any]:
    return {
        "id": f"f{number}",
        "side": "BUY",
        "liquidity": "MAKER",
        "price": "89946",
        "size": "0.001",
        "fee": "-0.0000001",
        "createdAt": "2025-12-08T16:11:54.000Z",
        "createdAtHeight": "110",
        "ticker": "BTC-USD",
        "orderId": _UUID,
    }


GOOD = [
    b'{"type":"connected","connection_id":"c","message_id":0}',
    frame(1, "v4_orderbook", {"bids": [{"price": "89946", "size": "0.5"}], "asks": []}, type="subscribed"),
    frame(2, "v4_orderbook", {"bids": [["89947", "0.1"]]}),
    frame(3, "v4_orderbook", {"asks": [["89940", "1"], ["89950", "0"]]}),
    frame(4, "v4_orderbook", [{"asks": [["89951", "2"]]}, {"bids": [["89951", "2"]]}], type="channel_batch_data"),
    frame(
        5,
        "v4_trades",
        {
            "trades": [
                {
                    "id": "03f89a780000000200000002",
                    "side": "BUY",
                    "size": "0.1",
                    "price": "89950",
                    "createdAt": "2025-12-08T16:11:50.590Z",
                }
            ]
        },
    ),
    frame(6, "v4_markets", {"oraclePrices": {"BTC-USD": {"oraclePrice": "89919.2"}}}),
    frame(7, "v4_markets", {"trading": {"BTC-USD": {"status": "PAUSED", "nextFundingRate": "-0.0000014"}}}),
    frame(8, "v4_block_height", {"blockHeight": "111", "time": "2025-12-08T16:11:54.000Z"}),
    frame(9, "v4_subaccounts", {"orders": [order("BEST_EFFORT_OPENED")], "blockHeight": "111"}),
    frame(10, "v4_subaccounts", {"fills": [fill(1)], "orders": [order("OPEN", totalFilled="0.001")]}),
    frame(
        11,
        "v4_subaccounts",
        {"orders": [order("BEST_EFFORT_CANCELED", removalReason="ORDER_REMOVAL_REASON_USER_CANCELED")]},
    ),
    b'{"type":"error","message":"Internal error","connection_id":"c","message_id":11}',
]


def translator() -> DydxTranslator:
    orders = OwnOrders([_MARKET], _SUBACCOUNT)
    orders.height = 109
    orders.place(_PLACE)
    made = DydxTranslator(BTC.venue, [BTC], orders)
    made.show_books(0)
    return made


@settings(max_examples=200)
@given(st.lists(st.one_of(st.binary(max_size=200), damaged(GOOD), st.sampled_from(GOOD)), max_size=14))
def test_no_bytes_raise(feed: list[bytes]) -> None:
    """And what comes out fits the journal and a book: encodable, in local time, whole or said to be void."""
    made, book = translator(), OrderBook()
    made.ids.pending = 64
    for ts_local_ns, data in enumerate(feed, start=1):
        for event in made.translate(data, ts_local_ns):
            assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Event) == event
            assert event.ts_local_ns == ts_local_ns
            if isinstance(event, BookDelta | BookSnapshot | BookInvalidated):
                book.apply(event)
                assert not book.trusted or book.bid_ticks < book.ask_ticks


@settings(max_examples=100)
@given(st.data())
def test_no_transaction_breaks_the_simulated_chain(data: st.DataObject) -> None:
    """Damaged bytes are answered with a code; whatever they were, the chain goes on."""
    chain = Chain(("BTC-USD",), DydxVenueSettings(markets={"BTC-USD": QUIET}), 1, 10**18)
    signer = Signer(chain.keys[0])
    builder = tx.TxBuilder(signer, chain_id="localdydxprotocol", account_number=73)
    orders = tx.ShortTermOrders(tx.Subaccount(signer.address), 0)
    until = chain.next_height + 10
    good = [
        builder.raw(orders.place(1, 1, 10**7, 50_000 * 100_000, until, tx.OrderTif.POST_ONLY, False)),
        builder.raw(orders.cancel(1, until)),
    ]
    for raw in data.draw(
        st.lists(st.one_of(st.binary(max_size=200), damaged(good), st.sampled_from(good)), max_size=5)
    ):
        answer = chain.broadcast(raw, chain.block_ns)
        assert answer.hash and (answer.code == 0) is (answer.codespace == "")
    chain.advance(chain.next_deadline_ns())
