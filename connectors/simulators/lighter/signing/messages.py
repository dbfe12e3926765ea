"""What the venue's keys sign: transactions and auth tokens, as hashes.

A transaction is hashed as words: chain id, type, Nonce, ExpiredAt, AccountIndex, ApiKeyIndex, and then the keys of its
`tx_info` in their order. Attributes that say something are hashed by themselves, four pairs of type and value, and
then together with the first hash.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.simulators.lighter.signing.poseidon2 import P, hash_words, to_bytes, to_words

_HEAD = ("Nonce", "ExpiredAt", "AccountIndex", "ApiKeyIndex")
_TAIL = ("ExpiredAt", "Nonce", "Sig", "L2TxAttributes")
_OWNER = ("AccountIndex", "ApiKeyIndex")
BODIES: Mapping[int, tuple[str, ...]] = {
    14: (
        "MarketIndex",
        "ClientOrderIndex",
        "BaseAmount",
        "Price",
        "IsAsk",
        "Type",
        "TimeInForce",
        "ReduceOnly",
        "TriggerPrice",
        "OrderExpiry",
    ),
    15: ("MarketIndex", "Index"),
    16: ("TimeInForce", "Time"),
    17: ("MarketIndex", "Index", "BaseAmount", "Price", "TriggerPrice"),
    20: ("MarketIndex", "InitialMarginFraction", "MarginMode"),
    29: ("MarketIndex", "USDCAmount", "Direction"),
}
"""The keys of each type's `tx_info` between its owner and its deadline."""
_TWO_WORDS = frozenset({"USDCAmount"})
"""Hashed as the low and then the high 32 bits."""
ATTRIBUTES_MAX = 4
_MARKET_ATTRIBUTE = 5
_NIL_MARKET = 255


class Unreadable(ValueError):
    """A transaction that is not one of the venue's."""


def info_keys(tx_type: int) -> tuple[str, ...]:
    """The keys of a `tx_info`, in order. Raises Unreadable for a type that is not known here."""
    body = BODIES.get(tx_type)
    if body is None:
        raise Unreadable(f"transaction type {tx_type} is not known here")
    return (*_OWNER, *body, *_TAIL)


def preimage(chain_id: int, tx_type: int, info: Mapping[str, Any]) -> list[int]:
    """The words that are hashed for a transaction. Raises Unreadable for a key that is missing or no number."""
    keys = info_keys(tx_type)
    for key in keys[: -len(_TAIL)] + _TAIL[:2]:
        if type(info.get(key)) is not int or info[key] < 0:
            raise Unreadable(f"{key} must be a whole number")
    words = [chain_id, tx_type, *(info[key] for key in _HEAD)]
    for key in BODIES[tx_type]:
        value = info[key]
        words += (value & 0xFFFF_FFFF, value >> 32) if key in _TWO_WORDS else (value,)
    return words


def attributes(info: Mapping[str, Any]) -> dict[int, int]:
    """A transaction's attributes as they stand. Raises Unreadable."""
    found = info.get("L2TxAttributes")
    if found is None:
        return {}
    if not isinstance(found, dict) or len(found) > ATTRIBUTES_MAX:
        raise Unreadable(f"L2TxAttributes must be null or an object of at most {ATTRIBUTES_MAX}")
    if not all(key.isdigit() and len(key) <= 3 and type(value) is int and value >= 0 for key, value in found.items()):
        raise Unreadable("L2TxAttributes must name whole numbers")
    return {int(key): value for key, value in found.items()}


def hashed(words: Sequence[int], attached: Mapping[int, int]) -> bytes:
    """The 40 bytes that are signed, and by whose hex the transaction is known. Raises Unreadable for a number that is
    too large, or for too many attributes."""
    if any(not 0 <= word < P for word in (*words, *attached, *attached.values())):
        raise Unreadable("a number is outside the field")
    said = sorted((kind, value) for kind, value in attached.items() if value != _nil(kind))
    if len(said) > ATTRIBUTES_MAX:
        raise Unreadable(f"more than {ATTRIBUTES_MAX} attributes")
    digest = hash_words(words)
    if said:
        pairs = [word for pair in said for word in pair]
        pairs += [0] * (2 * ATTRIBUTES_MAX - len(pairs))
        digest = hash_words([*digest, *hash_words(pairs)])
    return to_bytes(digest)


def transaction_hash(chain_id: int, tx_type: int, info: Mapping[str, Any]) -> bytes:
    """Raises Unreadable."""
    return hashed(preimage(chain_id, tx_type, info), attributes(info))


def text_hash(text: str) -> bytes:
    """The hash of a text such as an auth token's, packed eight bytes to a word."""
    return to_bytes(hash_words(to_words(text.encode())))


def _nil(kind: int) -> int:
    return _NIL_MARKET if kind == _MARKET_ATTRIBUTE else 0
