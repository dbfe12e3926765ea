"""Who is let in at the neutral venue."""

import hashlib
import hmac

import pytest

from connectors.simulators.neutral.doorkeeper import ORDERS, REQUESTS, Doorkeeper, Refused
from connectors.simulators.neutral.settings import NeutralVenueSettings

NOW_MS = 1_700_000_000_000


def doorkeeper(**settings: int) -> Doorkeeper:
    return Doorkeeper(NeutralVenueSettings(**settings), "key", "secret")  # type: ignore[arg-type]


def knock(
    door: Doorkeeper, *, nonce: int = 1, time_ms: int = NOW_MS, secret: bytes = b"secret", key: str = "key"
) -> None:
    text = f"{time_ms}\n{nonce}\nPOST\n/v1/place\n".encode() + b"{}"
    sign = hmac.new(secret, text, hashlib.sha256).hexdigest()
    door.check_signature(
        key=key, time_ms=time_ms, nonce=nonce, sign=sign, method="POST", path="/v1/place", body=b"{}", now_ms=NOW_MS
    )


def refused_with(code: str) -> "pytest.RaisesExc[Refused]":
    return pytest.raises(Refused, check=lambda error: error.problem.code == code)


def test_signature_is_the_documented_one() -> None:
    """A digest of openssl's: printf '1\\n2\\nGET\\n/v1/account\\n' | openssl dgst -sha256 -hmac secret."""
    door = doorkeeper()
    sign = "47b79b6e658649e7e70ecc48c5fbd1d30eda12306fdd612b64478e7a046cb206"
    door.check_signature(key="key", time_ms=1, nonce=2, sign=sign, method="GET", path="/v1/account", body=b"", now_ms=1)


def test_wrong_key_or_secret_is_turned_away() -> None:
    """Each with its own word."""
    with refused_with("bad_key"):
        knock(doorkeeper(), key="other")
    with refused_with("bad_signature"):
        knock(doorkeeper(), secret=b"other")


def test_nonce_is_taken_once() -> None:
    """The same bytes a second time are refused: nothing can be placed twice by a repeated request."""
    door = doorkeeper()
    knock(door)
    with refused_with("used_nonce"):
        knock(door)
    knock(door, nonce=2)


def test_request_outside_the_window_is_refused() -> None:
    """Too old and too far ahead alike."""
    for time_ms in (NOW_MS - 5001, NOW_MS + 5001):
        with refused_with("outside_window"):
            knock(doorkeeper(), time_ms=time_ms)
    knock(doorkeeper(), time_ms=NOW_MS - 5000)


def test_limit_counts_items_and_opens_with_the_next_window() -> None:
    """Ten of ten are taken, the eleventh is told how long to wait."""
    door = doorkeeper(orders_per_10s=10)
    start = NOW_MS // 10_000 * 10_000
    door.spend({ORDERS: 6}, start)
    door.spend({ORDERS: 4}, start + 100)
    with pytest.raises(Refused) as refused:
        door.spend({ORDERS: 1}, start + 9_000)
    assert (refused.value.status, refused.value.problem.retry_after_ms) == (429, 1000)
    assert refused.value.problem.bucket == ORDERS
    assert dict(door.headers(start + 9_000))["X-Limit-Orders"] == "10/10;1000"
    door.spend({REQUESTS: 1}, start + 9_000)
    door.spend({ORDERS: 1}, start + 10_000)


def test_going_on_over_a_limit_leads_to_a_ban() -> None:
    """Nothing is taken while it runs, whatever it costs."""
    door = doorkeeper(orders_per_10s=1, refusals_before_ban=2, ban_ms=60_000)
    start = NOW_MS // 10_000 * 10_000
    door.spend({ORDERS: 1}, start)
    for _ in range(3):
        with refused_with("rate_limited"):
            door.spend({ORDERS: 1}, start)
    with refused_with("banned"):
        door.spend({REQUESTS: 1}, start + 59_999)
    door.spend({REQUESTS: 1}, start + 60_000)
