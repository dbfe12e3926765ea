"""The image itself, without Docker: `make image` builds it with buildah on a base of Debian packages and runs it.

It takes minutes, the network and root. What this cannot show is the official base image; every other line of the
Dockerfile is run.
"""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared import ROOT
from tests.unit.deploy.tools import said

pytestmark = pytest.mark.slow

UID = 10001
BASE = """
FROM scratch
ADD base.tar /
COPY files/ /
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
RUN ln -s python3 /usr/bin/python
"""
_PACKAGES = "python3-minimal,python3-venv,ca-certificates"
_HOST_FILES = ("etc/ssl/certs/ca-certificates.crt", "etc/pip.conf")


class Buildah:
    """A store of its own, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._store = ("--root", str(folder / "store"), "--runroot", str(folder / "run"), "--storage-driver", "vfs")

    def command(self, verb: str, *arguments: str) -> list[str]:
        return ["buildah", *self._store, verb, *arguments]

    def __call__(self, verb: str, *arguments: str) -> str:
        code, text = said(*self.command(verb, *arguments))
        assert code == 0, text[-3000:]
        return text

    def build(self, tag: str, context: Path, *arguments: str) -> None:
        self("bud", "--isolation", "chroot", "--format", "docker", "-t", tag, *arguments, str(context))


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Buildah, str]]:
    for name in ("buildah", "mmdebstrap"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not on the path (Debian: apt-get install {name})")
    folder = tmp_path_factory.mktemp("image")
    base = folder / "base"
    base.mkdir()
    (base / "Dockerfile").write_text(BASE, "utf-8")
    for name in _HOST_FILES:
        if (file := Path("/", name)).exists():
            (base / "files" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, base / "files" / name)
    bootstrap = ("mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}", "bookworm")
    code, text = said(*bootstrap, str(base / "base.tar"))
    assert code == 0, text[-3000:]
    buildah = Buildah(folder)
    buildah.build("base:1", base)
    buildah.build("mm-daemon", ROOT, "--build-arg", "BASE=localhost/base:1")
    name = buildah("from", "localhost/mm-daemon").split()[-1]
    yield buildah, name
    buildah("rm", name)


def test_image_runs_as_nobody_and_stops_clean(container: tuple[Buildah, str], tmp_path: Path) -> None:
    """Its own entry point and configuration, but for the port: user 10001, exit 0 on SIGTERM with nothing open."""
    buildah, name = container
    shown = " ".join(
        f"{{{{.Docker.Config.{each}}}}}" for each in ("User", "StopSignal", "Entrypoint", "Healthcheck.Test")
    )
    inspected = buildah("inspect", "--format", shown, name)
    assert inspected.startswith(f"{UID}:{UID} SIGTERM [mm-daemon] [CMD python ")
    assert "/healthz" in inspected
    configuration = (ROOT / "deploy/examples/container.yaml").read_text("utf-8")
    etc = tmp_path / "etc"
    etc.mkdir(mode=0o755)
    (etc / "config.yaml").write_text(configuration.replace("port: 9464", "port: 0"), "utf-8")
    there = f"/etc/mm-daemon-{os.getpid()}"
    mounted = ("-v", f"{etc}:{there}:ro")
    run = ("mm-daemon", "run", "--no-watch", "--config", f"{there}/config.yaml")
    process = subprocess.Popen(
        buildah.command("run", "--isolation", "chroot", *mounted, name, "--", *run), stderr=subprocess.PIPE, text=True
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if '"event":"decision"' in line and "new_quote" in line:
                break
        (daemon,) = [each for each in Path("/proc").glob("[0-9]*") if is_daemon(each, there)]
        assert daemon.stat().st_uid == UID
        os.kill(int(daemon.name), signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait() == 0, rest
        assert "stopped (SIGTERM): no open orders" in rest
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


def is_daemon(process: Path, argument: str) -> bool:
    """Whether it is the daemon itself, not what started it, with this among its arguments."""
    try:
        named = (process / "comm").read_text("utf-8") == "mm-daemon\n"
        return named and argument in (process / "cmdline").read_text("utf-8")
    except OSError:  # gone meanwhile
        return False
