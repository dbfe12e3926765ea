"""Auth tokens: `deadline:account:key:signature`, the signature in hex over the text before the last colon."""

import msgspec

from connectors.simulators.lighter.signing.messages import text_hash
from connectors.simulators.lighter.signing.schnorr import SIGNATURE_BYTES, verify

_DIGITS_MAX = 20


class Token(msgspec.Struct, frozen=True):
    """What a token says; whether its signature is the key's is another question."""

    deadline_s: int
    account: int
    key_index: int
    message: str
    """What was signed."""
    signature: bytes

    def signed_by(self, public_key: bytes) -> bool:
        return verify(public_key, text_hash(self.message), self.signature)


def read_token(text: str) -> Token | None:
    """None for what is no token."""
    message, _, hexadecimal = text.rpartition(":")
    numbers = message.split(":")
    signature = from_hex(hexadecimal)
    if len(numbers) != 3 or signature is None or len(signature) != SIGNATURE_BYTES:
        return None
    if not all(each.isascii() and each.isdigit() and len(each) <= _DIGITS_MAX for each in numbers):
        return None
    deadline_s, account, key_index = (int(each) for each in numbers)
    return Token(deadline_s, account, key_index, message, signature)


def from_hex(text: str) -> bytes | None:
    """Bytes of a hexadecimal text, with or without `0x`; None when it is none."""
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return None
