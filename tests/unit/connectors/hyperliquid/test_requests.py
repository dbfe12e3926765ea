"""Commands in the venue's words, and the requests that carry them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hyperliquid import actions, signing
from connectors.hyperliquid.requests import Asset, Requests, Terms, order_wire, post_frame
from connectors.hyperliquid.signing import Signer
from connectors.shared.nonces import Nonces
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.orders import ClientOrderId, Side
from tests.unit.connectors.hyperliquid.frames import BTC

KEY = "0x" + "11" * 32
ASSET = Asset.of(BTC, 3, 5, 40)
BID = Terms(Side.BUY, False, actions.ALO)


@given(number=st.integers(0, (1 << 48) - 1))
def test_a_client_id_comes_back_from_its_cloid(number: int) -> None:
    """16 bytes in lower case, and nobody else's."""
    text = actions.cloid(ClientOrderId(number))
    assert len(text) == 34
    assert text == text.lower()
    assert actions.client_id(text) == number


@pytest.mark.parametrize(
    "text", [None, "", "0x" + "00" * 16, "0x6d6d2d6461656d6f6e00", "0x6d6d2d6461656d6f6e00" + "z" * 12]
)
def test_a_foreign_cloid_is_not_ours(text: str | None) -> None:
    """Nor is one that only begins like ours."""
    assert actions.client_id(text) is None


def test_an_order_in_the_venues_words() -> None:
    """Whole prices and sizes lose their decimals, and the keys stand in the order that is hashed."""
    action = actions.Place([order_wire(ASSET, ClientOrderId(1), BID, 1_000_500, 120)])
    order = {"a": 3, "b": True, "p": "100050", "s": "0.0012", "r": False, "t": {"limit": {"tif": "Alo"}}}
    whole = {"type": "order", "orders": [{**order, "c": actions.cloid(ClientOrderId(1))}], "grouping": "na"}
    assert msgspec.json.decode(msgspec.json.encode(action)) == whole
    assert signing.action_bytes(action) == signing.action_bytes(whole)


@pytest.mark.parametrize(("ticks", "lots"), [(0, 1), (1, 0), (1, -1)])
def test_an_order_of_nothing_is_never_written(ticks: int, lots: int) -> None:
    """The venue takes a reduce-only order of size 0 for the whole position."""
    with pytest.raises(ValueError, match="positive"):
        order_wire(ASSET, ClientOrderId(1), BID, ticks, lots)


def test_what_is_not_used_is_absent() -> None:
    """Null or false would be hashed as something else."""
    for action in (actions.ScheduleCancel(), actions.Cancel([]), actions.CancelByCloid([])):
        assert b"null" not in msgspec.json.encode(action)
        assert len(msgspec.to_builtins(action)) < 3
    requests = Requests(Signer(KEY, mainnet=False), lambda: 5_000_000)
    assert set(msgspec.json.decode(requests.signed(actions.Noop()))) == {"action", "nonce", "signature"}


def test_a_vault_is_sent_as_it_is_signed() -> None:
    """In lower case, with the expiry beside it; the signature is that of both."""
    vault = "0x" + "AB" * 20
    signer = Signer(KEY, mainnet=False)
    body = msgspec.json.decode(Requests(signer, lambda: 5_000_000, vault=vault).signed(actions.Noop(), expires_ms=9))
    assert (body["vaultAddress"], body["expiresAfter"], body["nonce"]) == (vault.lower(), 9, 5)
    signature = signer.sign_action(signing.action_bytes(actions.Noop()), 5, bytes.fromhex("ab" * 20), 9)
    assert body["signature"] == msgspec.to_builtins(signature)
    with pytest.raises(ConfigError):
        Requests(signer, lambda: 0, vault="0x12")


@given(times=st.lists(st.integers(0, 10), min_size=1))
def test_nonces_grow_whatever_the_clock_does(times: list[int]) -> None:
    """Two in one millisecond differ, and a clock that steps back changes nothing."""
    clock = iter(times)
    nonces = Nonces(lambda: next(clock))
    given_out = [nonces.next() for _ in times]
    assert given_out == sorted(set(given_out))
    assert all(nonce >= time for nonce, time in zip(given_out, times, strict=True))


def test_a_post_frame_is_json() -> None:
    """The payload stands in it as it is."""
    frame = msgspec.json.decode(post_frame(7, "action", b'{"a":1}'))
    assert frame == {"method": "post", "id": 7, "request": {"type": "action", "payload": {"a": 1}}}
