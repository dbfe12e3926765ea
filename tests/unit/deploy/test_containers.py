"""Image, compose file and Kubernetes manifest: confined, with time to cancel, one writer, and one address for all."""

import importlib.metadata
import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from mm_daemon import registry
from mm_daemon.config.load import load, loads
from mm_daemon.config.schema import RuntimeSettings
from tests.shared import ROOT
from tests.unit.deploy.tools import DEPLOY, said, tool

USER = 10001
GRACE_S = RuntimeSettings().stop_timeout_s + 10


def dockerfile() -> list[str]:
    """Its instructions, each on one line."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))


def manifest() -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes/mm-daemon.yaml").read_text("utf-8"))
    return {document["kind"]: document for document in documents if document}


def pins(file: Path) -> dict[str, str]:
    """Each entry of a lock with its hashes."""
    entries = re.split(r"\n(?=[a-z])", file.read_text("utf-8"))[1:]
    return {entry.partition("==")[0]: entry.strip() for entry in entries}


def names(requirements: Iterable[str]) -> list[str]:
    """Of distributions, as locks spell them."""
    return [re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", each, maxsplit=1)[0]).lower() for each in requirements]


def test_hadolint_has_nothing_to_say() -> None:
    assert said(tool("hadolint"), str(ROOT / "Dockerfile")) == (0, "")


def test_image_is_small_locked_and_not_root() -> None:
    """Two stages from one base of an exact version, every dependency by hash, a numeric user, no shell in between."""
    lines = dockerfile()
    assert re.fullmatch(r"ARG BASE=docker\.io/library/python:\d+\.\d+\.\d+-slim-bookworm", lines[0])
    assert [line for line in lines if line.startswith("FROM")] == ["FROM ${BASE} AS build", "FROM ${BASE}"]
    installs = [found for line in lines for found in re.findall(r"pip install [^&]+", line)]
    assert len(installs) == 2 and all("--require-hashes" in each or "--no-deps" in each for each in installs)
    last = lines[lines.index("FROM ${BASE}") :]
    assert f"USER {USER}:{USER}" in last and "STOPSIGNAL SIGTERM" in last
    assert not any(line.startswith("RUN") for line in last)
    for word in ("ENTRYPOINT", "CMD", "HEALTHCHECK"):
        (line,) = [line for line in last if line.startswith(word)]
        assert "[" in line, f"{word} runs through a shell"


def test_image_gets_what_the_daemon_needs_and_nothing_else() -> None:
    """The lock of the image is the part of the whole lock that the project's own dependencies reach."""
    run, everything = pins(ROOT / "requirements-run.lock"), pins(ROOT / "requirements.lock")
    assert run.items() <= everything.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    reached: set[str] = set()
    waiting = names(asked)
    while waiting:
        name = waiting.pop()
        if name in run and name not in reached:
            reached.add(name)
            needs = importlib.metadata.requires(name) or []
            waiting += names(need for need in needs if "extra ==" not in need)
    assert reached == set(run)
    assert set(names(asked)) <= reached


def test_configuration_in_the_image_is_good_and_served_where_the_health_check_looks() -> None:
    config = load(DEPLOY / "examples/container.yaml", settings_of=registry.settings_of, environ=os.environ)
    text = " ".join(dockerfile())
    assert (config.mode, config.http.host) == ("paper", "0.0.0.0")
    assert f"http://127.0.0.1:{config.http.port}/healthz" in text and f"EXPOSE {config.http.port}" in text
    assert f"VOLUME {config.state_dir}" in text


def test_compose_confines_every_service_and_shows_nothing_to_the_network() -> None:
    """Read-only roots, no capabilities, limits, rotated logs, exact versions, ports on loopback."""
    services = compose()["services"]
    assert set(services) == {"mm-daemon", "prometheus", "alertmanager", "grafana"}
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"] and service["pids_limit"]
        assert service["logging"]["options"]["max-size"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name
    ours = services["mm-daemon"]
    assert ours["user"] == f"{USER}:{USER}"
    assert float(ours["stop_grace_period"].removesuffix("s")) > GRACE_S


def test_compose_mounts_files_that_exist_and_names_match() -> None:
    """Every file of the repository that is mounted is there; Prometheus asks the services that there are."""
    services = compose()["services"]
    for service in services.values():
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).exists(), mount
    prometheus: Any = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text("utf-8"))
    (job,) = prometheus["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["mm-daemon:9464"]
    config = load(DEPLOY / "examples/container.yaml", settings_of=registry.settings_of, environ=os.environ)
    assert config.http.names == ("mm-daemon",)
    assert prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]


def test_kubernetes_runs_one_confined_daemon_and_waits_for_its_cancels() -> None:
    documents = manifest()
    assert set(documents) == {"ConfigMap", "PersistentVolumeClaim", "Deployment", "Service"}
    deployment = documents["Deployment"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (1, "Recreate")
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > GRACE_S
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == USER
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"/healthz", "/readyz"}
    assert container["resources"]["limits"]["memory"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    labels = deployment["template"]["metadata"]["labels"]
    assert labels.items() >= deployment["selector"]["matchLabels"].items()
    assert labels.items() >= documents["Service"]["spec"]["selector"].items()
    text = documents["ConfigMap"]["data"]["config.yaml"]
    config = loads(text, "config.yaml", settings_of=registry.settings_of, environ=os.environ)
    assert str(config.state_dir).startswith(mounts["state"])
    assert config.http.port == container["ports"][0]["containerPort"]
    assert config.http.names == (documents["Service"]["metadata"]["name"],)
