"""Addresses of Cosmos chains: digests and checksums against what their papers publish."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.shared.cosmos_address import address_of, bech32, is_address, ripemd160

_PUBLISHED = {  # Dobbertin, Bosselaers, Preneel, appendix B
    b"": "9c1185a5c5e9fc54612808977ee8f548b2258d31",
    b"a": "0bdc9d2d256b3ee9daae347be6f4dc835a467ffe",
    b"abc": "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc",
    b"message digest": "5d0689ef49d2fae572b881b123a85ffa21595f36",
    b"1234567890" * 8: "9b752e45573d4b39f4dbd3323cab82bf63326bfb",
}
_HAS_RIPEMD = "ripemd160" in hashlib.algorithms_available


@pytest.mark.parametrize(("data", "digest"), _PUBLISHED.items())
def test_digests_are_the_published_ones(data: bytes, digest: str) -> None:
    assert ripemd160(data).hex() == digest


@pytest.mark.skipif(not _HAS_RIPEMD, reason="this OpenSSL has no RIPEMD-160 to compare with")
@given(st.binary(max_size=300))
def test_digests_are_those_of_openssl(data: bytes) -> None:
    """Blocks of every length, the padding's edges included."""
    assert ripemd160(data) == hashlib.new("ripemd160", data).digest()


def test_bech32_is_the_one_of_bip_173() -> None:
    """The witness program of the BIP's example, without the version word that Bitcoin puts before it."""
    assert bech32("a", b"").startswith("a1")
    assert bech32("a", b"") == "a12uel5l".lower()


@given(st.binary(min_size=33, max_size=33), st.integers(min_value=0, max_value=37))
def test_one_wrong_letter_is_noticed(public_key: bytes, place: int) -> None:
    address = address_of(public_key, "dydx")
    assert is_address(address, "dydx")
    at = len("dydx1") + place
    other = "q" if address[at] != "q" else "p"
    assert not is_address(address[:at] + other + address[at + 1 :], "dydx")
    assert not is_address(address, "cosmos")


@pytest.mark.parametrize(
    "text", ["", "dydx1", "dydx", "dydx1mc26alh7vhf52rthhjqzx97vks4jghujmvydaE", "dydx1é" + "q" * 37]
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert not is_address(text, "dydx")
