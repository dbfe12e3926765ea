"""Whose signature it is: the venue's side of EIP-712, by key recovery. Shares no code with the connector.

A wrong byte anywhere recovers another address, which the venue then does not know: there is no "bad signature".
"""

from coincurve import PublicKey
from Crypto.Hash import keccak

from connectors.simulators.hyperliquid import wire


class Unrecoverable(Exception):
    """No key can have made this signature."""


def _hash(*parts: bytes) -> bytes:
    digest: bytes = keccak.new(digest_bits=256, data=b"".join(parts)).digest()
    return digest


def _text(text: str) -> bytes:
    return _hash(text.encode())


def _number(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _address(text: str) -> bytes:
    return bytes.fromhex(text[2:]).rjust(32, b"\x00")


def _digest(domain: str, chain_id: int, message: bytes) -> bytes:
    kind = _text("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    separator = _hash(kind, _text(domain), _text("1"), _number(chain_id), _number(0))
    return _hash(b"\x19\x01", separator, message)


def _signer(digest: bytes, signature: wire.Signature) -> str:
    r, s, recovery = int(signature.r, 16), int(signature.s, 16), signature.v - 27
    if not 0 <= recovery <= 3:
        raise Unrecoverable
    try:
        key = PublicKey.from_signature_and_message(_number(r) + _number(s) + bytes([recovery]), digest, hasher=None)
    except Exception as error:  # the library's own words for a point that is on no curve differ by version
        raise Unrecoverable from error
    return f"0x{_hash(key.format(compressed=False)[1:])[-20:].hex()}"


def l1_signer(request: wire.ExchangeRequest, *, mainnet: bool) -> str:
    """The address that signed an L1 action. Raises Unrecoverable."""
    data = [wire.canonical(request.action), request.nonce.to_bytes(8, "big")]
    if request.vaultAddress is None:
        data.append(b"\x00")
    else:
        data += [b"\x01", bytes.fromhex(request.vaultAddress[2:])]
    if request.expiresAfter is not None:
        data += [b"\x00", request.expiresAfter.to_bytes(8, "big")]
    kind = _text("Agent(string source,bytes32 connectionId)")
    agent = _hash(kind, _text("a" if mainnet else "b"), _hash(*data))
    return _signer(_digest("Exchange", 1337, agent), request.signature)


def approver(action: wire.ApproveAgentAction, signature: wire.Signature) -> str:
    """The address that approved an agent. Raises Unrecoverable."""
    kind = (
        "HyperliquidTransaction:ApproveAgent"
        "(string hyperliquidChain,address agentAddress,string agentName,uint64 nonce)"
    )
    message = _hash(
        _text(kind),
        _text(action.hyperliquidChain),
        _address(action.agentAddress),
        _text(action.agentName or ""),
        _number(action.nonce),
    )
    return _signer(_digest("HyperliquidSignTransaction", int(action.signatureChainId, 16), message), signature)


def address_of(private_key: bytes) -> str:
    """The address of a key."""
    return f"0x{_hash(PublicKey.from_secret(private_key).format(compressed=False)[1:])[-20:].hex()}"


def seeded_key(seed: int, number: int) -> bytes:
    """Private key of the account `number`: one seed, the same keys. For play money only."""
    return _hash(f"mm-daemon simulate hyperliquid {seed} {number}".encode())
