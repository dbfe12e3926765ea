"""Keys, agents' digests and user-signed actions."""

import pytest
from coincurve import PublicKey
from hypothesis import given
from hypothesis import strategies as st

from connectors.hyperliquid import signing
from connectors.hyperliquid.signing import APPROVE_AGENT, Signature, Signer
from mm_daemon.domain.errors import ConfigError

KEY = "0x" + "11" * 32
HASHES = st.binary(min_size=0, max_size=300)


def recovered(signature: Signature, digest: bytes) -> str:
    parts = bytes.fromhex(signature.r[2:]) + bytes.fromhex(signature.s[2:]) + bytes([signature.v - 27])
    key = PublicKey.from_signature_and_message(parts, digest, hasher=None)
    return f"0x{signing.keccak256(key.format(compressed=False)[1:])[12:].hex()}"


@given(action=HASHES, nonce=st.integers(0, 2**63), mainnet=st.booleans())
def test_a_signature_recovers_to_its_key(action: bytes, nonce: int, mainnet: bool) -> None:
    """Whatever is signed, the venue finds our address, with full-length numbers and a low s."""
    signer = Signer(KEY, mainnet=mainnet)
    signature = signer.sign_action(action, nonce)
    digest = signing.agent_digest(signing.action_hash(action, nonce), mainnet=mainnet)
    assert recovered(signature, digest) == signer.address
    assert len(signature.r) == len(signature.s) == 66
    assert 2 * int(signature.s, 16) < signing._ORDER


@given(action=HASHES, expires=st.integers(0, 2**63))
def test_every_part_is_in_the_hash(action: bytes, expires: int) -> None:
    """Nonce, vault and expiry each change what is signed; no two ways of saying them collide."""
    vault = bytes(range(20))
    hashes = [
        signing.action_hash(action, nonce, where, when)
        for nonce in (1, 2)
        for where in (None, vault)
        for when in (None, expires)
    ]
    assert len(set(hashes)) == len(hashes)


def test_mainnet_is_signed_for() -> None:
    """The same action is signed differently for the two networks."""
    assert Signer(KEY, mainnet=True).sign_action(b"", 1) != Signer(KEY, mainnet=False).sign_action(b"", 1)


@pytest.mark.parametrize("text", ["", "0x", "11" * 31, "zz" * 32, "00" * 32, "ff" * 32, "0x" + "11" * 33])
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    """A wrong secret is a configuration error, and its words do not contain it."""
    with pytest.raises(ConfigError) as refused:
        Signer(text, mainnet=False)
    assert "64 hex digits" in str(refused.value)
    assert len(text) < 3 or text not in str(refused.value)


@pytest.mark.parametrize("text", ["", "0x12", "11" * 20, "0x" + "zz" * 20])
def test_what_is_no_address_is_refused(text: str) -> None:
    """An address is 0x and 40 digits."""
    with pytest.raises(ConfigError, match="no address"):
        signing.address_bytes(text)


def test_an_approval_is_signed_by_the_master_in_its_own_domain() -> None:
    """The digest of a user-signed action depends on each field, and an agent without a name is one of an empty name."""
    signer = Signer(KEY, mainnet=False)
    action: dict[str, object] = {
        "type": "approveAgent",
        "signatureChainId": "0x66eee",
        "hyperliquidChain": "Testnet",
        "agentAddress": "0x" + "22" * 20,
        "nonce": 7,
    }
    signature = signer.sign_user_action("ApproveAgent", APPROVE_AGENT, action)
    digest = signing.user_digest("ApproveAgent", APPROVE_AGENT, action)
    assert recovered(signature, digest) == signer.address
    assert signing.user_digest("ApproveAgent", APPROVE_AGENT, {**action, "agentName": ""}) == digest
    changes = ({"agentName": "desk"}, {"nonce": 8}, {"signatureChainId": "0x1"}, {"hyperliquidChain": "Mainnet"})
    others = {signing.user_digest("ApproveAgent", APPROVE_AGENT, {**action, **change}) for change in changes}
    assert len(others | {digest}) == 5


def test_a_field_of_no_known_type_is_refused() -> None:
    """A wrong table is an error, not a wrong signature."""
    with pytest.raises(ValueError, match="int8"):
        signing.user_digest("X", (("a", "int8"),), {"a": 1, "signatureChainId": "0x1"})
