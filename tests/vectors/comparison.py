"""How a vector's outputs are compared: floats within the stated tolerance, everything else exactly."""

from typing import Any

TOLERANCE = 1e-9


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
