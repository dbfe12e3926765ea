"""Keys of a dYdX account as a person may write them."""

import hashlib

import pytest
from coincurve import PublicKey
from hypothesis import given
from hypothesis import strategies as st

from connectors.dydx.keys import Signer, private_key
from mm_daemon.domain.errors import ConfigError

# BIP-39's public test phrase; its account on path m/44'/118'/0'/0/0 is known to everybody.
_PHRASE = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"


def test_a_mnemonic_may_be_written_over_several_lines() -> None:
    """A secret read from a file or an environment variable has what blanks it has."""
    assert private_key(f"  {_PHRASE.replace(' ', '  ', 3)}\n") == private_key(_PHRASE)


def test_a_raw_key_may_have_0x_before_it() -> None:
    digits = "11" * 32
    assert private_key(f"0x{digits}\n") == private_key(digits) == bytes.fromhex(digits)


@pytest.mark.parametrize(
    "text", ["", "0x", "12" * 31, "00" * 32, "ff" * 32, "zz" * 32, "one two three", " ".join(["abandon"] * 13)]
)
def test_what_is_no_key_is_refused_without_saying_it(text: str) -> None:
    with pytest.raises(ConfigError, match="64 hex digits, or a mnemonic") as refused:
        private_key(text)
    assert not text.strip() or text not in str(refused.value)


@given(st.binary(min_size=1, max_size=400))
def test_signatures_are_low_and_verify(data: bytes) -> None:
    """What the chain checks: 64 bytes that verify over SHA-256, with s in the lower half."""
    signer = Signer(private_key("22" * 32))
    signature = signer.sign(data)
    half = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
    assert len(signature) == 64 and 0 < int.from_bytes(signature[32:]) <= half
    der = _der(signature)
    assert PublicKey(signer.public_key).verify(der, hashlib.sha256(data).digest(), hasher=None)


def _der(signature: bytes) -> bytes:
    parts = b"".join(_der_integer(part) for part in (signature[:32], signature[32:]))
    return b"\x30" + bytes((len(parts),)) + parts


def _der_integer(number: bytes) -> bytes:
    shortest = number.lstrip(b"\x00") or b"\x00"
    shortest = b"\x00" + shortest if shortest[0] & 128 else shortest
    return b"\x02" + bytes((len(shortest),)) + shortest
