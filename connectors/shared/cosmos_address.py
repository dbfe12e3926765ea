"""Addresses of Cosmos chains: bech32 of ripemd160(sha256(compressed public key)).

RIPEMD-160 is written out here because OpenSSL 3 may come without it; it is used once a run, so its speed is no matter.

Sources: BIP-173 (bech32); Dobbertin, Bosselaers, Preneel, "RIPEMD-160: A strengthened version of RIPEMD" (1996).
"""

import hashlib
from collections.abc import Sequence

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_ADDRESS_BYTES = 20
_MASK = 0xFFFFFFFF


def address_of(public_key: bytes, prefix: str) -> str:
    """Address of a compressed secp256k1 public key (33 bytes)."""
    return bech32(prefix, ripemd160(hashlib.sha256(public_key).digest()))


def is_address(text: str, prefix: str) -> bool:
    """Whether the text is an account's address of that chain, its checksum included."""
    if not text.startswith(f"{prefix}1") or any(letter not in _CHARSET for letter in text[len(prefix) + 1 :]):
        return False
    words = [_CHARSET.index(letter) for letter in text[len(prefix) + 1 :]]
    return len(words) == _ADDRESS_BYTES * 8 // 5 + 6 and _polymod([*_expanded(prefix), *words]) == 1


def bech32(prefix: str, data: bytes) -> str:
    """Text of the bytes with a human-readable prefix and a checksum of six letters (BIP-173)."""
    words = _words(data)
    check = _polymod([*_expanded(prefix), *words, 0, 0, 0, 0, 0, 0]) ^ 1
    words += [(check >> 5 * (5 - place)) & 31 for place in range(6)]
    return f"{prefix}1{''.join(_CHARSET[word] for word in words)}"


def _words(data: bytes) -> list[int]:
    """Groups of five bits, the last one filled up with zeros."""
    bits = int.from_bytes(data) << (-len(data) * 8 % 5)
    count = (len(data) * 8 + 4) // 5
    return [(bits >> 5 * (count - 1 - place)) & 31 for place in range(count)]


def _expanded(prefix: str) -> list[int]:
    return [*(ord(letter) >> 5 for letter in prefix), 0, *(ord(letter) & 31 for letter in prefix)]


def _polymod(values: Sequence[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_GENERATOR):
            if top >> place & 1:
                check ^= generator
    return check


# RIPEMD-160: two lines of five rounds of sixteen steps each, added up at the end of every block.

_RHO = (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8)
_SHIFTS = (
    (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
    (12, 13, 11, 15, 6, 9, 9, 7, 12, 15, 11, 13, 7, 8, 7, 7),
    (13, 15, 14, 11, 7, 7, 6, 8, 13, 14, 13, 12, 5, 5, 6, 9),
    (14, 11, 12, 14, 8, 6, 5, 5, 15, 12, 15, 14, 9, 9, 8, 6),
    (15, 12, 13, 13, 9, 5, 8, 6, 14, 11, 12, 11, 8, 6, 5, 5),
)
"""Left rotation of each message word in each round."""
_LEFT_CONSTANTS = (0, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E)
_RIGHT_CONSTANTS = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0)
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)


def _orders() -> tuple[list[list[int]], list[list[int]]]:
    """Order of the message words in the rounds of the left and of the right line."""
    left = list(range(16))
    right = [(9 * word + 5) % 16 for word in range(16)]
    lefts, rights = [left], [right]
    for _ in range(4):
        left, right = [_RHO[word] for word in left], [_RHO[word] for word in right]
        lefts.append(left)
        rights.append(right)
    return lefts, rights


_LEFT_ORDER, _RIGHT_ORDER = _orders()


def ripemd160(data: bytes) -> bytes:
    """The 20 bytes of the digest."""
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + (len(data) * 8).to_bytes(8, "little")
    state: tuple[int, ...] = _START
    for begin in range(0, len(padded), 64):
        words = [int.from_bytes(padded[at : at + 4], "little") for at in range(begin, begin + 64, 4)]
        left = _line(words, state, _LEFT_ORDER, _LEFT_CONSTANTS, (0, 1, 2, 3, 4))
        right = _line(words, state, _RIGHT_ORDER, _RIGHT_CONSTANTS, (4, 3, 2, 1, 0))
        state = tuple((state[(n + 1) % 5] + left[(n + 2) % 5] + right[(n + 3) % 5]) & _MASK for n in range(5))
    return b"".join(word.to_bytes(4, "little") for word in state)


def _line(
    words: Sequence[int],
    state: Sequence[int],
    orders: Sequence[Sequence[int]],
    constants: Sequence[int],
    mixers: Sequence[int],
) -> tuple[int, ...]:
    a, b, c, d, e = state
    for order, constant, mixer, shifts in zip(orders, constants, mixers, _SHIFTS, strict=True):
        for word in order:
            total = (a + _mixed(mixer, b, c, d) + words[word] + constant) & _MASK
            shift = shifts[word]
            total = ((total << shift | total >> 32 - shift) + e) & _MASK
            a, b, c, d, e = e, total, b, (c << 10 | c >> 22) & _MASK, d
    return a, b, c, d, e


def _mixed(mixer: int, x: int, y: int, z: int) -> int:
    """The Boolean function of a round, 0 to 4."""
    if mixer == 0:
        return x ^ y ^ z
    if mixer == 1:
        return (x & y) | (~x & _MASK & z)
    if mixer == 2:
        return (x | ~y & _MASK) ^ z
    if mixer == 3:
        return (x & z) | (y & ~z & _MASK)
    return x ^ (y | ~z & _MASK)
