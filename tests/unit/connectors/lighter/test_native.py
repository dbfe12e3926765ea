"""The venue's native library through ctypes, checked by hash and signature with our own implementation."""

import asyncio
import base64
import threading
from typing import Any

import msgspec
import pytest

from connectors.lighter import transactions as tx
from connectors.lighter.native import NativeLibrary, NativeSigner
from connectors.simulators.lighter.signing import messages, schnorr
from connectors.simulators.lighter.signing.tokens import read_token
from mm_daemon.domain.errors import ConfigError, GridError
from tests.lighter import CHAIN_ID, KEY_INDEX, PRIVATE_KEY, SECRET, native_library

ACCOUNT = 700_100
"""One of its own: the library knows each account and key once in a process."""
_PUBLIC = schnorr.public_key(SECRET)
_EXPIRY_MS = 1_893_456_000_000
_CREATE = tx.CreateOrder(market=0, client_index=7, base=50, price=235_274, ask=False, expiry_ms=_EXPIRY_MS)
_TRANSACTIONS: list[tuple[tx.Transaction, dict[str, Any]]] = [
    (
        _CREATE,
        {"MarketIndex": 0, "ClientOrderIndex": 7, "BaseAmount": 50, "Price": 235_274, "IsAsk": 0, "Type": 0}
        | {"TimeInForce": 2, "ReduceOnly": 0, "TriggerPrice": 0, "OrderExpiry": _EXPIRY_MS},
    ),
    (
        tx.CreateOrder(
            market=1,
            client_index=(1 << 48) - 1,
            base=1,
            price=3_000_000_000,
            ask=True,
            reduce_only=True,
            time_in_force=tx.IOC,
        ),
        {"ClientOrderIndex": (1 << 48) - 1, "Price": 3_000_000_000, "IsAsk": 1, "ReduceOnly": 1, "TimeInForce": 0},
    ),
    (tx.CancelOrder(market=1, index=281_476_929_510_110), {"MarketIndex": 1, "Index": 281_476_929_510_110}),
    (
        tx.ModifyOrder(market=0, index=7, base=60, price=235_270),
        {"MarketIndex": 0, "Index": 7, "BaseAmount": 60, "Price": 235_270, "TriggerPrice": 0},
    ),
    (tx.CancelAllOrders(), {"TimeInForce": 0, "Time": 0}),
    (tx.CancelAllOrders(when=tx.SCHEDULED, time_ms=_EXPIRY_MS), {"TimeInForce": 1, "Time": _EXPIRY_MS}),
    (tx.CancelAllOrders(when=tx.ABORT), {"TimeInForce": 2, "Time": 0}),
    (
        tx.UpdateLeverage(market=0, margin_fraction=500, isolated=True),
        {"MarketIndex": 0, "InitialMarginFraction": 500, "MarginMode": 1},
    ),
]


@pytest.fixture
def signer() -> NativeSigner:
    native = NativeLibrary.at(native_library())
    native.add_key(PRIVATE_KEY, chain_id=CHAIN_ID, account=ACCOUNT, key_index=KEY_INDEX)
    return NativeSigner(native, account=ACCOUNT)


async def test_every_transaction_is_signed_as_it_was_asked(signer: NativeSigner) -> None:
    """Fields, hash and signature of each kind, by an implementation that is not the library's."""
    made = await signer.sign([(each, 100 + n) for n, (each, _) in enumerate(_TRANSACTIONS)], KEY_INDEX)
    for n, (signed, (_, fields)) in enumerate(zip(made, _TRANSACTIONS, strict=True)):
        info = msgspec.json.decode(signed.tx_info)
        assert signed.nonce == info["Nonce"] == 100 + n
        assert (info["AccountIndex"], info["ApiKeyIndex"]) == (ACCOUNT, KEY_INDEX)
        assert info.items() >= fields.items()
        assert messages.transaction_hash(CHAIN_ID, signed.tx_type, info).hex() == signed.tx_hash
        assert schnorr.verify(_PUBLIC, bytes.fromhex(signed.tx_hash), base64.b64decode(info["Sig"]))


async def test_token_is_the_keys(signer: NativeSigner) -> None:
    """It names deadline, account and key, and verifies."""
    token = read_token(await signer.auth_token(1_893_456_000, KEY_INDEX))
    assert token is not None
    assert (token.deadline_s, token.account, token.key_index) == (1_893_456_000, ACCOUNT, KEY_INDEX)
    assert token.signed_by(_PUBLIC)


async def test_library_is_only_entered_on_its_own_thread(signer: NativeSigner) -> None:
    """The loop's thread never enters it, so that the loop goes on while it signs."""
    threads: set[str] = set()

    def noting(_library: NativeLibrary) -> None:
        threads.add(threading.current_thread().name)

    native = NativeLibrary.at(native_library())
    await asyncio.gather(*(native.run(noting) for _ in range(8)))
    assert threads == {"lighter-signer_0"}
    assert native is NativeLibrary.at(native_library())


@pytest.mark.parametrize(
    ("transaction", "nonce"),
    [
        (msgspec.structs.replace(_CREATE, price=1 << 32), 1),
        (msgspec.structs.replace(_CREATE, price=0), 1),
        (msgspec.structs.replace(_CREATE, base=1 << 48), 1),
        (msgspec.structs.replace(_CREATE, base=0), 1),
        (msgspec.structs.replace(_CREATE, client_index=1 << 48), 1),
        (msgspec.structs.replace(_CREATE, client_index=0), 1),
        (msgspec.structs.replace(_CREATE, market=1 << 16), 1),
        (tx.CancelOrder(market=0, index=1 << 60), 1),
        (tx.ModifyOrder(market=0, index=0, base=1, price=1), 1),
        (tx.CancelAllOrders(when=tx.SCHEDULED, time_ms=-1), 1),
        (_CREATE, -1),
    ],
    ids=str,
)
def test_number_that_would_wrap_is_refused_before_the_call(transaction: tx.Transaction, nonce: int) -> None:
    """The library takes C integers: a price of 2**32 would be signed as 0, a nonce of -1 fetched by blocking HTTP."""
    with pytest.raises(GridError, match="outside"):
        tx.check(transaction, nonce)


async def test_refusal_is_told_in_the_signers_words(signer: NativeSigner) -> None:
    """A resting order without an expiry is refused by the library itself."""
    with pytest.raises(ConfigError, match="OrderExpiry is invalid"):
        await signer.sign([(msgspec.structs.replace(_CREATE, expiry_ms=0), 1)], KEY_INDEX)
    with pytest.raises(ConfigError, match="client is not created"):
        await signer.sign([(_CREATE, 1)], KEY_INDEX + 1)


def test_key_that_is_none_is_refused_and_not_quoted() -> None:
    """The message says whose key it is, never what was written."""
    native = NativeLibrary.at(native_library())
    with pytest.raises(ConfigError, match="account 700101") as error:
        native.add_key("0xdead", chain_id=CHAIN_ID, account=ACCOUNT + 1, key_index=KEY_INDEX)
    assert "dead" not in str(error.value)


def test_two_deployments_cannot_share_the_librarys_numbers(signer: NativeSigner) -> None:
    """The library would sign the first deployment's orders with the second one's chain id."""
    native = NativeLibrary.at(native_library())
    with pytest.raises(ConfigError, match="used twice in this process"):
        native.add_key(PRIVATE_KEY, chain_id=304, account=ACCOUNT, key_index=KEY_INDEX)
