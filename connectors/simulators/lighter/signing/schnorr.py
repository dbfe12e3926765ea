"""Schnorr signatures over ecGFp5 with Poseidon2: s G + e K is the commitment, and e the hash of it and the message.

A signature is s and then e, 40 bytes each, little-endian, both below the group's order. Nothing here runs in constant
time: it verifies, and signs for tests with keys that are worth nothing.
"""

from functools import lru_cache

from connectors.simulators.lighter.signing import ecgfp5
from connectors.simulators.lighter.signing.ecgfp5 import ORDER, Point
from connectors.simulators.lighter.signing.poseidon2 import HASH_BYTES, P, hash_words, to_bytes, to_words

SIGNATURE_BYTES = 2 * HASH_BYTES


def public_key(secret: int) -> bytes:
    """40 bytes. Raises ValueError for a secret that is not from 1 to the order less 1."""
    if not 0 < secret < ORDER:
        raise ValueError("a private key lies between 0 and the group's order")
    return ecgfp5.encode(ecgfp5.base_multiple(secret))


def sign(secret: int, message_hash: bytes, nonce: int) -> bytes:
    """The signature of a hash under a secret, with a nonce below the order that is used only this once."""
    challenge = _challenge(ecgfp5.base_multiple(nonce), message_hash)
    answer = (nonce - challenge * secret) % ORDER
    return answer.to_bytes(HASH_BYTES, "little") + challenge.to_bytes(HASH_BYTES, "little")


def verify(key: bytes, message_hash: bytes, signature: bytes) -> bool:
    """Whether `signature` is the key's for the hash. Anything that is malformed is none."""
    if len(signature) != SIGNATURE_BYTES or len(message_hash) != HASH_BYTES:
        return False
    if any(word >= P for word in to_words(message_hash)):
        return False
    answer = int.from_bytes(signature[:HASH_BYTES], "little")
    challenge = int.from_bytes(signature[HASH_BYTES:], "little")
    point = _decoded(key)
    if answer >= ORDER or challenge >= ORDER or point is None:
        return False
    commitment = ecgfp5.add(ecgfp5.base_multiple(answer), ecgfp5.multiple(challenge, point))
    return _challenge(commitment, message_hash) == challenge


def _challenge(commitment: Point, message_hash: bytes) -> int:
    words = hash_words([*to_words(ecgfp5.encode(commitment)), *to_words(message_hash)])
    return int.from_bytes(to_bytes(words), "little") % ORDER


@lru_cache(maxsize=64)
def _decoded(key: bytes) -> Point | None:
    """The point of a public key that may sign; the neutral one may not: anybody could sign for it."""
    point = ecgfp5.decode(key)
    return None if point is None or point == ecgfp5.NEUTRAL else point
