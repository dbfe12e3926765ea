"""The simulated Lighter's own hash, curve and signatures against vectors of others, and their laws."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.simulators.lighter.signing import ecgfp5, messages, quintic, schnorr
from connectors.simulators.lighter.signing.poseidon2 import P, hash_words, permute, to_bytes, to_words
from tests.shared import shared_file

_FOLDER = "venues/lighter/vectors"
_elements = st.lists(st.integers(0, P - 1), min_size=5, max_size=5).map(quintic.pack)
_scalars = st.integers(1, ecgfp5.ORDER - 1)


def _vectors(name: str) -> Any:
    return msgspec.json.decode(shared_file(f"{_FOLDER}/{name}.json").read_bytes())["vectors"]


def _number(text: str) -> int:
    return int.from_bytes(bytes.fromhex(text), "little")


def test_permutation_and_sponge() -> None:
    """Poseidon2 as others have computed it, for messages of every length up to some chunks."""
    vectors = _vectors("peer_signing_hash_poseidon2_vectors")
    for each in vectors["permute"]:
        assert to_bytes(permute(to_words(bytes.fromhex(each["input"])))).hex() == each["output"]
    checked = 0
    for each in [*vectors["sponge"], *vectors["hash_to_quintic"]]:
        wanted = each["output"]
        if len(wanted) <= 80:
            assert to_bytes(hash_words(to_words(bytes.fromhex(each["input"])))).hex().startswith(wanted)
            checked += 1
    assert checked == 40


def test_group() -> None:
    """Decoding, what does not decode, sums, doublings and multiples."""
    vectors = _vectors("peer_signing_curve_ecgfp5_vectors")
    for each in vectors["decode"]:
        point = ecgfp5.decode(bytes.fromhex(each["w"]))
        assert (point is not None) == each["decodes"]
        if point is not None:
            assert ecgfp5.encode(point).hex() == each["encoded_back"]
            assert (point == ecgfp5.NEUTRAL) == each["is_neutral"]
    for each in vectors["add"]:
        a, b = _point(each["a_w"]), _point(each["b_w"])
        assert ecgfp5.encode(ecgfp5.add(a, b)).hex() == each["sum_w"]
        assert ecgfp5.encode(ecgfp5.add(a, a)).hex() == each["a_double_w"]
    for each in vectors["scalar_mul"]:
        point = ecgfp5.multiple(_number(each["scalar_le"]), _point(each["base_w"]))
        assert ecgfp5.encode(point).hex() == each["out_w"]


def _point(text: str) -> ecgfp5.Point:
    point = ecgfp5.decode(bytes.fromhex(text))
    assert point is not None
    return point


def test_schnorr() -> None:
    """Public keys, and signatures to the bit where the nonce is given."""
    vectors = _vectors("peer_signing_schnorr_vectors")
    for each in vectors["keygen"]:
        assert schnorr.public_key(_number(each["sk"])).hex() == each["pk"]
    for each in vectors["sign"]:
        secret, message = _number(each["sk"]), bytes.fromhex(each["hashed_msg"])
        signature = schnorr.sign(secret, message, _number(each["k"]))
        assert signature.hex() == each["sig"]
        assert schnorr.verify(schnorr.public_key(secret), message, signature)


@pytest.mark.parametrize("chain", ["mainnet_chain", "testnet_chain"])
def test_preimage_from_the_text_of_a_transaction(chain: str) -> None:
    """From `tx_info` alone: its keys, the words that are hashed, and the hash."""
    for each in _vectors(f"signed_transactions_{chain}"):
        info = msgspec.json.decode(each["tx_info"])
        assert tuple(info) == messages.info_keys(each["tx_type"])
        assert messages.preimage(each["chain_id"], each["tx_type"], info) == each["hash_preimage_elements"]
        assert messages.transaction_hash(each["chain_id"], each["tx_type"], info).hex() == each["tx_hash"]


def test_transactions_that_another_project_recorded() -> None:
    """Attributes that are written out as nothing are hashed as none."""
    checked = 0
    for each in _vectors("peer_signing_tx_oracle"):
        if each["tx_type"] in messages.BODIES:
            info = msgspec.json.decode(each["tx_info"])
            assert messages.transaction_hash(each["chain_id"], each["tx_type"], info).hex() == each["tx_hash"]
            checked += 1
    assert checked >= 6


@pytest.mark.parametrize(
    "change",
    [
        {"Nonce": None},
        {"Nonce": -1},
        {"Nonce": True},
        {"Nonce": P},
        {"L2TxAttributes": []},
        {"L2TxAttributes": {"x": 1}},
        {"L2TxAttributes": {"1": -1}},
        {"L2TxAttributes": {str(kind): 1 for kind in range(1, 6)}},
    ],
    ids=str,
)
def test_transactions_that_are_none(change: dict[str, Any]) -> None:
    """Each is refused in words, none is hashed to something."""
    info = {"AccountIndex": 1, "ApiKeyIndex": 4, "MarketIndex": 0, "Index": 9, "ExpiredAt": 1, "Nonce": 1}
    assert messages.transaction_hash(300, 15, info)
    with pytest.raises(messages.Unreadable):
        messages.transaction_hash(300, 15, info | change)
    with pytest.raises(messages.Unreadable, match="type 99"):
        messages.transaction_hash(300, 99, info)


@given(_elements, _elements, _elements)
def test_field_laws(a: int, b: int, c: int) -> None:
    """Multiplication distributes, inverts, and Frobenius' map is the p-th power."""
    assert quintic.mul(a, quintic.add(b, c)) == quintic.add(quintic.mul(a, b), quintic.mul(a, c))
    assert quintic.add(quintic.sub(a, b), b) == a
    if a:
        assert quintic.mul(a, quintic.inverse(a)) == quintic.ONE
    assert quintic.frobenius(a, 1) == quintic.power(a, P)
    assert quintic.times_z(a, 263) == quintic.mul(a, quintic.pack([0, 263, 0, 0, 0]))


@given(_elements)
def test_square_roots(a: int) -> None:
    """A square has a root that squares to it; what has none is no square."""
    square = quintic.mul(a, a)
    root = quintic.square_root(square)
    assert root is not None and quintic.mul(root, root) == square
    assert (quintic.square_root(a) is not None) == quintic.is_square(a)


@settings(max_examples=10, deadline=None)
@given(_scalars, _scalars, st.binary(min_size=1, max_size=40))
def test_what_is_signed_verifies_and_nothing_else(secret: int, nonce: int, message: bytes) -> None:
    """The law of a signature, and one bit of anything breaks it."""
    key, digest = schnorr.public_key(secret), to_bytes(hash_words(to_words(message)))
    signature = schnorr.sign(secret, digest, nonce)
    assert schnorr.verify(key, digest, signature)
    assert not schnorr.verify(key, to_bytes(hash_words(to_words(message + b"\x01"))), signature)
    assert not schnorr.verify(key, digest, bytes([signature[0] ^ 1]) + signature[1:])
    assert not schnorr.verify(schnorr.public_key(secret % (ecgfp5.ORDER - 1) + 1), digest, signature)


def test_the_order_is_the_generators() -> None:
    """As many sums of the generator are nothing."""
    assert ecgfp5.encode(ecgfp5.base_multiple(ecgfp5.ORDER)) == bytes(40)
    assert ecgfp5.base_multiple(0) == ecgfp5.NEUTRAL
    two = ecgfp5.encode(ecgfp5.multiple(2, ecgfp5.GENERATOR))
    assert two == ecgfp5.encode(ecgfp5.base_multiple(2)) != bytes(40)


def test_neutral_key_signs_nothing() -> None:
    """With the neutral element as key anybody could make a signature: s G alone is the commitment."""
    digest = to_bytes(hash_words([1]))
    commitment = ecgfp5.encode(ecgfp5.base_multiple(7))
    challenge = (
        int.from_bytes(to_bytes(hash_words([*to_words(commitment), *to_words(digest)])), "little") % ecgfp5.ORDER
    )
    forged = (7).to_bytes(40, "little") + challenge.to_bytes(40, "little")
    assert not schnorr.verify(bytes(40), digest, forged)
