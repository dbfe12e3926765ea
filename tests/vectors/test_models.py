"""Every public model vector whose function the product has."""

import sys
from typing import Any

import msgspec
import pytest

from tests.shared import SHARED, shared_file
from tests.vectors.comparison import TOLERANCE, differences
from tests.vectors.models import ADAPTERS, evaluate

_FILE = "design/model_vectors.json"


def _vectors() -> list[dict[str, Any]]:
    path = SHARED / _FILE
    if not path.exists():
        return []
    vectors: list[dict[str, Any]] = msgspec.json.decode(path.read_bytes())["vectors"]
    return vectors


_COVERED = [vector for vector in _vectors() if vector["function"] in ADAPTERS]


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


def test_all_model_vectors_of_covered_functions_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """Says how many vectors pass and which functions are still to come; none of the covered ones may fail."""
    shared_file(_FILE)
    vectors = _vectors()
    failed = [vector["id"] for vector in _COVERED if _problems(vector)]
    missing = sorted({vector["function"] for vector in vectors} - ADAPTERS.keys())
    with capsys.disabled():
        sys.stdout.write(
            f"\nmodel vectors: {len(_COVERED) - len(failed)} of {len(vectors)} pass; "
            f"not covered: {', '.join(missing) or 'none'}\n"
        )
    assert failed == []


def test_unknown_function_is_refused_by_name() -> None:
    """A function the product does not have is a KeyError that names it, not a wrong answer."""
    with pytest.raises(KeyError, match="no_such_model"):
        evaluate("no_such_model", {})
