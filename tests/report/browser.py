"""A headless Chromium, spoken to over a pipe: opens a page, and says what it asked for and said.

    with Browser(path, folder) as browser:
        seen = browser.open(file, width=390, dark=True)
        seen.requests, seen.messages, browser.evaluate("document.title")

The protocol is the browser's own (Chrome DevTools), a JSON value and a zero byte each. No library
is needed, no port is opened, and nothing of the user's profile is read.
"""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from select import select
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_SECONDS = 60  # for an answer, that takes a moment


def find_browser() -> str | None:
    """Give the browser of the environment variable COMPOSER_CHROMIUM, or one on the path."""
    named = os.environ.get("COMPOSER_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Seen:
    """What a page did while it was opened.

    Attributes:
        requests: Addresses that it asked for.
        messages: What stands on the console, and what the browser complains of.
    """

    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


class Browser:
    """One browser with one page."""

    def __init__(self, path: str, folder: Path) -> None:
        read, self._to = os.pipe()
        self._from, write = os.pipe()
        ends = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (read, write)]

        def hand_over() -> None:
            os.dup2(ends[0], 3)  # where the browser reads
            os.dup2(ends[1], 4)  # where it writes

        self._process = subprocess.Popen(
            [path, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--disable-background-networking", "--no-first-run", "--disable-dev-shm-usage",
             f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=hand_over, close_fds=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for end in (read, write, *ends):
            os.close(end)
        self._number, self._buffer = 0, b""
        self._events: deque[dict[str, Any]] = deque()
        self._session = ""

    def __enter__(self) -> Self:
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *fault: object) -> None:
        os.close(self._to)
        os.close(self._from)
        self._process.kill()
        self._process.wait()

    def open(self, address: str, *, width: int, dark: bool) -> Seen:
        """Open a page and wait until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[theme])
        self._events.clear()
        self.call("Page.navigate", url=address)
        seen = Seen()
        while True:
            event = self._events.popleft() if self._events else self._read()
            match event.get("method"):
                case "Network.requestWillBeSent":
                    seen.requests.append(event["params"]["request"]["url"])
                case "Log.entryAdded":
                    seen.messages.append(event["params"]["entry"]["text"])
                case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                    seen.messages.append(json.dumps(event["params"]))
                case "Page.loadEventFired":
                    break
        self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
        for event in self._events:
            if event.get("method") == "Network.requestWillBeSent":
                seen.requests.append(event["params"]["request"]["url"])
            if event.get("method") == "Log.entryAdded":
                seen.messages.append(event["params"]["entry"]["text"])
        return seen

    def evaluate(self, expression: str) -> Any:
        """Give the value of an expression; the protocol may look, where the page's policy forbids
        the page itself to run anything."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self, *, clip: tuple[float, float, float, float] | None = None) -> bytes:
        """Give the whole page, or a part of it (x, y, width, height), as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        x, y, width, height = clip or (0, 0, size["width"], size["height"])
        box = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=box)
        return base64.b64decode(shot["data"])

    def call(self, method: str, **parameters: object) -> Any:
        """Call a method of the protocol; what else comes meanwhile is kept."""
        self._number += 1
        message: dict[str, object] = {
            "id": self._number, "method": method, "params": parameters,
        }  # fmt: skip
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._events.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select([self._from], [], [], _SECONDS)
            assert ready, "the browser does not answer"
            piece = os.read(self._from, 2**20)
            assert piece, "the browser ended"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)
