"""Signatures of Hyperliquid: an action's bytes to the digest that the venue recovers our address from.

L1 actions (orders, cancels, leverage) are hashed as msgpack bytes with nonce, vault and expiry; the hash travels as
`connectionId` of a phantom "Agent" in EIP-712 form. Every constant of that form is worked out once, so that a signature
costs three keccaks of short inputs and one ECDSA. Whether it is for mainnet is part of what is signed and a setting of
its own: it is never read out of an address of the venue.

Source: the venue's documents, "Signing"; EIP-712; RFC 6979 and low s by libsecp256k1.
"""

from collections.abc import Mapping, Sequence

import msgspec
from coincurve import PrivateKey
from Crypto.Hash import keccak

from mm_daemon.domain.errors import ConfigError

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""How many keys secp256k1 has; a key is 1 .. _ORDER - 1."""
_KEY_DIGITS, _ADDRESS_BYTES, _V_OFFSET = 64, 20, 27

action_bytes = msgspec.msgpack.Encoder().encode
"""msgpack of an action in the order of its keys, as it is hashed. Takes structs of `actions.py` and plain mappings."""


class Signature(msgspec.Struct, frozen=True, gc=False):
    """`r` and `s` as 0x and 64 hex digits, `v` 27 or 28."""

    r: str
    s: str
    v: int


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum has it, which is not SHA3-256."""
    digest: bytes = keccak.new(digest_bits=256, data=data).digest()
    return digest


_DOMAIN_TYPE = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")


def _domain(name: bytes, chain_id: int) -> bytes:
    """Beginning of every digest of a domain: 0x1901 and the domain's separator; the verifying contract is zero."""
    fields = _DOMAIN_TYPE + keccak256(name) + keccak256(b"1") + chain_id.to_bytes(32) + bytes(32)
    return b"\x19\x01" + keccak256(fields)


_L1_DOMAIN = _domain(b"Exchange", 1337)
_AGENT_TYPE = keccak256(b"Agent(string source,bytes32 connectionId)")
_AGENT = {True: _AGENT_TYPE + keccak256(b"a"), False: _AGENT_TYPE + keccak256(b"b")}
"""Beginning of the agent's struct, by whether it is for mainnet."""


def action_hash(action: bytes, nonce: int, vault: bytes | None = None, expires_after: int | None = None) -> bytes:
    """What a signature stands for: `action` is its msgpack, `vault` the 20 bytes of an address, times in ms."""
    tail = nonce.to_bytes(8) + (b"\x00" if vault is None else b"\x01" + vault)
    if expires_after is not None:
        tail += b"\x00" + expires_after.to_bytes(8)
    return keccak256(action + tail)


def address_bytes(text: str) -> bytes:
    """The 20 bytes of an address; the case of its digits does not matter. Raises ConfigError."""
    try:
        address = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        address = b""
    if len(address) != _ADDRESS_BYTES or not text.startswith("0x"):
        raise ConfigError(f"{text!r} is no address: 0x and 40 hex digits are needed")
    return address


def agent_digest(connection_id: bytes, *, mainnet: bool) -> bytes:
    """What is signed for an L1 action with that hash."""
    return keccak256(_L1_DOMAIN + keccak256(_AGENT[mainnet] + connection_id))


class Signer:
    """One key on one network. `address` is the key's own, in lower case."""

    __slots__ = ("_key", "_mainnet", "address")

    def __init__(self, private_key: str, *, mainnet: bool) -> None:
        """Raises ConfigError for a text that is no private key; the text is not in its words."""
        digits = private_key.strip().removeprefix("0x")
        try:
            secret = int(digits, 16) if len(digits) == _KEY_DIGITS else 0
        except ValueError:
            secret = 0
        if not 0 < secret < _ORDER:
            raise ConfigError("the private key is none: 64 hex digits are needed, with or without 0x before them")
        self._key = PrivateKey(secret.to_bytes(32))
        self._mainnet = mainnet
        self.address = f"0x{keccak256(self._key.public_key.format(compressed=False)[1:])[12:].hex()}"

    def sign_action(
        self, action: bytes, nonce: int, vault: bytes | None = None, expires_after: int | None = None
    ) -> Signature:
        """An L1 action, as `action_hash` takes it."""
        return self._sign(agent_digest(action_hash(action, nonce, vault, expires_after), mainnet=self._mainnet))

    def sign_user_action(self, name: str, fields: Sequence[tuple[str, str]], action: Mapping[str, object]) -> Signature:
        """A user-signed action, such as an agent's approval, by the master's key: see `user_digest`."""
        return self._sign(user_digest(name, fields, action))

    def _sign(self, digest: bytes) -> Signature:
        signed = self._key.sign_recoverable(digest, hasher=None)
        return Signature(f"0x{signed[:32].hex()}", f"0x{signed[32:64].hex()}", _V_OFFSET + signed[64])


# User-signed actions

APPROVE_AGENT = (
    ("hyperliquidChain", "string"),
    ("agentAddress", "address"),
    ("agentName", "string"),
    ("nonce", "uint64"),
)
APPROVE_BUILDER_FEE = (
    ("hyperliquidChain", "string"),
    ("maxFeeRate", "string"),
    ("builder", "address"),
    ("nonce", "uint64"),
)
"""Fields of the user-signed actions `ApproveAgent` and `ApproveBuilderFee`, in the order in which they are hashed."""


def user_digest(name: str, fields: Sequence[tuple[str, str]], action: Mapping[str, object]) -> bytes:
    """EIP-712 digest of a user-signed action: type `HyperliquidTransaction:name` with `fields` of (name, type), in the
    domain whose chain is the action's own `signatureChainId`. A text that the action leaves out is hashed as empty.

    Raises ValueError for a type that no user-signed action has, KeyError for a number or an address left out.
    """
    types = ",".join(f"{kind} {field}" for field, kind in fields)
    words = [keccak256(f"HyperliquidTransaction:{name}({types})".encode())]
    words += [_word(kind, action.get(field, "") if kind == "string" else action[field]) for field, kind in fields]
    chain = int(str(action["signatureChainId"]), 16)
    return keccak256(_domain(b"HyperliquidSignTransaction", chain) + keccak256(b"".join(words)))


def _word(kind: str, value: object) -> bytes:
    if kind == "string":
        return keccak256(str(value).encode())
    if kind == "address":
        return bytes(12) + address_bytes(str(value))
    if kind == "uint64":
        return int(str(value)).to_bytes(32)
    if kind == "bool":
        return int(bool(value)).to_bytes(32)
    raise ValueError(f"no user-signed action has a field of type {kind}")
