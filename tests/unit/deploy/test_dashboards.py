"""The dashboards: what they ask for is exported, can be parsed, and is what their code says."""

import importlib.util
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from mm_daemon.observability.metric_names import DEFINITIONS
from tests.unit.deploy.expressions import Asked, asked_by_alerts, asked_by_panels, boards, selectors
from tests.unit.deploy.test_alerts import exported
from tests.unit.deploy.tools import DEPLOY, said, tool

UNITS = {"short", "s", "bytes", "percentunit"}
"""Those of Grafana's identifiers that are used here."""
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def every() -> list[Asked]:
    return asked_by_panels() + asked_by_alerts()


def test_every_metric_asked_for_is_exported() -> None:
    """By the name Prometheus stores it under, in panels and in alerts."""
    names = exported()
    for where, expression, _ in every():
        found = set(selectors(expression))
        assert found, where
        assert found <= names, where


def test_every_expression_can_be_parsed() -> None:
    """By Prometheus's grammar; its selectors name metrics that are exported, and labels that these have."""
    promql = pytest.importorskip("promql_parser", reason="promql-parser is not installed (make setup)")
    names = exported()
    for where, expression, _ in every():
        vectors = list(_vectors(promql, promql.parse(expression)))
        assert vectors, where
        assert {vector.name for vector in vectors} <= names, where
        for vector in vectors:
            matched = {matcher.name for matcher in vector.matchers.matchers}
            assert matched <= labels_of(vector.name), (where, vector.name)


def labels_of(series: str) -> set[str]:
    """Those that a series may have, those that Prometheus adds among them."""
    name = re.sub("_(bucket|sum|count)$", "", series)
    own = next((each.labels for each in DEFINITIONS if each.name in (series, name)), ())
    return {"job", "instance", *own, *(("le",) if series.endswith("_bucket") else ())}


def _vectors(promql: Any, node: Any) -> Iterator[Any]:
    """The vector selectors under a node."""
    if isinstance(node, promql.VectorSelector):
        yield node
    elif isinstance(node, promql.MatrixSelector):
        yield node.vector_selector
    else:
        below = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "param")]
        for each in [*below, *(getattr(node, "args", None) or ())]:
            if each is not None:
                yield from _vectors(promql, each)


def test_prometheus_itself_accepts_every_expression(tmp_path: Any) -> None:
    """As recording rules, so that its own parser and type checker see them."""
    rules = [{"record": f"asked:{n}", "expr": asked.expression} for n, asked in enumerate(asked_by_panels())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}), "utf-8")
    code, text = said(tool("promtool"), "check", "rules", str(file))
    assert code == 0, text


def test_there_are_four_and_each_panel_explains_itself() -> None:
    """Data source by variable everywhere; a title and a sentence on each panel; none covers another; queries have names
    of their own, units are Grafana's, and only variables that exist are used.
    """
    assert set(boards()) == {"overview.json", "quoting.json", "latency.json", "health.json"}
    for name, board in boards().items():
        variables = [variable["name"] for variable in board["templating"]["list"]]
        assert variables == ["datasource", "instance", "venue", "symbol"]
        covered: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            assert panel["title"] and panel["description"].endswith("."), name
            assert panel["datasource"] == DATA_SOURCE
            assert all(target["datasource"] == DATA_SOURCE for target in panel["targets"])
            assert panel["fieldConfig"]["defaults"].get("unit", "short") in UNITS, panel["title"]
            names = [target["refId"] for target in panel["targets"]]
            assert names == sorted(set(names)), panel["title"]
            used = {each for target in panel["targets"] for each in re.findall(r"\$(\w+)", target["expr"])}
            assert used <= {*variables, "__rate_interval"}, panel["title"]
            at = panel["gridPos"]
            own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not own & covered and max(x for x, _ in own) < 24, panel["title"]
            covered |= own


def test_the_files_are_what_the_code_makes() -> None:
    """And Grafana's own types, its panels and its Prometheus queries among them, read all of it."""
    models = pytest.importorskip(
        "grafana_foundation_sdk.models.dashboard", reason="grafana-foundation-sdk is not installed (make setup)"
    )
    spec = importlib.util.spec_from_file_location("build_dashboards", DEPLOY / "grafana/build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    made = build.dashboards()
    kept = {path.name: path.read_text("utf-8") for path in (DEPLOY / "grafana/dashboards").iterdir()}
    assert kept == made, "run make dashboards"
    pytest.importorskip("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder").JSONEncoder()
    for text in kept.values():
        board = json.loads(text)
        read = models.Dashboard.from_json(board)
        assert read.title.startswith("mm-daemon: ")
        assert json.loads(encoder.encode(read)) == board, "something in it has no place in Grafana's types"


def test_provisioning_finds_dashboards_and_prometheus() -> None:
    """The paths and names are those of the compose file."""
    provisioning = DEPLOY / "grafana/provisioning"
    dashboards: Any = yaml.safe_load((provisioning / "dashboards/mm-daemon.yaml").read_text("utf-8"))
    sources: Any = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text("utf-8"))
    compose: Any = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    (provider,), (source,) = dashboards["providers"], sources["datasources"]
    mounts = dict(mount.split(":")[:2] for mount in compose["services"]["grafana"]["volumes"])
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert source["url"] == "http://prometheus:9090" and "prometheus" in compose["services"]
