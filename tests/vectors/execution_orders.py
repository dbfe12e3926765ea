"""Execution vectors about orders: filled in by the modules they speak of."""

from collections.abc import Callable, Mapping
from typing import Any

ADAPTERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {}
