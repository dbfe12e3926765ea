"""The execution vectors' way into the product, merged from one module per subject."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.vectors import execution_decisions, execution_orders, execution_recovery, execution_simulation

ADAPTERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    **execution_decisions.ADAPTERS,
    **execution_orders.ADAPTERS,
    **execution_recovery.ADAPTERS,
    **execution_simulation.ADAPTERS,
}


def evaluate(kind: str, case: Mapping[str, Any]) -> dict[str, Any]:
    """The product's outputs for one vector. Raises KeyError for a function it does not have."""
    adapter = ADAPTERS.get(kind)
    if adapter is None:
        raise KeyError(
            f"execution function {kind!r} is not part of the product yet; it has {', '.join(sorted(ADAPTERS))}"
        )
    return adapter(case)
