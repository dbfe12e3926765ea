"""What import contracts cannot show about the packages that decide (ARCHITECTURE 2), read from the syntax tree.

No iteration over sets, no order taken from `id()` or `hash()`, no forbidden module even inside a function; and an
`ApprovedCommand` is made in `risk/gate.py` alone. The snippets below prove that each rule can fail.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared import ROOT

PURE = ("domain", "engine", "risk", "simulation", "core")
FORBIDDEN = frozenset(
    {
        "asyncio",
        "time",
        "datetime",
        "random",
        "os",
        "socket",
        "logging",
        "structlog",
        "uuid",
        "secrets",
        "threading",
        "multiprocessing",
        "concurrent",
        "subprocess",
    }
)
SET_TYPES = frozenset({"set", "frozenset", "AbstractSet", "MutableSet", "Set"})
ORDER_TAKING = frozenset({"list", "tuple", "iter", "enumerate", "zip", "sum", "join", "extend", "fromkeys"})
"""What makes something whose order is that of what it is given."""
SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference"})
SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)

Finding = tuple[int, str]


def _name(node: ast.AST | None) -> str:
    """`x` and `self.x` by their last word."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


class _Sets:
    """Which expressions of a module are sets, as far as its text says so."""

    def __init__(self, tree: ast.Module) -> None:
        self.names: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.AnnAssign) and self._annotates(node.annotation):
                self.names.add(_name(node.target))
            elif isinstance(node, ast.arg) and self._annotates(node.annotation):
                self.names.add(node.arg)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and self.is_set(node.value):
                self.names.update(_name(target) for target in node.targets)
        self.names.discard("")

    @staticmethod
    def _annotates(annotation: ast.AST | None) -> bool:
        outer = annotation.value if isinstance(annotation, ast.Subscript) else annotation
        return _name(outer) in SET_TYPES

    def is_set(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in SET_METHODS:
                return self.is_set(node.func.value)
            return isinstance(node.func, ast.Name) and node.func.id in {"set", "frozenset"}
        if isinstance(node, ast.BinOp) and isinstance(node.op, SET_OPERATORS):
            return self.is_set(node.left) or self.is_set(node.right)
        return _name(node) in self.names


def set_iterations(tree: ast.Module) -> Iterator[Finding]:
    """Places where the order of a set could reach a result."""
    sets = _Sets(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.comprehension) and sets.is_set(node.iter):
            yield node.iter.lineno, "iterates over a set"
        elif isinstance(node, ast.Starred) and sets.is_set(node.value):
            yield node.lineno, "unpacks a set"
        elif isinstance(node, ast.Call):
            called = _name(node.func)
            if called == "pop" and isinstance(node.func, ast.Attribute) and sets.is_set(node.func.value):
                yield node.lineno, "pops from a set"
            elif called in ORDER_TAKING and any(sets.is_set(argument) for argument in node.args):
                yield node.lineno, f"gives a set to {called}()"


def identity_orders(tree: ast.Module) -> Iterator[Finding]:
    """Uses of `id` and `hash`, whose values differ from run to run."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"id", "hash"}:
            yield node.lineno, f"calls {node.func.id}()"
        elif isinstance(node, ast.keyword) and isinstance(node.value, ast.Name) and node.value.id in {"id", "hash"}:
            yield node.value.lineno, f"orders by {node.value.id}"


def forbidden_imports(tree: ast.Module) -> Iterator[Finding]:
    """Clocks, chance, disk, network, log and threads, wherever they are imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in {"__import__", "import_module"}:
            yield node.lineno, "imports by name"
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        relative = isinstance(node, ast.ImportFrom) and node.level > 0
        for name in names:
            if not relative and name.partition(".")[0] in FORBIDDEN:
                yield node.lineno, f"imports {name}"


def approvals(tree: ast.Module) -> Iterator[Finding]:
    """Places where an `ApprovedCommand` is made, under whatever name it was imported."""
    names = {"ApprovedCommand"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names.update(alias.asname for alias in node.names if alias.name == "ApprovedCommand" and alias.asname)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in names:
            yield node.lineno, "makes an ApprovedCommand"


def _modules(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))


def test_what_decides_is_pure() -> None:
    """The pure packages take no order from sets or addresses and import no clock, chance, disk, network or log."""
    findings = [
        f"{path}:{line} {what}"
        for path, tree in _modules(*(f"mm_daemon/{package}" for package in PURE))
        for rule in (set_iterations, identity_orders, forbidden_imports)
        for line, what in rule(tree)
    ]
    assert findings == []


def test_only_the_gate_approves_commands() -> None:
    """Every command that a venue sees has passed `RiskGate`: nothing else makes an `ApprovedCommand`."""
    makers = [path for path, tree in _modules("mm_daemon", "connectors") for _ in approvals(tree)]
    assert set(makers) == {"mm_daemon/risk/gate.py"}


def test_every_pure_package_is_there_to_be_read() -> None:
    """A renamed package must not make the tests above pass by reading nothing."""
    for package in PURE:
        assert len(list(Path(ROOT, "mm_daemon", package).rglob("*.py"))) > 1


@pytest.mark.parametrize(
    "snippet",
    [
        "for x in {1, 2}: pass",
        "for x in set(y): pass",
        "a = frozenset(y)\n[b for b in a]",
        "def f(a: set[int]): return list(a)",
        "class A:\n def __init__(self):\n  self.x: set[int] = set()\n def f(self):\n  return tuple(self.x)",
        "sum(x for x in set(y))",
        "a = {1}\nb = a | c\nf(*b)",
        "a: set[int] = set()\na.pop()",
        "','.join({x for x in y})",
        "for x in set(a).union(b): pass",
        "next(iter({1, 2}))",
    ],
)
def test_iterating_a_set_is_noticed(snippet: str) -> None:
    """The rule about sets can fail."""
    assert list(set_iterations(ast.parse(snippet)))


@pytest.mark.parametrize(
    "snippet",
    [
        "for x in sorted({1, 2}): pass",
        "if x in {1, 2}: pass",
        "len(set(y))",
        "for x in [1, 2]: pass",
        "a = {1: 2}\nfor x in a: pass",
        "dict.fromkeys(x)",
        "a = b | c\nfor x in a: pass",
    ],
)
def test_uses_of_sets_without_order_are_let_be(snippet: str) -> None:
    """Membership, counting and sorting do not depend on a set's order."""
    assert not list(set_iterations(ast.parse(snippet)))


@pytest.mark.parametrize("snippet", ["sorted(a, key=id)", "a.sort(key=hash)", "hash(a) < hash(b)", "min(a, key=id)"])
def test_order_by_identity_is_noticed(snippet: str) -> None:
    """The rule about addresses and hashes can fail; an attribute called `id` is another thing."""
    assert list(identity_orders(ast.parse(snippet)))
    assert not list(identity_orders(ast.parse("sorted(a, key=lambda order: order.id)\na.id")))


@pytest.mark.parametrize(
    "snippet",
    ["import time", "from datetime import datetime", "def f():\n import os.path", "import x, random", "__import__(n)"],
)
def test_forbidden_imports_are_noticed(snippet: str) -> None:
    """The rule about imports can fail, inside functions too."""
    assert list(forbidden_imports(ast.parse(snippet)))
    assert not list(forbidden_imports(ast.parse("import math\nfrom . import time\nimport timeit")))


@pytest.mark.parametrize(
    "snippet",
    ["ApprovedCommand(c)", "decisions.ApprovedCommand(c)", "from d import ApprovedCommand as A\nA(c)"],
)
def test_approving_elsewhere_is_noticed(snippet: str) -> None:
    """The rule about the one door can fail; naming the type is not making one."""
    assert list(approvals(ast.parse(snippet)))
    assert not list(approvals(ast.parse("def f(c: ApprovedCommand) -> ApprovedCommand: return c")))
