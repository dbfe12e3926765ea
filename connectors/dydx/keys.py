"""Keys of a dYdX account: a mnemonic or a raw private key to signatures and the address.

A mnemonic is BIP-39 with an empty passphrase, and the key is that of the path m/44'/118'/0'/0/0 (BIP-32, BIP-44; 118
is Cosmos). Signatures are r and s in 64 bytes over SHA-256 of what is signed, s low, the nonce of RFC 6979, all by
libsecp256k1.
"""

import hashlib
import hmac
import unicodedata

from coincurve import PrivateKey

from connectors.shared.cosmos_address import address_of
from mm_daemon.domain.errors import ConfigError

PREFIX = "dydx"
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""How many keys secp256k1 has; a key is 1 .. _ORDER - 1."""
_KEY_DIGITS = 64
_WORDS = (12, 15, 18, 21, 24)
_SEED_ROUNDS = 2048
_HARDENED = 1 << 31
_PATH = (44 + _HARDENED, 118 + _HARDENED, _HARDENED, 0, 0)


def private_key(text: str) -> bytes:
    """The 32 bytes of what a person keeps: 64 hex digits, or a mnemonic of 12 to 24 words. Raises ConfigError; the text
    is not in its words."""
    words = text.split()
    if len(words) in _WORDS:
        return from_mnemonic(" ".join(words))
    digits = text.strip().removeprefix("0x")
    try:
        secret = int(digits, 16) if len(digits) == _KEY_DIGITS else 0
    except ValueError:
        secret = 0
    if not 0 < secret < _ORDER:
        raise ConfigError("the private key is none: 64 hex digits, or a mnemonic of 12 to 24 words, are needed")
    return secret.to_bytes(32)


def from_mnemonic(mnemonic: str) -> bytes:
    """The account's key of a mnemonic, its words apart by single blanks. The words are not looked up: one mistyped
    gives another account, which the connector notices by its address."""
    words = unicodedata.normalize("NFKD", mnemonic).encode()
    seed = hashlib.pbkdf2_hmac("sha512", words, b"mnemonic", _SEED_ROUNDS)
    key, chain = _halves(b"Bitcoin seed", seed)
    for index in _PATH:
        data = b"\x00" + key if index >= _HARDENED else PrivateKey(key).public_key.format()
        tweak, chain = _halves(chain, data + index.to_bytes(4))
        key = ((int.from_bytes(tweak) + int.from_bytes(key)) % _ORDER).to_bytes(32)
    return key


def _halves(key: bytes, data: bytes) -> tuple[bytes, bytes]:
    digest = hmac.new(key, data, hashlib.sha512).digest()
    return digest[:32], digest[32:]


class Signer:
    """One key. `address` is the key's own account; a permissioned key signs for another one."""

    __slots__ = ("_sign", "address", "public_key")

    def __init__(self, key: bytes) -> None:
        secret = PrivateKey(key)
        self._sign = secret.sign_recoverable
        self.public_key = secret.public_key.format()
        """33 bytes, compressed."""
        self.address = address_of(self.public_key, PREFIX)

    def sign(self, data: bytes) -> bytes:
        return self._sign(data)[:64]
