"""A page in headless Chromium, seen through its DevTools protocol: what it says, how wide it is."""

import asyncio
import base64
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

READY_S = 15.0
STOP_S = 5.0
WRONG = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
# How far the page, and the right edge of anything in it, goes.
_REACH = """Math.max(document.documentElement.scrollWidth,
 ...[...document.querySelectorAll('body *')].map(e => e.getBoundingClientRect().right))"""


def find_browser() -> str | None:
    return next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


class Page:
    """`wrong` collects what the page told on the console, `asked` every address that it asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = self._width = 0
        self.wrong: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self._loaded = False

    async def show(self, page: Path, width: int, *, media: str = "") -> None:
        """At a width in CSS pixels; returns when it has loaded."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Emulation.setEmulatedMedia", media=media)
        self._loaded, self._width = False, width
        await self.call("Page.navigate", url=page.absolute().as_uri())
        while not self._loaded:
            self._note(await self._socket.receive_json(timeout=READY_S))

    async def beyond(self) -> float:
        """CSS pixels by which something is wider than the window."""
        answer = await self.call("Runtime.evaluate", expression=_REACH)
        return float(answer["result"]["value"]) - self._width

    async def text(self) -> str:
        answer = await self.call("Runtime.evaluate", expression="document.body.innerText")
        return str(answer["result"]["value"])

    async def picture(self, height: int | None = None) -> bytes:
        """PNG of the whole page, or of its first `height` CSS pixels."""
        found = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {
            "x": 0,
            "y": 0,
            "width": found["width"],
            "height": height or found["height"],
            "scale": 1,
        }
        told = await self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(told["data"])

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=READY_S)
            if message.get("id") != self._number:
                self._note(message)
                continue
            assert "error" not in message, (method, message["error"])
            result: dict[str, Any] = message["result"]
            return result

    def _note(self, message: dict[str, Any]) -> None:
        method = message.get("method")
        if method in WRONG:
            self.wrong.append(message)
        elif method == "Network.requestWillBeSent":
            self.asked.append(message["params"]["request"]["url"])
        self._loaded = self._loaded or method == "Page.loadEventFired"


@asynccontextmanager
async def opened(browser: str) -> AsyncIterator[Page]:
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage",
            "--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = await _port(Path(folder, "DevToolsActivePort"))
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    targets = await answer.json()
                address = next(t["webSocketDebuggerUrl"] for t in targets if t["type"] == "page")
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    yield Page(socket)
        finally:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _port(path: Path) -> int:
    """The browser writes it when it listens."""
    async with asyncio.timeout(READY_S):
        while True:
            lines = path.read_text().splitlines() if path.exists() else []
            if len(lines) >= 2:
                return int(lines[0])
            await asyncio.sleep(0.05)
