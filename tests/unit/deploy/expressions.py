"""The PromQL of dashboards and alerts, as it is asked."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.unit.deploy.tools import DEPLOY, files

_VARIABLES = {
    "$__rate_interval": "1m",
    "$instance": ".*",
    "$venue": ".*",
    "$symbol": ".*",
}


class Asked(NamedTuple):
    where: str
    expression: str
    legend: str = ""
    """What names the lines of a panel: text with labels in double braces."""

    @property
    def labels(self) -> set[str]:
        """Those that the legend shows."""
        return set(re.findall(r"{{(\w+)}}", self.legend))


def boards() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text("utf-8")) for path in files("grafana/dashboards", "*.json")}


def asked_by_panels() -> list[Asked]:
    """Every query of every panel."""
    found = []
    for name, board in boards().items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                asked = Asked(f"{name}: {panel['title']}", as_all(target["expr"]), target["legendFormat"])
                found.append(asked)
    return found


def asked_by_variables() -> list[tuple[str, str, str]]:
    """Where a variable takes its values from: its name, the series, the label."""
    found = []
    for name, board in boards().items():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                matched = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
                assert matched is not None, variable["query"]
                found.append((f"{name}: ${variable['name']}", as_all(matched[1]), matched[2]))
    return found


def as_all(expression: str) -> str:
    """With Grafana's variables replaced as "All" replaces them."""
    for variable, value in _VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def asked_by_alerts() -> list[Asked]:
    """Every expression of every rule."""
    rules: Any = yaml.safe_load(Path(DEPLOY / "prometheus/alerts.yml").read_text("utf-8"))
    return [Asked(rule["alert"], rule["expr"]) for group in rules["groups"] for rule in group["rules"]]


def selectors(expression: str) -> list[str]:
    """The names of series in an expression."""
    return re.findall(r"\b(?:mm_\w+|process_\w+|up)\b(?=\s*[{\[)<>=!]|\s|$)", expression)
