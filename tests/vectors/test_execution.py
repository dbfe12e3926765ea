"""Every public execution vector whose function the product has."""

import sys
from typing import Any

import msgspec
import pytest

from tests.shared import SHARED, shared_file
from tests.vectors.comparison import differences
from tests.vectors.execution import ADAPTERS, evaluate

_FILE = "design/execution_vectors.json"


def _vectors() -> list[dict[str, Any]]:
    path = SHARED / _FILE
    if not path.exists():
        return []
    vectors: list[dict[str, Any]] = msgspec.json.decode(path.read_bytes())["vectors"]
    return vectors


_COVERED = [vector for vector in _vectors() if vector["function"] in ADAPTERS]


def _problems(vector: dict[str, Any]) -> list[str]:
    return differences(evaluate(vector["function"], vector["input"]), vector["expect"], relative=0.0)


@pytest.mark.parametrize("vector", _COVERED, ids=lambda vector: vector["id"])
def test_execution_vector_is_reproduced(vector: dict[str, Any]) -> None:
    """The product computes what the vector says: floats to 1e-9, everything else exactly."""
    assert _problems(vector) == []


def test_execution_vectors_of_covered_functions_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Says how many vectors are covered and which functions are still to come."""
    shared_file(_FILE)
    vectors = _vectors()
    missing = sorted({vector["function"] for vector in vectors} - ADAPTERS.keys())
    with capsys.disabled():
        sys.stdout.write(
            f"\nexecution vectors: {len(_COVERED)} of {len(vectors)} covered; "
            f"not covered: {', '.join(missing) or 'none'}\n"
        )
    assert _COVERED


def test_unknown_function_is_refused_by_name() -> None:
    """A function the product does not have is a KeyError that names it, not a wrong answer."""
    with pytest.raises(KeyError, match="no_such_rule"):
        evaluate("no_such_rule", {})
