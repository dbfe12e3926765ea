"""A real Prometheus and Alertmanager on a daemon that trades: every figure of dashboards and alerts has data, nothing
pages while all is well, and the death of the daemon reaches the pager.
"""

import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.neutral_process import SECRET, SYMBOL, NeutralProcess
from tests.e2e.test_recovery import Life
from tests.unit.deploy.expressions import Asked, asked_by_alerts, asked_by_panels, asked_by_variables
from tests.unit.deploy.tools import DEPLOY, said, tool

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WARM_S = 120.0
PATIENCE_S = 90.0
LOOK_S = 0.5


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """The first answer that says something; connections that are refused are asked again."""
    deadline_s = time.monotonic() + patience_s
    pause = threading.Event()
    while time.monotonic() < deadline_s:
        try:
            answer = what()
        except OSError:
            answer = None
        if answer:
            return answer
        pause.wait(LOOK_S)
    raise AssertionError(f"nothing within {patience_s:g} s")


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as reply:
        text: str = reply.read().decode()
        return text


def decided(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether a program has ended, or listens. Raises OSError while it does neither."""
    if process.poll() is None:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    return True


class Pager(ThreadingHTTPServer):
    """What receivers are told: (path, alert name) of everything that fires."""

    def __init__(self) -> None:
        heard = self.heard = list[tuple[str, str]]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                names = [each["labels"]["alertname"] for each in body["alerts"] if each["status"] == "firing"]
                heard.extend((self.path, name) for name in names)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Watched:
    """A daemon on the embedded market and on the neutral venue, and all that watches it, on ports of their own."""

    def __init__(self, folder: Path, ended: ExitStack) -> None:
        venue = NeutralProcess(folder)
        ended.callback(venue.end)
        self.pager = ended.enter_context(Pager())
        self.metrics = f"http://127.0.0.1:{(daemon_port := free_port())}/metrics"
        alerts_port = free_port()
        self.prometheus = f"http://127.0.0.1:{(prometheus_port := free_port())}"
        self.daemon = Life(daemon_configuration(folder, venue.url, daemon_port))
        ended.callback(self.daemon.end)

        routing = (DEPLOY / "alertmanager/alertmanager.yml").read_text("utf-8")
        (folder / "alertmanager.yml").write_text(routing.replace("127.0.0.1:9095", f"127.0.0.1:{self.pager.port}"))
        (folder / "alerts.yml").write_text((DEPLOY / "prometheus/alerts.yml").read_text("utf-8"))
        scraping = (DEPLOY / "prometheus/prometheus.yml").read_text("utf-8")
        for there, here in (
            ("mm-daemon:9464", f"127.0.0.1:{daemon_port}"),
            ("alertmanager:9093", f"127.0.0.1:{alerts_port}"),
            ("5s", "1s"),
        ):
            assert there in scraping
            scraping = scraping.replace(there, here)
        (folder / "prometheus.yml").write_text(scraping)
        for name, port, *options in (
            ("prometheus-alertmanager", alerts_port, "--storage.path=alerts", "--cluster.listen-address="),
            ("prometheus", prometheus_port, "--storage.tsdb.path=series"),
        ):
            file = "alertmanager.yml" if "alert" in name else "prometheus.yml"
            command = [tool(name), f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", *options]
            with (folder / f"{name}.log").open("w") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
            ended.callback(process.wait)
            ended.callback(process.terminate)
            until(partial(decided, process, port))
            if process.poll() is not None:
                pytest.skip(f"{name} does not start here: {(folder / f'{name}.log').read_text()[-500:]}")

    def ask(self, expression: str) -> list[Any]:
        """The series that an instant query returns."""
        query = urllib.parse.urlencode({"query": expression})
        result: list[Any] = json.loads(fetched(f"{self.prometheus}/api/v1/query?{query}"))["data"]["result"]
        return result

    def values(self, series: str, label: str) -> set[str]:
        """What a variable of a dashboard offers."""
        query = urllib.parse.urlencode({"match[]": series})
        found = json.loads(fetched(f"{self.prometheus}/api/v1/series?{query}"))["data"]
        return {each[label] for each in found if each.get(label)}

    def shown(self, expression: str) -> list[Any]:
        """What a panel draws of the last two minutes."""
        now_s = time.time()
        query = {"query": expression, "start": now_s - WARM_S, "end": now_s, "step": 5}
        text = fetched(f"{self.prometheus}/api/v1/query_range?{urllib.parse.urlencode(query)}")
        result: list[Any] = json.loads(text)["data"]["result"]
        return result

    def paging(self) -> set[str]:
        alerts = json.loads(fetched(f"{self.prometheus}/api/v1/alerts"))["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["labels"]["severity"] == "page"}


def daemon_configuration(folder: Path, url: str, port: int) -> Path:
    """Live, since the dead man's switch of the venue is armed only then; the venue is a simulator on loopback."""
    (folder / "key").write_text("neutral-key", "utf-8")
    (folder / "secret").write_text(SECRET, "utf-8")
    quick = {"order_size": 0.01, "max_position": 0.05, "k": 5, "fill_lockout_ms": 0, "order_lockout_ms": 20}
    keys = {"api_key": {"file": str(folder / "key")}, "api_secret": {"file": str(folder / "secret")}}
    limits = {"orders_per_10s": 3000, "requests_per_minute": 60_000}
    path = folder / "live.yaml"
    text = yaml.safe_dump(
        {
            "version": 1,
            "mode": "live",
            "state_dir": str(folder / "state"),
            "log": {"format": "json"},
            "risk": {"max_drawdown": 500, "max_loss": 500},
            "http": {"port": port},
            "venues": {
                "sim": {"connector": "sim"},
                "neutral": {"connector": "neutral", "url": url, "secrets": keys, **limits},
            },
            "markets": [
                {"venue": "sim", "symbol": SYMBOL, **quick},
                {"venue": "neutral", "symbol": SYMBOL, **quick, "fees_in_model": False, "collar_bps": 100},
            ],
        }
    )
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    for name in ("prometheus", "prometheus-alertmanager", "promtool"):
        tool(name)
    with ExitStack() as ended:
        yield Watched(tmp_path, ended)


def unfiltered(asked: Asked) -> list[Asked]:
    """An alert's expression with its comparisons made 0 or 1, so that it answers also when nothing is wrong; what an
    `unless` takes away is asked for by itself.
    """
    parts = asked.expression.split("unless on (instance, job, venue, symbol)")
    return [Asked(asked.where, re.sub(r"(?<=\s)(>|<|==)(?=\s)", r"\1 bool", part)) for part in parts]


def test_all_figures_have_data_and_a_death_reaches_the_pager(watched: Watched) -> None:
    """Two minutes of trading, then SIGKILL."""
    until(lambda: watched.ask("up") and watched.ask("mm_fills_total > 0"))
    # What is asked for below needs two minutes of history.
    until(lambda: watched.ask(f"time() - process_start_time_seconds > {WARM_S:.0f}"), WARM_S + PATIENCE_S)
    code, text = said(tool("promtool"), "check", "metrics", given=fetched(watched.metrics))
    assert (code, text) == (0, "")
    questions = [*asked_by_panels(), *(part for asked in asked_by_alerts() for part in unfiltered(asked))]
    shown = {asked: watched.shown(asked.expression) for asked in questions}
    empty = [asked for asked, series in shown.items() if not series]
    assert not empty, "\n".join(map(str, empty))
    nameless = [
        asked
        for asked, series in shown.items()
        if any(each["metric"] and not asked.labels <= each["metric"].keys() for each in series)
    ]
    assert not nameless, "\n".join(map(str, nameless))
    without = [asked for asked in asked_by_variables() if not watched.values(*asked[1:])]
    assert not without, "\n".join(map(str, without))
    assert watched.paging() == set()
    assert [name for path, name in watched.pager.heard if path == "/page"] == []

    watched.daemon._process.send_signal(signal.SIGKILL)
    until(lambda: ("/page", "MMDown") in watched.pager.heard)
