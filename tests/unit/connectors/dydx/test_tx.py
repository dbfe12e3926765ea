"""The short way to a transaction's bytes says what the long way says; the long way is that of the vectors."""

from hypothesis import given
from hypothesis import strategies as st

from connectors.dydx import tx
from connectors.dydx.keys import Signer, private_key
from connectors.dydx.protobuf import varint

_SIGNER = Signer(private_key("33" * 32))
_UINT32 = st.integers(min_value=0, max_value=tx.CLIENT_ID_MAX)
_UINT64 = st.integers(min_value=1, max_value=(1 << 64) - 1)


@given(
    owner=st.sampled_from([_SIGNER.address, "dydx1mc26alh7vhf52rthhjqzx97vks4jghujmvydae"]),
    number=st.integers(min_value=0, max_value=128_000),
    pair=st.integers(min_value=0, max_value=100_000),
    client_id=_UINT32,
    side=st.sampled_from(tx.OrderSide),
    quantums=_UINT64,
    subticks=_UINT64,
    until=_UINT32,
    tif=st.sampled_from(tx.OrderTif),
    reduce_only=st.booleans(),
    metadata=_UINT32,
)
def test_short_term_orders_are_written_like_all_orders(
    owner: str,
    number: int,
    pair: int,
    client_id: int,
    side: tx.OrderSide,
    quantums: int,
    subticks: int,
    until: int,
    tif: tx.OrderTif,
    reduce_only: bool,
    metadata: int,
) -> None:
    subaccount = tx.Subaccount(owner, number)
    orders, order_id = tx.ShortTermOrders(subaccount, pair), tx.OrderId(subaccount, client_id, pair)
    order = tx.Order(
        id=order_id,
        side=side,
        quantums=quantums,
        subticks=subticks,
        good_til_block=until,
        tif=tif,
        reduce_only=reduce_only,
        client_metadata=metadata,
    )
    placed = orders.place(client_id, side, quantums, subticks, until, tif, reduce_only, metadata)
    assert placed == tx.any_of(tx.PLACE, tx.place(order))
    canceled = orders.cancel(client_id, until)
    assert canceled == tx.any_of(tx.CANCEL, tx.cancel(order_id, good_til_block=until))


@given(
    message=st.binary(max_size=400),
    memo=st.text(max_size=20),
    account_number=st.integers(min_value=0, max_value=1 << 40),
    sequence=st.integers(min_value=0, max_value=1 << 50),
    authenticators=st.lists(st.integers(min_value=0, max_value=(1 << 64) - 1), max_size=3),
)
def test_the_short_way_to_a_transaction_is_the_long_one(
    message: bytes, memo: str, account_number: int, sequence: int, authenticators: list[int]
) -> None:
    builder = tx.TxBuilder(
        _SIGNER,
        chain_id="dydx-testnet-4",
        account_number=account_number,
        sequence=sequence,
        memo=memo,
        authenticators=authenticators,
    )
    assert builder.raw(message) == builder.build(message).raw
    assert builder.sequenced(message, sequence) == builder.build(message).raw


@given(st.integers(min_value=0, max_value=(1 << 64) - 1))
def test_a_varint_can_be_read_back(value: int) -> None:
    written = varint(value)
    assert sum((byte & 127) << 7 * place for place, byte in enumerate(written)) == value
    assert all(byte & 128 for byte in written[:-1]) and not written[-1] & 128
