"""Reading public vectors, and how their outputs are compared: floats within the tolerance, all else exactly."""

from collections.abc import Collection
from typing import Any

import msgspec

from tests.shared import SHARED

TOLERANCE = 1e-9


def read_vectors(file: str) -> list[dict[str, Any]]:
    """The vectors of a shared file; none where it is absent, so that its tests can be collected and skipped."""
    path = SHARED / file
    if not path.exists():
        return []
    vectors: list[dict[str, Any]] = msgspec.json.decode(path.read_bytes())["vectors"]
    return vectors


def coverage(kind: str, vectors: list[dict[str, Any]], functions: Collection[str]) -> str:
    """A line for people: how many vectors the product's functions cover, and which functions are still to come."""
    covered = sum(vector["function"] in functions for vector in vectors)
    missing = sorted({vector["function"] for vector in vectors}.difference(functions))
    return f"\n{kind} vectors: {covered} of {len(vectors)} covered; not covered: {', '.join(missing) or 'none'}\n"


def differences(got: Any, want: Any, relative: float, path: str = "") -> list[str]:
    """Every place where `got` is not what the vector wants; `relative` is the relative part of the tolerance."""
    if isinstance(want, dict):
        if not isinstance(got, dict):
            return [f"{path}: {got!r} instead of {want!r}"]
        return [
            line
            for name, value in want.items()
            for line in (
                differences(got[name], value, relative, f"{path}.{name}")
                if name in got
                else [f"{path}.{name}: missing"]
            )
        ]
    if isinstance(want, list):
        if not isinstance(got, list | tuple) or len(got) != len(want):
            return [f"{path}: {got!r} instead of {want!r}"]
        pairs = enumerate(zip(got, want, strict=True))
        return [line for i, (g, w) in pairs for line in differences(g, w, relative, f"{path}[{i}]")]
    if isinstance(want, float) and isinstance(got, int | float) and not isinstance(got, bool):
        close = abs(got - want) <= TOLERANCE + relative * abs(want)
        return [] if close else [f"{path}: {got!r} instead of {want!r}"]
    same = got == want and isinstance(got, bool) == isinstance(want, bool)
    return [] if same else [f"{path}: {got!r} instead of {want!r}"]
