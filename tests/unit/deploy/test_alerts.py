"""The alerts of OPERATIONS 3: each fires when it should and not before, says what to do, and reaches somebody."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mm_daemon.cli.main import execute
from mm_daemon.observability.metric_names import DEFINITIONS
from tests.shared import shared_file
from tests.unit.deploy.tools import DEPLOY, files, said, tool

RULES = DEPLOY / "prometheus/alerts.yml"
TESTS = DEPLOY / "prometheus/alerts_test.yml"
PROCESS_METRICS = {"process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds_total"}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def rules() -> dict[str, Any]:
    return {rule["alert"]: rule for group in read(RULES)["groups"] for rule in group["rules"]}


def exported() -> set[str]:
    """Names of series: of a histogram those that Prometheus stores."""
    names = {"up", *PROCESS_METRICS}
    for name, kind, _, _ in DEFINITIONS:
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


def test_prometheus_accepts_configuration_and_rules() -> None:
    code, text = said(tool("promtool"), "check", "config", "--lint=all", str(DEPLOY / "prometheus/prometheus.yml"))
    assert code == 0, text


def test_every_rule_has_a_test_that_fires_and_one_that_does_not() -> None:
    """By Prometheus's own test runner, and none is left out."""
    cases = [case["alert_rule_test"] for case in read(TESTS)["tests"]]
    fires = {test["alertname"] for each in cases for test in each if test["exp_alerts"]}
    quiet = {test["alertname"] for each in cases for test in each if not test["exp_alerts"]}
    assert fires == quiet == set(rules())
    code, text = said(tool("promtool"), "test", "rules", str(TESTS))
    assert code == 0, text


def test_the_catalogue_of_the_design_is_complete() -> None:
    """Every alert of OPERATIONS 3 is there with its severity, and no other."""
    page = shared_file("design/OPERATIONS.md").read_text("utf-8")
    listed = dict(re.findall(r"^\| (MM\w+) \| .* \| (page|warn) \|$", page, re.MULTILINE))
    assert {name: rule["labels"]["severity"] for name, rule in rules().items()} == listed


def test_every_alert_has_a_runbook_that_says_what_to_look_at_and_what_to_do() -> None:
    """One page for each and no page without an alert; a page links only to pages that exist."""
    pages = {path.stem: path.read_text("utf-8") for path in files("runbooks", "*.md")}
    assert set(pages) == set(rules())
    for name, rule in rules().items():
        assert rule["annotations"]["runbook_url"].endswith(f"/deploy/runbooks/{name}.md")
        assert rule["annotations"]["summary"]
        title, look, do = re.split(r"^## (?:Look at|Do)$", pages[name], flags=re.MULTILINE)
        assert title.startswith(f"# {name}\n\n") and len(title.split()) > 9
        assert look.count("\n- ") >= 1 and do.count("\n- ") >= 1
        assert set(re.findall(r"\]\((\w+)\.md\)", pages[name])) <= set(rules())


def test_runbooks_name_metrics_and_verbs_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """What somebody copies at night works."""
    execute(["--help"])
    verbs = set(re.findall(r"^\W*([a-z][a-z-]+) ", capsys.readouterr().out, re.MULTILINE))
    for path in files("runbooks", "*.md"):
        page = path.read_text("utf-8")
        assert set(re.findall(r"\bmm_\w+", page)) <= {name for name, *_ in DEFINITIONS}, path
        assert {*re.findall(r"`mm-daemon ([a-z-]+)", page)} <= verbs, path


def test_alertmanager_accepts_its_configuration_and_pages_go_to_the_pager() -> None:
    """Routing as Alertmanager itself resolves it, with the receivers to copy from as without them."""
    amtool = tool("amtool")
    for path in files("alertmanager", "*.yml"):
        file = str(path)
        code, text = said(amtool, "check-config", file)
        assert code == 0, text
        routed(amtool, file)


def routed(amtool: str, file: str) -> None:
    for name, rule in rules().items():
        severity = rule["labels"]["severity"]
        labels = (f"alertname={name}", f"severity={severity}")
        code, text = said(amtool, "config", "routes", "test", f"--config.file={file}", *labels)
        assert (code, text.split()[0]) == (0, {"page": "pager", "warn": "chat"}[severity]), name
