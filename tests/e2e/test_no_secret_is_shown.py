"""A canary in the place of each secret: whatever goes wrong, nothing that the daemon shows or keeps has it (R19)."""

import io
import json
import os
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import zstandard

from tests.e2e.neutral_process import SYMBOL, NeutralProcess
from tests.e2e.test_recovery import DAEMON, PATIENCE_S
from tests.e2e.venue import LiveDesk, wait_for
from tests.shared import ROOT

pytestmark = pytest.mark.e2e

KEY, SECRET = "canary-key-6f1d", "canary-secret-93ab"
CANARIES = (KEY, SECRET)
CONFIG = """
version: 1
mode: live
state_dir: {folder}/state
risk: {{max_loss: 100}}
venues:
  neutral:
    connector: neutral
    url: {url}
    secrets: {{api_key: {{env: CANARY_KEY}}, api_secret: {{env: CANARY_SECRET}}}}
markets: [{{venue: neutral, symbol: BTC-USDT, order_size: 0.01, max_position: 0.05}}]
"""


class Echo(BaseHTTPRequestHandler):
    """A venue that repeats, in its errors, all that it was told, as careless ones do."""

    def do_GET(self) -> None:
        said = json.dumps({"error": "bad_request", "text": f"{self.path} {dict(self.headers)} {KEY} {SECRET}"}).encode()
        self.send_response(400)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_DELETE = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Not into the test's output."""


@pytest.fixture
def echoing_venue() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def told(folder: Path, text: str, *arguments: str) -> tuple[int, str]:
    """The exit code of a verb and all that it said."""
    config = folder / "c.yaml"
    config.write_text(text, "utf-8")
    done = subprocess.run(
        [*DAEMON, *arguments, "--config", str(config)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
        env={**os.environ, "CANARY_KEY": KEY, "CANARY_SECRET": SECRET},
    )
    return done.returncode, done.stdout + done.stderr


def kept(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder, unpacked where it is packed."""
    for path in folder.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            yield path, raw
            if path.suffix == ".zst":
                yield path, zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw)).read()


@pytest.mark.parametrize("arguments", [("run", "--no-watch"), ("cancel-all", "--direct"), ("check",)])
def test_a_venue_that_repeats_our_secrets(tmp_path: Path, echoing_venue: str, arguments: tuple[str, ...]) -> None:
    """Its errors are told, without what it has repeated."""
    code, said = told(tmp_path, CONFIG.format(folder=tmp_path, url=echoing_venue), *arguments)
    assert (code == 0) is (arguments == ("check",))
    assert said
    assert not [canary for canary in CANARIES if canary in said], said
    for path, raw in kept(tmp_path):
        assert not [canary for canary in CANARIES if canary.encode() in raw], path


@pytest.mark.parametrize(
    "mistake",
    [
        f"secrets: {{api_key: {KEY}, api_secret: {SECRET}}}",
        f"secrets: {{api_key: {{env: {KEY}}}, api_secret: {{file: /nowhere/{SECRET}}}}}",
        f"api_key: {KEY}\n    api_secret: {SECRET}",
        f"secrets: [{KEY}, {SECRET}]",
    ],
)
def test_a_secret_in_the_wrong_place(tmp_path: Path, mistake: str) -> None:
    """The mistake is named at its line and the secret is not repeated."""
    text = CONFIG.format(folder=tmp_path, url="http://127.0.0.1:9")
    right = "secrets: {api_key: {env: CANARY_KEY}, api_secret: {env: CANARY_SECRET}}"
    assert right in text
    for verb in ("check", "run"):
        code, said = told(tmp_path, text.replace(right, mistake), verb)
        assert code == 78
        assert "c.yaml:" in said
        assert not [canary for canary in CANARIES if canary in said], said


def test_a_daemon_that_runs_shows_no_secret(tmp_path: Path) -> None:
    """Log, metrics, status, journal, state directory, arguments of the process: through fills and a broken link."""
    venue = NeutralProcess(tmp_path)
    desk = LiveDesk(tmp_path, venue)
    secrets = [(tmp_path / name).read_text("utf-8").encode() for name in ("key", "secret", "token")]
    shown: list[tuple[object, bytes]] = []
    life = desk.begin()
    try:
        life.wait_for_quotes((SYMBOL,))
        venue.fault("disconnect")
        wait_for(life, "connected", 2)
        fills = sum(line["event"] == "fill" for _, line in life.log)
        wait_for(life, "fill", fills + 1)
        wait_for(life, "http")
        page = next(line["text"] for _, line in life.log if line["event"] == "http").split()[2].rstrip(",")
        root = page.removesuffix("/metrics")
        for path in ("/metrics", "/", f"/market/neutral:{SYMBOL}", "/status.json"):
            with urllib.request.urlopen(f"{root}{path}", timeout=PATIENCE_S) as reply:
                shown.append((path, reply.read()))
        resume = urllib.request.Request(f"{root}/control", b'{"verb": "resume", "confirmed": true}', method="POST")
        resume.add_header("Content-Type", "application/json")
        resume.add_header("X-MM-Token", (tmp_path / "token").read_text("utf-8"))
        with urllib.request.urlopen(resume, timeout=PATIENCE_S) as reply:
            answer = reply.read()
        assert answer == b'{"text": "resumed"}'
        shown.append(("control", answer))
        shown.append(("status", told(tmp_path, desk.config.read_text("utf-8"), "status", "--json")[1].encode()))
        arguments = Path(f"/proc/{life._process.pid}/cmdline")
        shown.append((arguments, arguments.read_bytes() if arguments.exists() else b""))
        desk.stop(life)
    finally:
        life.end()
        venue.end()
    shown.append(("log", json.dumps([line for _, line in life.log]).encode()))
    shown += kept(desk.state_dir)
    assert len(shown) > 6
    for where, raw in shown:
        assert not [secret for secret in secrets if secret in raw], where
