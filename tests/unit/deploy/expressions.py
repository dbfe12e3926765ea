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


def boards() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text("utf-8")) for path in files("grafana/dashboards", "*.json")}


def asked_by_panels() -> list[Asked]:
    """Every query of every panel, with Grafana's variables replaced as "All" replaces them."""
    found = []
    for name, board in boards().items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                for variable, value in _VARIABLES.items():
                    expression = expression.replace(variable, value)
                found.append(Asked(f"{name}: {panel['title']}", expression))
    return found


def asked_by_alerts() -> list[Asked]:
    """Every expression of every rule."""
    rules: Any = yaml.safe_load(Path(DEPLOY / "prometheus/alerts.yml").read_text("utf-8"))
    return [Asked(rule["alert"], rule["expr"]) for group in rules["groups"] for rule in group["rules"]]


def selectors(expression: str) -> list[str]:
    """The names of series in an expression."""
    return re.findall(r"\b(?:mm_\w+|process_\w+|up)\b(?=\s*[{\[)<>=!]|\s|$)", expression)
