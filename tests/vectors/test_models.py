"""Every public model vector whose function the product has."""

import sys
from typing import Any

import pytest

from tests.shared import shared_file
from tests.vectors.comparison import TOLERANCE, coverage, differences, read_vectors
from tests.vectors.models import ADAPTERS, evaluate

_FILE = "design/model_vectors.json"


_VECTORS = read_vectors(_FILE)
_COVERED = [vector for vector in _VECTORS if vector["function"] in ADAPTERS]


def _problems(vector: dict[str, Any]) -> list[str]:
    want = vector["outputs"]
    if want == {"error": "domain"}:
        try:
            got = evaluate(vector["function"], vector["inputs"])
        except ValueError:
            return []
        return [f"{got} instead of a domain error"]
    return differences(evaluate(vector["function"], vector["inputs"]), want, TOLERANCE)


@pytest.mark.parametrize("vector", _COVERED, ids=lambda vector: vector["id"])
def test_model_vector_is_reproduced(vector: dict[str, Any]) -> None:
    """The product computes what the vector says, to its tolerance."""
    assert _problems(vector) == []


def test_model_vectors_of_covered_functions_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Says how many vectors are covered and which functions are still to come."""
    shared_file(_FILE)
    with capsys.disabled():
        sys.stdout.write(coverage("model", _VECTORS, ADAPTERS))
    assert _COVERED


def test_unknown_function_is_refused_by_name() -> None:
    """A function the product does not have is a KeyError that names it, not a wrong answer."""
    with pytest.raises(KeyError, match="no_such_model"):
        evaluate("no_such_model", {})
