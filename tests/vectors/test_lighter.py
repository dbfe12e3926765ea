"""Every public Lighter vector: hashes, signatures that hold and that must not, tokens."""

from typing import Any

import msgspec
import pytest

from tests.shared import SHARED, shared_file
from tests.vectors.comparison import differences
from tests.vectors.lighter import evaluate

_FOLDER = "venues/lighter/vectors"
_FILES = {"transaction_hash": "signed_transactions", "signature": "signed_transactions", "auth_token": "auth_tokens"}
_CHAINS = ("mainnet_chain", "testnet_chain")
_OUTPUTS = {"transaction_hash": ("tx_hash",), "signature": (), "auth_token": ("message_hash_hex",)}


def _cases() -> list[Any]:
    found = []
    sources = [(kind, file, True) for kind, file in _FILES.items()] + [("signature", "invalid_signatures", False)]
    for kind, file, holds in sources:
        for chain in _CHAINS:
            path = SHARED / _FOLDER / f"{file}_{chain}.json"
            content: dict[str, Any] = msgspec.json.decode(path.read_bytes()) if path.exists() else {"vectors": []}
            header = {name: value for name, value in content.items() if name != "vectors"}
            for number, vector in enumerate(content["vectors"]):
                case = {name: value for name, value in vector.items() if name not in _OUTPUTS[kind]}
                want = {name: vector[name] for name in _OUTPUTS[kind]}
                if kind != "transaction_hash":
                    want["valid"] = holds
                found.append(pytest.param(kind, {**case, "header": header}, want, id=f"{kind}-{file}-{chain}-{number}"))
    return found


@pytest.mark.parametrize(("kind", "case", "want"), _cases())
def test_lighter_vector_is_reproduced(kind: str, case: dict[str, Any], want: dict[str, Any]) -> None:
    """Hashes exactly, signatures as valid or not."""
    assert differences(evaluate(kind, case), want, 0.0) == []


def test_all_lighter_vectors_are_there() -> None:
    """None is lost on the way to the parametrisation."""
    shared_file(f"{_FOLDER}/signed_transactions_mainnet_chain.json")
    shared_file(f"{_FOLDER}/auth_tokens_testnet_chain.json")
    shared_file(f"{_FOLDER}/invalid_signatures_testnet_chain.json")
    assert len(_cases()) == 2 * (24 + 24 + 3 + 4)


@pytest.mark.parametrize("chain", _CHAINS)
def test_a_token_of_another_text_or_key_is_none(chain: str) -> None:
    """A token holds only for the very text that was signed, and for the key that signed it."""
    content = msgspec.json.decode(shared_file(f"{_FOLDER}/auth_tokens_{chain}.json").read_bytes())
    other = "testnet_chain" if chain == "mainnet_chain" else "mainnet_chain"
    stranger = msgspec.json.decode(shared_file(f"{_FOLDER}/auth_tokens_{other}.json").read_bytes())["key"]
    first, second = content["vectors"][:2]
    header = {"key": content["key"]}
    assert not evaluate("auth_token", {**first, "header": {"key": stranger}})["valid"]
    assert not evaluate("auth_token", {**first, "signed_message": second["signed_message"], "header": header})["valid"]
    forged = second["signed_message"] + ":" + first["token"].rpartition(":")[2]
    assert not evaluate("auth_token", {**second, "token": forged, "header": header})["valid"]
    assert not evaluate("auth_token", {**first, "token": "no token", "header": header})["valid"]


@pytest.mark.parametrize("text", ["", "0x", "zz", "00" * 79, "00" * 81, "ff" * 80])
def test_malformed_signatures_are_invalid(text: str) -> None:
    """No text whatever is taken for a signature, and none raises."""
    header = {"public_key": "01" * 40}
    assert not evaluate("signature", {"tx_hash": "00" * 40, "sig_hex": text, "header": header})["valid"]


def test_unknown_kind_is_refused_by_name() -> None:
    """A kind the product does not have is a KeyError that names it, not a wrong answer."""
    with pytest.raises(KeyError, match="no_such_kind"):
        evaluate("no_such_kind", {})
