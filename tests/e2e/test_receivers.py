"""The example receivers on a real Alertmanager: alerts arrive by Telegram, in Slack, by mail and at a webhook.

Only addresses are changed: everything that would leave the machine goes to a server here.
"""

import json
import socketserver
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_monitoring import decided, free_port, until
from tests.unit.deploy.tools import DEPLOY, tool

pytestmark = pytest.mark.e2e


class Heard:
    """What came, by the path it came to; mail under `mail`."""

    def __init__(self, ended: ExitStack) -> None:
        self.bodies: dict[str, str] = {}
        bodies = self.bodies

        class Web(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies[self.path] = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"ok": true, "result": {"message_id": 1, "date": 0, "chat": {"id": 1}}}')

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        class Mail(socketserver.StreamRequestHandler):
            """As much SMTP as a sender without encryption needs."""

            def handle(self) -> None:
                self.wfile.write(b"220 here\r\n")
                while line := self.rfile.readline():
                    verb = line[:4].upper()
                    if verb == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        bodies["mail"] = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
                    self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")

        self.web = ended.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Web))
        self.mail = ended.enter_context(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail))
        for server in (self.web, self.mail):
            threading.Thread(target=server.serve_forever, daemon=True).start()
            ended.callback(server.shutdown)


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[tuple[Heard, str]]:
    """What is heard, and the address of the Alertmanager."""
    program = tool("prometheus-alertmanager")
    with ExitStack() as ended:
        heard = Heard(ended)
        here = f"http://127.0.0.1:{heard.web.server_address[1]}"
        (tmp_path / "slack_url").write_text(f"{here}/slack")
        text = (DEPLOY / "alertmanager/receivers.example.yml").read_text("utf-8")
        for there, instead in (
            ("mail.example.com:587", f"127.0.0.1:{heard.mail.server_address[1]}"),
            ("smtp_auth_username: mm-daemon@example.com", "smtp_hello: here"),
            ("  smtp_auth_password_file: /etc/alertmanager/secrets/mail_password\n", ""),
            ("smtp_require_tls: true", "smtp_require_tls: false"),
            ("        chat_id:", f"        api_url: {here}\n        chat_id:"),
            ("https://pager.example.com", here),
            ("/etc/alertmanager/secrets/slack_url", str(tmp_path / "slack_url")),
            ("group_wait: 10s", "group_wait: 0s"),
        ):
            assert there in text, there
            text = text.replace(there, instead)
        (tmp_path / "alertmanager.yml").write_text(text)
        port = free_port()
        command = [program, "--config.file=alertmanager.yml", "--storage.path=alerts", "--cluster.listen-address="]
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], cwd=tmp_path, stderr=subprocess.DEVNULL
        )
        ended.callback(process.wait)
        ended.callback(process.terminate)
        until(partial(decided, process, port))
        yield heard, f"http://127.0.0.1:{port}"


def test_an_alert_reaches_whoever_it_is_for(heard: tuple[Heard, str]) -> None:
    """A page: phone and pager. A warning: channel and mailbox. Each with what is wrong, and its runbook."""
    heard_by, alertmanager = heard
    alerts = [
        {
            "labels": {"alertname": name, "severity": severity, "symbol": "BTC-USDT", "instance": "here"},
            "annotations": {"summary": f"about {name}", "runbook_url": f"file:///runbooks/{name}.md"},
            "startsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        for name, severity in (("MMDrawdown", "page"), ("MMAckSlow", "warn"))
    ]
    request = urllib.request.Request(
        f"{alertmanager}/api/v2/alerts", json.dumps(alerts).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=5).close()
    until(lambda: len(heard_by.bodies) == 4)
    (telegram,) = [body for path, body in heard_by.bodies.items() if path.endswith("/sendMessage")]
    assert "firing: MMDrawdown BTC-USDT about MMDrawdown file:///runbooks/MMDrawdown.md" in telegram
    assert json.loads(heard_by.bodies["/hooks/mm-daemon"])["alerts"][0]["labels"]["alertname"] == "MMDrawdown"
    (shown,) = json.loads(heard_by.bodies["/slack"])["attachments"]
    assert shown["title"] == "firing: MMAckSlow (1)"
    assert shown["text"].strip() == "BTC-USDT about MMAckSlow file:///runbooks/MMAckSlow.md"
    assert "MMAckSlow" in heard_by.bodies["mail"]
    assert "MMDrawdown" not in heard_by.bodies["mail"] + heard_by.bodies["/slack"]
