"""The loopback server over sockets: who is answered, and what becomes of requests that are none."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mm_daemon.domain.decisions import Reason
from mm_daemon.observability import http
from mm_daemon.observability.logs import catch_third_parties, open_log
from tests.unit.observability.test_metrics import Counted, samples


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[int]:
    """The port of a server without a page."""
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(
        http.serve(
            "127.0.0.1",
            0,
            metrics=Counted(folder).quoting().metrics,
            unready=lambda: [Reason.KILL_LATCHED],
            serving=address.set_result,
            names=["mm-daemon"],
        )
    )
    try:
        yield int((await address).rpartition(":")[2])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def answer(port: int, request: str) -> str:
    """All that comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    said = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return said.decode()


async def asked(port: int, path: str, host: str) -> tuple[int, str]:
    said = await answer(port, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    return int(said.split()[1]), said.partition("\r\n\r\n")[2]


async def test_long_answers_leave_in_pieces_and_arrive_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sample once, whatever the size of a piece."""
    monkeypatch.setattr(http, "_PIECE_BYTES", 1000)
    async with served(tmp_path) as port:
        _, text = await asked(port, "/metrics", "localhost")
        refused = await answer(port, "HEAD /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    named = [(sample.name, tuple(sample.labels.items())) for sample in samples(text)]
    expected = [(sample.name, tuple(sample.labels.items())) for sample in samples(Counted(tmp_path).quoting().text())]
    assert len(text) > 5000 and named == expected
    assert refused.split()[1] == "405" and "mm_" not in refused


async def test_figures_answer_to_names_of_ours_and_probes_to_any(tmp_path: Path) -> None:
    """A name that was made to resolve to this address learns no figure, and not even which paths there are."""
    async with served(tmp_path) as port:
        for host in ("localhost", "127.0.0.1:9464", "mm-daemon:9464", "MM-Daemon"):
            code, text = await asked(port, "/metrics", host)
            assert code == 200 and "mm_position_base" in text
        for path in ("/metrics", "/metrics?x", "/other", "/"):
            code, text = await asked(port, path, "rebound.example.com:9464")
            assert code == 421 and "http.names" in text and "mm_" not in text
        for host in ("127.0.0.1", "rebound.example.com", "mm-daemon.trading.svc"):
            assert await asked(port, "/healthz", host) == (200, '{"ok": true}')
            assert await asked(port, "/readyz", host) == (503, '{"ready": false, "reasons": ["kill_latched"]}')


@pytest.mark.parametrize(
    ("garbage", "told"),
    [
        ("GET / NOTHTTP\r\n\r\n", True),
        ("GET / HTTP/1.1\r\nA b\r\n\r\n", True),
        ("\x16\x03\x01\x02\r\n\r\n", False),  # TLS, say: the library itself holds it for everyday noise
    ],
)
async def test_what_is_no_http_is_one_line_however_often_it_comes(tmp_path: Path, garbage: str, told: bool) -> None:
    """A warning without a traceback, repeated at most every ten seconds, with a count."""
    root, stream = logging.getLogger(), io.StringIO()
    before, level = root.handlers[:], root.level
    catch_third_parties(open_log(stream, people=False, now_ns=lambda: 0))
    try:
        async with served(tmp_path) as port:
            for _ in range(20):
                assert (await answer(port, garbage)).split()[1] == "400"
            assert (await asked(port, "/healthz", "localhost"))[0] == 200
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.captureWarnings(False)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["logger"]) for line in lines] == [("warning", "mm_daemon.http")] * told
    for line in lines:
        assert line["text"].startswith("refused a request that is no HTTP: ")
        assert "Traceback" not in line["text"] and "\n" not in line["text"]
