"""A real browser for tests of pages: Chromium without a screen, told what to do over its own debugging protocol.

The width, the colour scheme and the picture are the browser's own; nothing is fetched from anywhere.
"""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
_START_S = 30.0


def chromium() -> str:
    """Its path, or the test is skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("ABSENT: Chromium (apt-get install chromium)")
    return found


class Tab:
    """One page. `errors` are what its console complained of, and what it tried to fetch."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._count = 0
        self.errors: list[str] = []
        self.fetched: list[str] = []

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        number = self._count
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            told: dict[str, Any] = json.loads((await self._socket.receive(timeout=30)).data)
            if told.get("id") == number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']}")
                result: dict[str, Any] = told.get("result", {})
                return result
            self._note(told)

    def _note(self, told: dict[str, Any]) -> None:
        if told.get("method") == "Network.requestWillBeSent":
            self.fetched.append(told["params"]["request"]["url"])
        elif told.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.errors.append(json.dumps(told["params"])[:300])

    async def show(self, page: Path, width: int, *, dark: bool = False, height: int = 900) -> None:
        """Open a file, named by its whole path, at a width, and wait until it has been laid out."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.ask(f"{domain}.enable")
        await self.ask("Emulation.setFocusEmulationEnabled", enabled=True)
        mobile = width < 800
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.ask("Emulation.setEmulatedMedia", features=[scheme])
        await self.ask("Page.navigate", url=page.as_uri())
        wait = "new Promise(r => { if (document.readyState === 'complete') r(1); else addEventListener('load', r) })"
        await self.run(wait)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = await self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def picture(self, path: Path, *, whole: bool = True, clip: dict[str, float] | None = None) -> None:
        options: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole}
        if clip is not None:
            options["clip"] = {**clip, "scale": 1}
        elif whole:
            size = (await self.ask("Page.getLayoutMetrics"))["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = await self.ask("Page.captureScreenshot", **options)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(answer["data"]))


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Tab]:
    """A tab of a browser of its own, whose profile is in `folder`."""
    profile = folder / "profile"
    process = await asyncio.create_subprocess_exec(
        *(chromium(), *_FLAGS, f"--user-data-dir={profile}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await asyncio.wait_for(_port(profile / "DevToolsActivePort", process), _START_S)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                (target, *_) = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _port(file: Path, process: asyncio.subprocess.Process) -> int:
    while not (told := await asyncio.to_thread(_lines, file)):
        if process.returncode is not None:
            raise RuntimeError(f"Chromium ended with {process.returncode}")
        await asyncio.sleep(0.05)
    return int(told[0])


def _lines(file: Path) -> list[str]:
    """Of a file that may not be there yet; none before the first is whole."""
    text = file.read_text() if file.exists() else ""
    return text.splitlines() if "\n" in text else []
